//! Scratch that does not fit into memory.

use std::fs::{self, OpenOptions};
use std::io::Write;

use mc2_guest::{Error, Job, Options, Result};
use mc2_test_guests::{Random, at, read_at, write_at};

use crate::required;

const PIECE: usize = 64 * 1024;

/// Writes so much that looks random to `/tmp`, reads it in another order, overwrites a third of
/// it, and reads it again.
pub(crate) fn spill(_: &Job, mut options: Options) -> Result {
    let mib: u64 = required(&mut options, "MIB")?;
    options.finish()?;
    let pieces = mib * 16;
    let path = at("/tmp/spill");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    let mut piece = vec![0; PIECE];
    for number in 0..pieces {
        fill(&mut piece, number, 0);
        file.write_all(&piece)?;
    }

    let mut random = Random::new(mib);
    let check = |number: u64, version: u64| -> Result {
        let (mut expected, mut found) = (vec![0; PIECE], vec![0; PIECE]);
        fill(&mut expected, number, version);
        let mut read = 0;
        while read < PIECE {
            let at = number * PIECE as u64 + read as u64;
            match read_at(&file, &mut found[read..], at)? {
                0 => {
                    return Err(Error::new(format!(
                        "piece {number} ends after {read} bytes"
                    )));
                }
                more => read += more,
            }
        }
        if found == expected {
            return Ok(());
        }
        Err(Error::new(format!(
            "piece {number} is not what was written, version {version}"
        )))
    };
    for number in random.order(pieces) {
        check(number, 0)?;
    }
    for number in random
        .order(pieces)
        .into_iter()
        .filter(|number| number % 3 == 0)
    {
        fill(&mut piece, number, 1);
        let mut written = 0;
        while written < PIECE {
            let at = number * PIECE as u64 + written as u64;
            written += write_at(&file, &piece[written..], at)?;
        }
    }
    for number in random.order(pieces) {
        check(number, u64::from(number % 3 == 0))?;
    }
    fs::remove_file(path)?;
    println!("verified {mib} MiB");
    Ok(())
}

fn fill(piece: &mut [u8], number: u64, version: u64) {
    Random::new(number << 1 | version).fill(piece);
}

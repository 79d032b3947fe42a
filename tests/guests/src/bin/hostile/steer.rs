//! Doing as the data says, in everything that a host could see.

use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::process;
use std::thread;
use std::time::Duration;

use mc2_guest::{Error, Job, Options, Result};
use mc2_test_guests::at;

use crate::required;

const PIECE: u64 = 64 * 1024;

/// Reads, writes, says and ends as the first four bytes of an input tell it: how many pieces of the
/// input to read, how much to write to `/tmp`, to the output and to the streams, how often to tell
/// its progress, and how to end.
pub(crate) fn steered(job: &Job, mut options: Options) -> Result {
    let input: String = required(&mut options, "INPUT")?;
    let output: String = required(&mut options, "OUTPUT")?;
    options.finish()?;
    let file = job.input(&input)?.random()?;
    let mut head = [0; 4];
    file.read_exact_at(&mut head, 0)?;
    let [reads, writes, tells, end] = head;
    let mut piece = [0; 512];
    for place in 0..u64::from(reads) {
        black_box(file.read_at(&mut piece, place * 7919 * PIECE % file.len())?);
    }
    let scratch = job.scratch().join("steered");
    fs::write(&scratch, vec![1; usize::from(writes) * PIECE as usize])?;
    black_box(fs::read(&scratch)?);
    let mut result = job.output(&output)?;
    result.write_all(&vec![b'x'; usize::from(writes) * 1000])?;
    result.finish()?;
    for tell in 0..tells {
        job.progress(f64::from(tell) / 256.0, &"x".repeat(usize::from(tell)));
        println!("{tell}");
        eprintln!("{tell}");
        thread::sleep(Duration::from_millis(20));
    }
    match end {
        0 => Ok(()),
        1 => process::abort(),
        2 => Err(Error::new("y".repeat(usize::from(writes)))),
        3 => Ok(fs::remove_file(at("/out").join(&output))?),
        4 => Ok(fs::write(at("/out/undeclared"), "z")?),
        _ => Err(Error::new("no such end")),
    }
}

/// Tells its progress and prints in words of its own, and fails in them a while later.
pub(crate) fn tell(job: &Job, mut options: Options) -> Result {
    let text: String = required(&mut options, "TEXT")?;
    options.finish()?;
    println!("{text}");
    eprintln!("{text}");
    job.progress(0.5, &text);
    thread::sleep(Duration::from_secs(1));
    Err(Error::new(text))
}

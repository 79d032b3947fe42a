//! Writing without end. Being refused does not impress these: they go on, and end by themselves
//! only after a thousand refusals in a row.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

use mc2_guest::{Job, Options, Result};
use mc2_test_guests::at;

/// Bytes written at once.
const PIECE: usize = 64 * 1024;
const STUBBORN: u32 = 1_000;

pub(crate) fn stdout(_: &Job, options: Options) -> Result {
    options.finish()?;
    flood(&mut io::stdout(), &vec![b'x'; PIECE]);
    Ok(())
}

pub(crate) fn stderr(_: &Job, options: Options) -> Result {
    options.finish()?;
    flood(&mut io::stderr(), &vec![b'x'; PIECE]);
    Ok(())
}

/// Into the output `result`.
pub(crate) fn out(_: &Job, options: Options) -> Result {
    options.finish()?;
    flood(&mut File::create(at("/out/result"))?, &vec![b'x'; PIECE]);
    Ok(())
}

/// Into a file in `/tmp`.
pub(crate) fn scratch(_: &Job, options: Options) -> Result {
    options.finish()?;
    flood(&mut File::create(at("/tmp/flood"))?, &vec![b'x'; PIECE]);
    Ok(())
}

/// Events as fast as they go, and now and then a very long one.
pub(crate) fn progress(_: &Job, options: Options) -> Result {
    options.finish()?;
    let mut file = OpenOptions::new()
        .write(true)
        .open(at("/run/mc2/progress"))?;
    let mut lines = b"0.1 \x1b[31mflood\n".repeat(1_000);
    lines.extend(vec![b'x'; PIECE]);
    flood(&mut file, &lines);
    Ok(())
}

fn flood(to: &mut impl Write, piece: &[u8]) {
    let mut refused = 0;
    while refused < STUBBORN {
        match to.write_all(piece).and_then(|()| to.flush()) {
            Ok(()) => refused = 0,
            Err(_) => refused += 1,
        }
    }
}

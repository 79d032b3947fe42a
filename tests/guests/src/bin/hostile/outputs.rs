//! Writing outputs, properly and in odd ways.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::thread;
use std::time::Duration;

use mc2_guest::{Job, Options, Result};
use mc2_test_guests::at;

use crate::required;

/// An input becomes an output.
pub(crate) fn copy(job: &Job, mut options: Options) -> Result {
    let input: String = required(&mut options, "INPUT")?;
    let output: String = required(&mut options, "OUTPUT")?;
    options.finish()?;
    let mut output = job.output(&output)?;
    io::copy(&mut job.input(&input)?.reader()?, &mut output)?;
    output.finish()
}

/// Writes several segments of `result`, then rewrites, truncates, grows and rewrites again. What
/// is left: 70,000 bytes `b`, 30,000 zeros, the word `end`.
pub(crate) fn overwrite(_: &Job, options: Options) -> Result {
    options.finish()?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(at("/out/result"))?;
    file.write_all(&[b'a'; 300_000])?;
    file.flush()?;
    for start in [200_000, 0, 131_072, 1] {
        file.seek(SeekFrom::Start(start))?;
        file.write_all(&[b'c'; 65_536])?;
    }
    file.set_len(10)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&[b'b'; 70_000])?;
    file.seek(SeekFrom::Start(100_000))?;
    file.write_all(b"end")?;
    println!("{} bytes", file.metadata()?.len());
    Ok(())
}

/// A line of `result` every tenth of a second.
pub(crate) fn slow_write(_: &Job, mut options: Options) -> Result {
    let lines: u32 = options.next("LINES")?.unwrap_or(300);
    options.finish()?;
    let mut file = File::create(at("/out/result"))?;
    for line in 0..lines {
        writeln!(file, "line {line}")?;
        file.flush()?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

//! Writing outputs, properly and in odd ways.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::thread;
use std::time::Duration;

use mc2_guest::{Error, Job, Options, Result};
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

/// Files of a folder, each of so many bytes: 1, 2, …, 250, 1, ….
pub(crate) fn fill_folder(job: &Job, mut options: Options) -> Result {
    let output: String = required(&mut options, "OUTPUT")?;
    let folder = job.output_folder(&output)?;
    while let Some(file) = options.next::<String>("PATH=LENGTH")? {
        let wrong = || Error::new(format!("{file} is not PATH=LENGTH"));
        let (path, length) = file.split_once('=').ok_or_else(wrong)?;
        let length: u32 = length.parse().map_err(|_| wrong())?;
        let bytes: Vec<u8> = (0..length).map(|at| (at % 250) as u8 + 1).collect();
        let mut file = folder.file(path)?;
        file.write_all(&bytes)?;
        file.finish()?;
    }
    options.finish()
}

/// A line for each file of an input: its path, its length as listed and as read, and whether its
/// bytes are those that `fill-folder` writes.
pub(crate) fn list(job: &Job, mut options: Options) -> Result {
    let input: String = required(&mut options, "INPUT")?;
    let output: String = required(&mut options, "OUTPUT")?;
    options.finish()?;
    let input = job.input(&input)?;
    let mut output = job.output(&output)?;
    writeln!(output, "{} bytes", input.len())?;
    for file in input.files()? {
        let mut bytes = Vec::new();
        file.reader()?.read_to_end(&mut bytes)?;
        let right = bytes.iter().zip(0_u32..);
        let right = right.map(|(byte, at)| u32::from(*byte) == at % 250 + 1);
        let verdict = if right.min().unwrap_or(true) {
            "right"
        } else {
            "WRONG"
        };
        let (name, length) = (file.name(), file.len());
        writeln!(output, "{name} {length} {} {verdict}", bytes.len())?;
    }
    output.finish()
}

/// Writes of an input what kind of data it is said to be, and of the output itself what is wanted there.
pub(crate) fn media_types(job: &Job, mut options: Options) -> Result {
    let input: String = required(&mut options, "INPUT")?;
    let name: String = required(&mut options, "OUTPUT")?;
    options.finish()?;
    let input = job.input(&input)?;
    let wanted = job.output_media_type(&name).unwrap_or("anything");
    let mut output = job.output(&name)?;
    write!(output, "{} {wanted}", input.media_type())?;
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
    file.write_all(&vec![b'a'; 300_000])?;
    file.flush()?;
    for start in [200_000, 0, 131_072, 1] {
        file.seek(SeekFrom::Start(start))?;
        file.write_all(&vec![b'c'; 65_536])?;
    }
    file.set_len(10)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&vec![b'b'; 70_000])?;
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

//! What the workload does. It is apart from `main` so that tests run it natively.

use std::cmp::Reverse;
use std::io::{BufRead, Write};

use mc2_guest::{Context, Job, Result};

/// Prints the longest lines of the input `text`, the longest first; with `--output NAME` it also
/// writes them to the output NAME as CSV.
pub fn work(job: &Job) -> Result {
    let mut options = job.options();
    let output: Option<String> = options.value("--output")?;
    let top: usize = options.next("TOP")?.unwrap_or(3);
    options.finish()?;

    let lines = longest(job.input("text")?.reader()?, top).context("reading `text`")?;
    job.progress(0.9, "found the longest lines");
    for line in &lines {
        println!("{:>4} characters in line {}", line.length, line.number);
    }
    let Some(name) = output else { return Ok(()) };
    let mut table = job.output(&name)?;
    writeln!(table, "line,length")?;
    for line in &lines {
        writeln!(table, "{},{}", line.number, line.length)?;
    }
    table.finish()
}

/// A line of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// Its length in characters.
    pub length: usize,
}

/// The `top` longest lines; of equal ones the first comes first.
pub fn longest(text: impl BufRead, top: usize) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let length = line?.chars().count();
        lines.push(Line {
            number: index + 1,
            length,
        });
    }
    lines.sort_by_key(|line| Reverse(line.length));
    lines.truncate(top);
    Ok(lines)
}

//! Counts the words of every input: `wordcount [TOP] [--output NAME]`.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use mc2_guest::Context;

fn main() -> std::process::ExitCode {
    mc2_guest::run(|job| {
        let mut options = job.options();
        let output: Option<String> = options.value("--output")?;
        let top: usize = options.next("TOP")?.unwrap_or(10);
        options.finish()?;

        let mut counts = BTreeMap::<String, u64>::new();
        for file in job.files()? {
            for line in file.reader()?.lines() {
                let line = line.with_context(|| format!("reading `{}`", file.name()))?;
                for word in line.split(|c: char| !c.is_alphanumeric()) {
                    *counts.entry(word.to_lowercase()).or_default() += 1;
                }
            }
        }
        counts.remove(""); // what stands between two gaps

        let mut ranked: Vec<_> = counts.into_iter().collect();
        ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (word, count) in ranked.iter().take(top) {
            println!("{count:>10}  {word}");
        }
        let Some(name) = output else { return Ok(()) };
        let mut table = job.output(&name)?;
        writeln!(table, "word,count")?;
        for (word, count) in ranked {
            writeln!(table, "{word},{count}")?;
        }
        table.finish()
    })
}

//! What was measured, as a table for `BENCHMARKS.md`.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::process::{Doing, Failure, Outcome, capture};

/// One number and what it should be.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) measured: f64,
    /// In the same unit; none where the number is only reported.
    pub(super) target: Option<f64>,
    pub(super) more_is_better: bool,
}

impl Row {
    /// Reads the line a benchmark printed.
    pub(super) fn parse(line: &str) -> Outcome<Self> {
        let value: Value = serde_json::from_str(line)
            .doing(format_args!("reading the benchmark's line {line}"))?;
        let missing =
            |name: &str| Failure::new(format!("no {name} in the benchmark's line {line}"));
        let text = |name: &str| {
            value[name]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| missing(name))
        };
        Ok(Self {
            name: text("name")?,
            unit: text("unit")?,
            measured: value["measured"]
                .as_f64()
                .ok_or_else(|| missing("measured"))?,
            target: value["target"].as_f64(),
            more_is_better: value["more_is_better"].as_bool().unwrap_or(false),
        })
    }

    fn met(&self) -> Option<bool> {
        self.target.map(|target| {
            if self.more_is_better {
                self.measured >= target
            } else {
                self.measured <= target
            }
        })
    }

    fn target_shown(&self) -> String {
        match self.target {
            None => "–".to_owned(),
            Some(target) => {
                let bound = if self.more_is_better {
                    "at least"
                } else {
                    "at most"
                };
                format!("{bound} {} {}", number(target), self.unit)
            }
        }
    }
}

/// Prints the table; a missed target makes the command fail.
pub(super) fn print(rows: &[Row]) -> Outcome<()> {
    if rows.is_empty() {
        return Err(Failure::new("no benchmark of that name"));
    }
    println!("Measured {} on {}\n", today()?, processor());
    println!("| what | target | measured | |\n|---|---|---|---|");
    for row in rows {
        let met = match row.met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        println!(
            "| {} | {} | {} {} | {met} |",
            row.name,
            row.target_shown(),
            number(row.measured),
            row.unit,
        );
    }
    let missed = rows.iter().filter(|row| row.met() == Some(false)).count();
    if missed > 0 {
        return Err(Failure::new(format!(
            "{missed} of {} targets missed",
            rows.len()
        )));
    }
    Ok(())
}

/// Three significant digits.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

fn today() -> Outcome<String> {
    Ok(capture(Command::new("date").args(["--utc", "+%Y-%m-%d"]))?
        .trim()
        .to_owned())
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unnamed processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_benchmark_is_read_and_judged() {
        let line = r#"{"name":"seal","unit":"of openssl","measured":0.7,"target":0.8,"more_is_better":true}"#;
        let row = Row::parse(line).unwrap();
        assert_eq!(row.met(), Some(false));
        assert_eq!(row.target_shown(), "at least 0.800 of openssl");
        let reported = r#"{"name":"x","unit":"ms","measured":12.34}"#;
        let row = Row::parse(reported).unwrap();
        assert_eq!((row.met(), number(row.measured)), (None, "12.3".to_owned()));
        assert!(Row::parse("{}").is_err());
    }
}

//! `cargo xtask attacks`: `SECURITY.md`'s table of attacks, with the tests that mount them.
//!
//! Every row names its tests, or what it waits for. A name that no test function in the sources
//! has is an error, so a test that is renamed or deleted cannot go on guarding a row in writing
//! only. Nothing is built.

use std::fs;

use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, say};

mod sources;
mod table;

use sources::{Found, Sources};
use table::{Named, Row};

/// The rows the project's list of attacks has.
const ROWS: u32 = 44;

/// `cargo xtask attacks`.
pub(crate) fn run(machine: &Machine) -> Outcome<()> {
    let rows = rows(machine)?;
    let sources = Sources::read(machine)?;
    for row in &rows {
        println!("{:>2}  {}", row.number, row.attack);
        for named in &row.tests {
            match sources.find(named) {
                Found::One(file) => println!("      {named}  ({file})"),
                Found::None | Found::Several(_) => println!("      {named}  (NOT FOUND)"),
            }
        }
        if let Some(waits) = &row.waits {
            println!("      {waits}");
        }
    }
    let without: Vec<&Row> = rows.iter().filter(|row| row.tests.is_empty()).collect();
    println!("\nrows without a test: {}", without.len());
    for row in without {
        let waits = row.waits.as_deref().unwrap_or("says nothing");
        println!("{:>2}  {}: {waits}", row.number, row.attack);
    }
    judge(&rows, &sources)
}

/// The same judgement, in one line when all is well.
pub(crate) fn check(machine: &Machine) -> Outcome<()> {
    let rows = rows(machine)?;
    judge(&rows, &Sources::read(machine)?)?;
    let tests: usize = rows.iter().map(|row| row.tests.len()).sum();
    let waiting = rows.iter().filter(|row| row.waits.is_some()).count();
    say(format_args!(
        "SECURITY.md names {tests} tests for {ROWS} attacks; {waiting} rows wait for more"
    ));
    Ok(())
}

/// The functions of tests named as the table names them, each of which must be there.
pub(crate) fn functions<'a>(
    machine: &Machine,
    names: &'a [&'a str],
) -> Outcome<impl Iterator<Item = &'a str>> {
    let sources = Sources::read(machine)?;
    for name in names {
        if !matches!(sources.find(&Named::parse(name)), Found::One(_)) {
            return Err(Failure::new(format!(
                "`{name}` is not one test of the sources"
            )));
        }
    }
    Ok(names.iter().filter_map(|name| name.rsplit("::").next()))
}

fn rows(machine: &Machine) -> Outcome<Vec<Row>> {
    let file = machine.root.join("SECURITY.md");
    let text = fs::read_to_string(&file).doing(format_args!("reading {}", file.display()))?;
    table::rows(&text)
}

fn judge(rows: &[Row], sources: &Sources) -> Outcome<()> {
    let mut wrong = Vec::new();
    for number in 1..=ROWS {
        match rows.iter().filter(|row| row.number == number).count() {
            1 => {}
            0 => wrong.push(format!("row {number} is missing")),
            many => wrong.push(format!("row {number} stands {many} times")),
        }
    }
    for row in rows {
        let number = row.number;
        if row.tests.is_empty() && row.waits.is_none() {
            wrong.push(format!(
                "row {number} names no test and does not say what it waits for"
            ));
        }
        for named in &row.tests {
            match sources.find(named) {
                Found::One(_) => {}
                Found::None => wrong.push(format!(
                    "row {number} names `{named}`: no such test is in the sources"
                )),
                Found::Several(files) => wrong.push(format!(
                    "row {number} names `{named}`, which several tests are called ({}): put \
                     the module before it",
                    files.join(", ")
                )),
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "SECURITY.md's table of attacks is not right:\n  {}",
        wrong.join("\n  ")
    )))
}

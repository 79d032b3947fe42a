//! The one suite of file behaviour: what a guest may rely on, in the sandbox and under plain
//! Wasmtime alike. `conformance [--sandbox] [--only PART]`.
//!
//! It wants an input `data` (a file), may have others (folders too), and declares the outputs
//! `result` (a file) and `files/` (a folder). Every claim prints `ok NAME`,
//! `FAILED NAME: reason` or `skipped NAME: reason`; the last line counts. `--sandbox` adds what
//! only the sandbox promises: no links, nothing outside four folders. (A job that as much as tries
//! to make an undeclared output has failed there, so that is the hostile component's to try.)

mod check;
mod files;
mod folders;
mod inputs;
mod isolation;
mod names;
mod outputs;
mod positions;
mod sharing;

use std::fs;
use std::process::ExitCode;

use mc2_guest::{Context, Error, Job, Result};
use mc2_test_guests::at;

use check::World;

/// A claim's name, and what shows it.
type Case = (&'static str, fn(&World<'_>) -> Result);

const PARTS: [&[Case]; 8] = [
    files::CASES,
    positions::CASES,
    sharing::CASES,
    folders::CASES,
    names::CASES,
    inputs::CASES,
    outputs::CASES,
    isolation::CASES,
];

fn main() -> ExitCode {
    mc2_guest::run(|job| {
        let mut options = job.options();
        let sandbox = options.flag("--sandbox")?;
        let only: String = options.value("--only")?.unwrap_or_default();
        options.finish()?;
        suite(job, sandbox, &only)
    })
}

fn suite(job: &Job, sandbox: bool, only: &str) -> Result {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, case) in PARTS
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.contains(only))
    {
        let folder = at("/tmp").join(name);
        fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        let world = World {
            job,
            sandbox,
            folder,
        };
        match case(&world) {
            Ok(()) => {
                passed += 1;
                println!("ok {name}");
            }
            Err(error) if error.to_string().starts_with(check::SKIPPED) => {
                skipped += 1;
                println!(
                    "skipped {name}: {}",
                    error.chain().last().unwrap_or_default()
                );
            }
            Err(error) => {
                failed += 1;
                println!("FAILED {name}: {error}");
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    match failed {
        0 => Ok(()),
        _ => Err(Error::new(format!(
            "{failed} claims about files do not hold"
        ))),
    }
}

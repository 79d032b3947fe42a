//! Instances that talk to each other, well and badly: `peers BEHAVIOUR [ARGUMENT…]`. See
//! [`BEHAVIOURS`].

mod talk;
mod trouble;

use std::process::ExitCode;

use mc2_guest::{Error, Job, Options, Result};

/// What a behaviour does with the job and the rest of the command line.
type Behaviour = fn(&Job, Options) -> Result;

/// Name, arguments, and what it does.
const BEHAVIOURS: &[(&str, &str, Behaviour)] = &[
    // Honest work.
    ("greet", "", talk::greet),
    ("ring", "MIB", talk::ring),
    ("allreduce", "COUNT ROUNDS", talk::allreduce),
    ("gather", "", talk::gather),
    ("compute", "ROUNDS", talk::compute),
    ("print", "", talk::print),
    ("outputs", "", talk::outputs),
    ("whisper", "TEXT MIB", talk::whisper),
    ("ping", "COUNT", talk::ping),
    // Trouble.
    ("fail", "RANK trap|exit|error|early-exit", trouble::fail),
    ("never-read", "MIB", trouble::never_read),
    ("deadlock", "read|write|ring", trouble::deadlock),
    ("own", "", trouble::own),
    ("both-write", "file|folder", trouble::both_write),
    ("alloc", "MIB", trouble::alloc),
    ("flood", "", trouble::flood),
    ("scratch", "MIB", trouble::scratch),
    ("small-writes", "BYTES", trouble::small_writes),
    ("reopen", "", trouble::reopen),
];

fn main() -> ExitCode {
    mc2_guest::run(|job| {
        let Some((name, rest)) = job.arguments().split_first() else {
            return Err(usage());
        };
        let found = BEHAVIOURS.iter().find(|(known, _, _)| known == name);
        let Some((_, _, behave)) = found else {
            return Err(usage());
        };
        behave(job, Options::new(rest))
    })
}

fn usage() -> Error {
    let mut text = "usage: peers BEHAVIOUR, one of".to_owned();
    for (name, arguments, _) in BEHAVIOURS {
        text.push_str(&format!("\n  {name} {arguments}"));
    }
    Error::new(text)
}

/// The argument that must be there.
fn required<T: std::str::FromStr<Err: std::fmt::Display>>(
    options: &mut Options,
    what: &str,
) -> Result<T> {
    options
        .next(what)?
        .ok_or_else(|| Error::new(format!("{what} is missing")))
}

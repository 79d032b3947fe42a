//! What a component could do to the runtime, and some honest work that tests and benchmarks need:
//! `hostile BEHAVIOUR [ARGUMENT…]`. See [`BEHAVIOURS`].
//!
//! Where a behaviour tries what must not work, it prints `refused WHAT` or `GOT WHAT` and
//! succeeds only if all was refused.

mod ends;
mod escape;
mod exhaust;
mod flood;
mod measure;
mod outputs;
mod report;
mod spill;
mod steer;

use std::process::ExitCode;

use mc2_guest::{Error, Job, Options, Result};

/// What a behaviour does with the job and the rest of the command line.
type Behaviour = fn(&Job, Options) -> Result;

/// Name, arguments, and what it does.
const BEHAVIOURS: &[(&str, &str, Behaviour)] = &[
    // Using up what the enclave has.
    ("loop", "", exhaust::spin),
    ("alloc", "MIB", exhaust::alloc),
    ("alloc-many", "", exhaust::alloc_many),
    ("stack", "", exhaust::stack),
    ("stack-frames", "", exhaust::stack_frames),
    ("open-files", "[MOST]", exhaust::open_files),
    ("dirs", "[MOST]", exhaust::dirs),
    ("host-calls", "[COUNT]", exhaust::host_calls),
    ("sleep", "SECONDS", exhaust::sleep),
    ("stdout-flood", "", flood::stdout),
    ("stderr-flood", "", flood::stderr),
    ("out-flood", "", flood::out),
    ("scratch-flood", "", flood::scratch),
    ("progress-flood", "", flood::progress),
    // Ways to end.
    ("trap", "", ends::trap),
    ("panic", "", ends::panic),
    ("abort", "", ends::abort),
    ("exit", "CODE", ends::exit),
    ("fail", "TEXT", ends::fail),
    ("partial-out", "", ends::partial_out),
    // Reaching what is out of reach, saying what is not to be said.
    ("escape", "[ADDRESS:PORT]", escape::escape),
    ("write-in", "", escape::write_in),
    ("undeclared-output", "", escape::undeclared_output),
    ("leak", "TEXT", report::leak),
    ("tell", "TEXT", steer::tell),
    ("steered", "INPUT OUTPUT", steer::steered),
    ("read-pattern", "INPUT", measure::read_pattern),
    // Honest work.
    ("echo", "[TEXT…]", report::echo),
    ("env", "", report::environment),
    ("random", "", report::random),
    ("clock", "", report::clock),
    ("peers", "", report::peers),
    ("keys", "[NAME…]", report::keys),
    ("copy", "INPUT OUTPUT", outputs::copy),
    ("fill-folder", "OUTPUT [PATH=LENGTH…]", outputs::fill_folder),
    ("list", "INPUT OUTPUT", outputs::list),
    ("media-types", "INPUT OUTPUT", outputs::media_types),
    ("overwrite", "", outputs::overwrite),
    ("slow-write", "[LINES]", outputs::slow_write),
    ("spill", "MIB", spill::spill),
    ("sum", "INPUT [--touch]", measure::sum),
    ("random-read", "INPUT COUNT", measure::random_read),
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
    let mut text = "usage: hostile BEHAVIOUR, one of".to_owned();
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

//! A workload's `main`.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::job::Job;
use crate::root::{open_sink, root};
use crate::{Error, Result};

/// Loads the job, does `work`, and turns what came of it into the exit code a runtime expects.
///
/// A failure's words go to `/run/mc2/error`, where the runtime takes the job's failure message
/// from, and to stderr; the exit code is then 1. So do a panic's. Where the failure has a code
/// ([`crate::fail_with_code`]) it is the first line of that file, and alone there where it says
/// nothing else.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     mc2_guest::run(|job| {
///         println!("{} arguments", job.arguments().len());
///         Ok(())
///     })
/// }
/// ```
pub fn run(work: impl FnOnce(&Job) -> Result) -> ExitCode {
    // Natively a panic belongs to the test harness.
    if cfg!(target_family = "wasm") {
        report_panics();
    }
    match Job::load().and_then(|job| work(&job)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn report(error: &Error) {
    // Nothing is left to tell where even stderr is gone.
    let _ = writeln!(io::stderr(), "error: {error}");
    write_failure(&message(error));
}

fn message(error: &Error) -> String {
    let words = error.to_string();
    match error.code() {
        Some(code) if code != words => format!("{code}\n{words}"),
        _ => words,
    }
}

fn report_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        write_failure(&panic.to_string());
    }));
}

/// Best effort: plain Wasmtime has no such file, and there stderr has said it.
fn write_failure(message: &str) {
    if let Ok(mut file) = open_sink(&root().join("run/mc2/error")) {
        let _ = file.set_len(0);
        let _ = file.write_all(message.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fail_with_code;

    #[test]
    fn a_code_is_the_first_line_and_alone_where_there_are_no_words() {
        let coded = fail_with_code("bad-row", Some("orders"), Some(17), Some(4));
        assert_eq!(message(&coded), "bad-row orders 17 4");
        let told = Error::new("no such column").with_code("bad-query", None, None, None);
        assert_eq!(
            message(&told.context("joining orders")),
            "bad-query\njoining orders: no such column"
        );
        assert_eq!(message(&Error::new("no rows")), "no rows");
    }
}

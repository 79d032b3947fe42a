//! What the two commands share: how they speak to a person, and how they end.

pub mod appraise;
pub mod broker;
pub mod collateral;
pub mod identity;
pub mod ledger;
pub mod party;
pub mod policy;
mod progress;
pub mod prune;
pub mod trust;
pub mod verbs;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use mc2_protocol::{Digest, Name, policy::MAX_INSTANCES};
use serde_json::{Value, json};

use crate::exit::Exit;

pub use crate::terminal::chain;
pub use progress::Progress;

/// Parses a command line; a wrong one ends with [`Exit::BadInput`], `--help` with success.
///
/// # Errors
/// How the process ends instead.
pub fn parse<T: Parser>() -> Result<T, ExitCode> {
    T::try_parse().map_err(|error| {
        // Where it cannot be shown, the exit code still says it.
        let _ = error.print();
        if error.use_stderr() {
            if wants_json() {
                let object = error_json(Exit::BadInput, &error.to_string());
                let _ = writeln!(io::stdout(), "{object}");
            }
            return Exit::BadInput.into();
        }
        Exit::Success.into()
    })
}

/// Shows what the embedded host and its runtime log, where `MC2_LOG` asks for it (`info`,
/// `mc2_host=debug`, …).
pub fn log() {
    let Ok(filter) = std::env::var("MC2_LOG") else {
        return;
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(io::stderr)
        .init();
}

/// Whether the command line asks for JSON, wherever it says so.
pub fn wants_json() -> bool {
    let mut arguments = std::env::args_os().take_while(|argument| argument != "--");
    arguments.any(|argument| argument == "--json")
}

/// What a command did as one JSON object in a line: `version`, `status`, `exit_code`, and these
/// fields.
pub fn object(status: &str, exit: Exit, fields: Value) -> String {
    format!("{}\n", of_fields(status, exit, fields))
}

fn of_fields(status: &str, exit: Exit, fields: Value) -> Value {
    let mut object = json!({
        "version": 1,
        "status": status,
        "exit_code": exit.code(),
    });
    if let (Value::Object(all), Value::Object(fields)) = (&mut object, fields) {
        all.extend(fields);
    }
    object
}

/// An error as one JSON object.
pub fn error_json(exit: Exit, message: &str) -> Value {
    let fields = json!({ "meaning": exit.meaning(), "message": message });
    of_fields("error", exit, fields)
}

/// Reads `NAME=PATH`.
///
/// # Errors
/// What was expected.
pub fn name_and_path(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(path)))
        }
        _ => Err("expected NAME=PATH, such as sales=sales.csv".to_owned()),
    }
}

/// Reads `DATASET=OBJECT`.
///
/// # Errors
/// What was expected.
pub fn version(text: &str) -> Result<(Name, Digest), String> {
    let expected = "expected DATASET=OBJECT, an object's id of 64 hexadecimal digits";
    let (name, object) = name_and(text, expected)?;
    let object = object.parse().map_err(|_| expected.to_owned())?;
    Ok((name, object))
}

/// Reads a number of instances, where `auto` is as many as this machine lets the program use cores.
///
/// # Errors
/// What was expected.
pub fn instances(text: &str) -> Result<u32, String> {
    if text == "auto" {
        // A machine that does not say has one.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        return Ok(u32::try_from(cores)
            .unwrap_or(MAX_INSTANCES)
            .min(MAX_INSTANCES));
    }
    match text.parse() {
        Ok(count) if (1..=MAX_INSTANCES).contains(&count) => Ok(count),
        _ => Err(format!(
            "expected 1 to {MAX_INSTANCES}, or auto for as many as there are cores"
        )),
    }
}

/// Reads `NAME=` and what follows it.
fn name_and<'t>(text: &'t str, expected: &str) -> Result<(Name, &'t str), String> {
    let (name, value) = text.split_once('=').ok_or(expected)?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    Ok((name, value))
}

/// The first argument's file name, for messages.
pub fn program() -> String {
    let path = std::env::args_os()
        .next()
        .unwrap_or_else(|| OsString::from("mc2"));
    let name = PathBuf::from(path);
    let name = name
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "mc2".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_a_number_or_as_many_as_cores() {
        assert_eq!(instances("1"), Ok(1));
        assert_eq!(instances("16"), Ok(16));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(
            instances("auto").map(|count| count as usize),
            Ok(cores.min(16))
        );
        let expected = Err("expected 1 to 16, or auto for as many as there are cores".to_owned());
        for wrong in ["0", "17", "-1", "", "all", "Auto"] {
            assert_eq!(instances(wrong), expected, "{wrong:?}");
        }
    }
}

//! The compiling child: all that the program `mc2-compile` does.

use std::io::{Read, Write};
use std::process::ExitCode;

use super::compile::{INVALID, UNCONFINED};
use super::confine::confine;
use crate::engine::{self, EngineProfile};
use crate::limits::Caps;

/// The whole of the compiling child: arguments after [`COMPILE_CHILD`](super::COMPILE_CHILD) from the
/// command line, the component from stdin, the code to stdout.
pub fn compile_child_main() -> ExitCode {
    let (reason, code) = match child(std::env::args().skip(2).collect()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failed::Invalid(reason)) => (reason, INVALID),
        Err(Failed::Unconfined(error)) => (error.to_string(), UNCONFINED),
    };
    eprintln!("{reason}");
    ExitCode::from(code as u8)
}

enum Failed {
    Invalid(String),
    Unconfined(std::io::Error),
}

impl From<&str> for Failed {
    fn from(reason: &str) -> Self {
        Self::Invalid(reason.to_owned())
    }
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Self::Invalid(reason)
    }
}

fn child(arguments: Vec<String>) -> Result<(), Failed> {
    let [profile, metering, memory, seconds] = arguments.as_slice() else {
        return Err("this command is internal to the runtime".into());
    };
    let profile: EngineProfile = profile.parse().map_err(|_| "unknown profile")?;
    let memory: u64 = memory.parse().map_err(|_| "bad memory limit")?;
    let seconds: u64 = seconds.parse().map_err(|_| "bad time limit")?;
    confine(memory, seconds).map_err(Failed::Unconfined)?;

    let mut component = Vec::new();
    std::io::stdin()
        .lock()
        .take(Caps::DEFAULT.component_bytes + 1)
        .read_to_end(&mut component)
        .map_err(|error| format!("reading the component failed: {error}"))?;
    let code = engine::bare(profile, metering == "metered")
        .map_err(|error| error.to_string())?
        .precompile_component(&component)
        .map_err(|error| format!("{error:#}"))?;
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(&code)
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("writing the code failed: {error}").into())
}

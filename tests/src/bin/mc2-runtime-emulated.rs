//! `mc2-runtime` with its devices below the folder that is its first argument, where a test emulates
//! them. NOT SECURE, and not for anything else.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use mc2_runtime::{
    Devices,
    start::{self, Arguments},
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => start::fail(error.as_ref()),
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut rest = std::env::args_os().skip(1);
    let root = rest.next().ok_or("expected the folder of the devices")?;
    start::run(&Devices::below(root), Arguments::parse(rest)?)
}

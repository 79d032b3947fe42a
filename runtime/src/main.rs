//! `mc2-runtime`: the runtime in a real enclave. It holds no simulator: where there is no TEE it
//! says so and ends.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use mc2_runtime::{
    Devices, init,
    start::{self, Arguments, USAGE},
};

fn main() -> ExitCode {
    if init::is_first() {
        return init::run();
    }
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("mc2-runtime: {error}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match start::run(&Devices::of_this_machine(), arguments, (None, None)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => start::fail(error.as_ref()),
    }
}

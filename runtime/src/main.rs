//! `mc2-runtime`: the runtime in a real enclave. It holds no simulator: where there is no TEE it
//! says so and ends.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use mc2_runtime::start::{self, Arguments, USAGE};

fn main() -> ExitCode {
    if let Err(error) = start::forbid_core_dumps() {
        return start::fail(&error);
    }
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("mc2-runtime: {error}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    // Attesters for SGX, TDX, SEV-SNP and Nitro take their places here; until one finds its
    // device there is nothing this process could prove, so it does not run.
    eprintln!(
        "mc2-runtime: this release has no attester for the hardware of this machine, so it cannot \
         prove what it is and does not start (host {}, engine profile {}).\n\
         To try MC2 without an enclave use mc2-runtime-sim, which is NOT SECURE.",
        arguments.host, arguments.profile,
    );
    ExitCode::FAILURE
}

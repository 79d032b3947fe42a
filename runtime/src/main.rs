//! `mc2-runtime`: the runtime in a real enclave. It holds no simulator: where there is no TEE it
//! says so and ends.

#![forbid(unsafe_code)]

use std::{error::Error, hint::black_box, process::ExitCode};

use mc2_protocol::documents::record::CompilationCache;
use mc2_runtime::{
    Attester, RuntimeConfig,
    start::{self, Arguments, USAGE, component_stores},
};

/// Looks for one kind of TEE.
type Find = fn() -> Option<Box<dyn Attester>>;

/// Those of SGX, TDX, SEV-SNP and Nitro take their places here.
const ATTESTERS: &[Find] = &[];

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("mc2-runtime: {error}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => start::fail(error.as_ref()),
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    start::forbid_core_dumps()?;
    // Not known to be empty, so that this program is all of what an enclave will hold.
    let attester = black_box(ATTESTERS).iter().find_map(|find| find());
    let Some(attester) = attester else {
        return Err(format!(
            "mc2-runtime: this release has no attester for the hardware of this machine, so it \
             cannot prove what it is and does not start (host {}, engine profile {}).\n\
             To try MC2 without an enclave use mc2-runtime-sim, which is NOT SECURE.",
            arguments.host, arguments.profile,
        )
        .into());
    };
    let (components, metered) = component_stores(arguments.profile, None, None)?;
    start::serve(RuntimeConfig {
        name: "mc2-runtime",
        host: arguments.host,
        policy_digest: arguments.policy_digest,
        compilation_cache: CompilationCache::Memory,
        components,
        metered,
        attester,
    })?;
    Ok(())
}

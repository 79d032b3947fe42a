//! `mc2-runtime`: the runtime in a real enclave. It holds no simulator: where there is no TEE it
//! says so and ends.

#![forbid(unsafe_code)]

use std::{error::Error, process::ExitCode};

use mc2_protocol::documents::record::CompilationCache;
use mc2_runtime::{
    Devices, RuntimeConfig, detect, init,
    start::{self, Arguments, USAGE, component_stores},
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
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => start::fail(error.as_ref()),
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    start::forbid_core_dumps()?;
    let mut attester = detect(&Devices::of_this_machine()).map_err(|none| {
        format!(
            "mc2-runtime: {none}\n\
             To try MC2 without an enclave use mc2-runtime-sim, which is NOT SECURE."
        )
    })?;
    if let Some(policy) = &arguments.policy_digest {
        attester.fix_tenant(policy)?;
    }
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

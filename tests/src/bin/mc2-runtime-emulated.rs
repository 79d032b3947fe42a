//! `mc2-runtime` with its devices below the folder that is its first argument, where a test emulates
//! them. NOT SECURE, and not for anything else.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use mc2_protocol::documents::record::CompilationCache;
use mc2_runtime::{
    Devices, RuntimeConfig, detect,
    start::{self, Arguments, component_stores},
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
    let arguments = Arguments::parse(rest)?;
    let mut attester = detect(&Devices::below(root))?;
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

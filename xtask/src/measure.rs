//! `cargo xtask measure`: what the release runtimes measure to, as reference
//! values that a verifier's trust store takes.

use serde_json::json;

use crate::build;
use crate::digest;
use crate::machine::Machine;
use crate::process::{Doing, Outcome};

/// Prints one JSON object a runtime: the simulator's measurement is the
/// SHA-256 of its executable.
pub(crate) fn run(machine: &Machine) -> Outcome<()> {
    let binaries = build::binaries(machine)?;
    let mut runtimes = Vec::new();
    for name in ["mc2-runtime", "mc2-runtime-sim"] {
        let measurement = digest::file(&binaries.join(name))?;
        runtimes.push(json!({
            "name": name,
            "version": env!("CARGO_PKG_VERSION"),
            "measurements": { "executable_sha256": measurement },
        }));
    }
    let text = serde_json::to_string_pretty(&json!({ "runtimes": runtimes }));
    println!("{}", text.doing("writing the measurements as JSON")?);
    Ok(())
}

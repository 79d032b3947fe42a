//! `cargo xtask measure`: what the release runtimes measure to, as the reference values that a
//! verifier's trust store holds.

use serde_json::{Value, json};

use crate::build;
use crate::digest;
use crate::machine::Machine;
use crate::process::{Doing, Outcome, say};

/// Prints a JSON array of reference values (docs/attestation.md): the simulator's measurement is
/// the SHA-256 of its executable.
///
/// `mc2-runtime` and `mc2-compile` have none here: what a TEE measures is an image around both.
/// Their executables' digests, which every such image holds, go to standard error.
pub(crate) fn run(machine: &Machine) -> Outcome<()> {
    let binaries = build::binaries(machine)?;
    let values = [reference_value(
        "sim",
        "mc2-runtime-sim",
        &digest::file(&binaries.join("mc2-runtime-sim"))?,
    )];
    let text = serde_json::to_string_pretty(&values);
    println!("{}", text.doing("writing the reference values as JSON")?);
    for name in ["mc2-runtime", "mc2-compile"] {
        say(format_args!(
            "{name}: SHA-256 of the executable {}; no image of it for a TEE is built here",
            digest::file(&binaries.join(name))?,
        ));
    }
    Ok(())
}

/// The fields of `mc2_attestation::ReferenceValue`, which this crate does not link.
fn reference_value(tee: &str, runtime: &str, measurement: &str) -> Value {
    json!({
        "tee": tee,
        "measurement": measurement,
        "runtime": runtime,
        "version": env!("CARGO_PKG_VERSION"),
        "revoked": false,
    })
}

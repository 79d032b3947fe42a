//! Where a release comes from: an in-toto Statement as receipts are (protocol.md §12), its predicate
//! SLSA's provenance v1.

use std::process::Command;

use serde_json::{Value, json};

use crate::digest;
use crate::images::static_build;
use crate::machine::Machine;
use crate::process::{Outcome, capture};

/// The statement over files by name and SHA-256.
pub(super) fn of(machine: &Machine, files: &[(String, String)]) -> Outcome<Value> {
    let commit = capture(
        Command::new("git")
            .arg("-C")
            .arg(&machine.root)
            .args(["rev-parse", "HEAD"]),
    )?;
    let mut materials = vec![json!({
        "name": "source",
        "digest": { "gitCommit": commit.trim() },
    })];
    for name in [
        "Cargo.lock",
        "xtask/toolchain.lock",
        "host/images/kernel/source.toml",
    ] {
        materials.push(json!({
            "name": name,
            "digest": { "sha256": digest::file(&machine.root.join(name))? },
        }));
    }
    let subject: Vec<Value> = files
        .iter()
        .map(|(name, digest)| json!({ "name": name, "digest": { "sha256": digest } }))
        .collect();
    Ok(json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:mc2:build:v1",
                "externalParameters": { "command": "cargo xtask dist" },
                "internalParameters": { "tools": static_build::tools(machine)? },
                "resolvedDependencies": materials,
            },
            "runDetails": { "builder": { "id": "urn:mc2:builder:by-hand" } },
        },
    }))
}

//! `cargo xtask fuzz`: the targets of `fuzz/`, each for a while, from its seeds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, run as run_command, say, succeeds};

/// Most memory a target may use, in MiB, and most seconds for one input: more is a finding.
const MEMORY: u32 = 1024;
const SECONDS_FOR_ONE: u32 = 10;
/// Longer inputs find nothing that these don't, only more slowly.
const LONGEST: u32 = 20_000;
/// Where the XGBoost component's own tests keep small good files of every format.
const FIXTURES: &str = "workloads/xgboost/core/tests/fixtures";

#[derive(Args)]
pub(crate) struct Options {
    /// Targets; every one where none is named
    targets: Vec<String>,
    /// Seconds for each of them
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// `cargo xtask fuzz`.
pub(crate) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    let known = targets(&machine.root)?;
    if let Some(unknown) = options.targets.iter().find(|name| !known.contains(name)) {
        return Err(Failure::new(format!(
            "there is no fuzz target `{unknown}`; there are {}",
            known.join(", ")
        )));
    }
    if !succeeds(unstable(machine).args(["fuzz", "--version"])) {
        return Err(Failure::new(
            "fuzzing needs cargo-fuzz: `cargo install cargo-fuzz --locked`",
        ));
    }
    let chosen = if options.targets.is_empty() {
        &known
    } else {
        &options.targets
    };
    let mut found = Vec::new();
    for target in chosen {
        say(format_args!("fuzzing {target} for {} s", options.seconds));
        if let Err(failure) = fuzz(machine, target, options.seconds) {
            say(&failure);
            found.push(target.as_str());
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "found something: {}; the inputs are in fuzz/artifacts/TARGET, and once one is understood, \
         keep it as fuzz/seeds/TARGET/found-WHAT",
        found.join(", ")
    )))
}

fn fuzz(machine: &Machine, target: &str, seconds: u32) -> Outcome<()> {
    let corpus = machine.root.join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus).doing(format_args!("making {}", corpus.display()))?;
    run_command(
        unstable(machine)
            .args(["fuzz", "run", target])
            .arg(&corpus)
            .args(seeds(&machine.root, target))
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .arg(format!("-timeout={SECONDS_FOR_ONE}"))
            .arg(format!("-max_len={LONGEST}")),
    )
}

/// Cargo that takes unstable options: the nightly toolchain's, and where there is none, this
/// repository's own, told to.
fn unstable(machine: &Machine) -> Command {
    if succeeds(nightly(machine).arg("--version")) {
        return nightly(machine);
    }
    let mut command = machine.cargo();
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Cargo of the nightly toolchain, which Miri needs.
pub(crate) fn nightly(machine: &Machine) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo"])
        .current_dir(&machine.root);
    command
}

fn targets(root: &Path) -> Outcome<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let doing = format!("listing {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).doing(&doing)? {
        let path = entry.doing(&doing)?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into()));
    }
    names.sort();
    Ok(names)
}

fn seeds(root: &Path, target: &str) -> Vec<PathBuf> {
    let own = root.join("fuzz/seeds").join(target);
    if own.is_dir() {
        return vec![own];
    }
    ["small", "tables", "models"]
        .map(|name| root.join(FIXTURES).join(name))
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What reads evidence, or tokens of when there was some, is named by what that is.
    fn reads_evidence(target: &str) -> bool {
        ["_quote", "_report", "_document", "timestamp"]
            .iter()
            .any(|kind| target.ends_with(kind))
    }

    #[test]
    fn every_verifier_is_fuzzed_for_an_hour_a_night() {
        let mut verifiers = targets(Path::new("..")).unwrap();
        verifiers.retain(|target| reads_evidence(target));
        assert_eq!(verifiers.len(), 6);
        let nightly = fs::read_to_string("../.github/workflows/nightly.yml").unwrap();
        let matrix = format!("        target: [{}]\n", verifiers.join(", "));
        assert!(nightly.contains(&matrix), "expected {matrix}");
        let hour = "cargo xtask fuzz ${{ matrix.target }} --seconds 3600\n";
        assert!(nightly.contains(hour), "expected {hour}");
    }
}

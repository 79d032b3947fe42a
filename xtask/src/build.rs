//! `cargo xtask build`: release binaries and components.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::components;
use crate::machine::Machine;
use crate::process::{Doing as _, Failure, Outcome, run as run_command, say};
use crate::reproducible;
use crate::setup::{self, Tools};

/// The programs of a release, and the simulator.
const RELEASED: [&str; 6] = [
    "mc2",
    "mc2-run",
    "mc2-host",
    "mc2-runtime",
    "mc2-runtime-sim",
    "mc2-compile",
];

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Only this component (a package or one of its binaries), no release binaries; may be given more than once
    #[arg(long = "component", value_name = "NAME")]
    pub(crate) components: Vec<String>,
    /// Compile components even where the same source was compiled before
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Leave out the components that take many minutes
    #[arg(long)]
    pub(crate) quick: bool,
    /// Build each component in another place as well, and compare
    #[arg(long)]
    pub(crate) elsewhere: bool,
}

/// `cargo xtask build`.
pub(crate) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    let tools = setup::run(machine)?;
    everything(machine, &tools, options)?;
    say(format_args!(
        "components are in {}",
        machine.workloads()?.display()
    ));
    Ok(())
}

/// Builds what `options` ask for.
pub(crate) fn everything(machine: &Machine, tools: &Tools, options: &Options) -> Outcome<()> {
    if options.components.is_empty() {
        binaries(machine)?;
    }
    let workloads = machine.workloads()?;
    let packages = components::packages(machine)?;
    let mut built = 0;
    for package in packages {
        let wanted = options.components.is_empty() && !(options.quick && package.slow)
            || options
                .components
                .iter()
                .any(|name| *name == package.name || package.bins.contains(name));
        if wanted {
            components::build(machine, tools, &package, &workloads, options.no_cache)?;
            if options.elsewhere {
                reproducible::check(machine, tools, &package, &workloads)?;
            }
            built += 1;
        }
    }
    if built < options.components.len() {
        return Err(Failure::new(format!(
            "no such component among: {}",
            options.components.join(", ")
        )));
    }
    Ok(())
}

/// Builds the release binaries; gives their folder.
pub(crate) fn binaries(machine: &Machine) -> Outcome<PathBuf> {
    say("building the release binaries");
    let build = ["build", "--release", "--locked", "--bins"];
    run_command(machine.cargo().args(build))?;
    // Alone, and last: built with the others it would have what the client's features link in, the
    // compiler first of all.
    run_command(
        machine
            .cargo()
            .args(build)
            .args(["--package", "mc2-runtime"]),
    )?;
    keep(machine)?;
    machine.binaries()
}

/// Copies what tests must find as a release has it to a folder of its own: `cargo test` builds some of
/// it once more in the same place, with the features that only tests turn on.
fn keep(machine: &Machine) -> Outcome<()> {
    let (built, kept) = (machine.binaries()?, machine.released()?);
    fs::create_dir_all(&kept).doing(format_args!("making {}", kept.display()))?;
    for name in RELEASED {
        let (from, to) = (built.join(name), kept.join(name));
        // Not into a file that may be running.
        let _ = fs::remove_file(&to);
        fs::copy(&from, &to).doing(format_args!("copying {}", from.display()))?;
    }
    Ok(())
}

//! `cargo xtask reproduce`: released programs do not depend on where they are built.

use clap::Args;

use super::static_build::{Place, Program};
use crate::machine::Machine;
use crate::process::{Outcome, say};
use crate::reproducible::{Elsewhere, compare};

/// What is built twice beside the runtime.
#[derive(Args)]
pub(crate) struct Options {
    /// Also the program that the runtime starts to compile, and so the compiler in it
    #[arg(long)]
    compile: bool,
    /// Also the commands of people and hosts
    #[arg(long)]
    commands: bool,
}

/// `cargo xtask reproduce`: programs of a release, here and elsewhere.
pub(crate) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    check(machine, Program::Runtime)?;
    if options.compile {
        check(machine, Program::Compile)?;
    }
    if options.commands {
        for program in Program::COMMANDS {
            check(machine, program)?;
        }
    }
    Ok(())
}

/// Builds a program here and elsewhere, and compares.
fn check(machine: &Machine, program: Program) -> Outcome<()> {
    say(format_args!(
        "building {} here, and in another folder with another cargo home",
        program.name()
    ));
    let here = Place::here(machine)?.build(machine, program, &[])?;
    let elsewhere = Elsewhere::new(machine)?;
    let place = Place {
        workspace: elsewhere.workspace.clone(),
        cargo_home: elsewhere.cargo_home.clone(),
        target_dir: elsewhere.path("target"),
    };
    let there = place.build(machine, program, &["--offline", "--jobs=1"])?;
    compare(machine, program.name(), [&here, &there], &elsewhere)
}

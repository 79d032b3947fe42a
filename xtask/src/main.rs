//! `cargo xtask`: everything this repository does beside compiling.
//!
//! Start reading at [`setup`] (what a machine needs), then [`components`]
//! (how the same source becomes the same component bytes anywhere). The
//! other modules are a command each.

#![forbid(unsafe_code)]

mod attacks;
mod bench;
mod boot;
mod build;
mod components;
mod demo;
mod digest;
mod dist;
mod fuzz;
mod images;
mod layout;
mod licences;
mod lock;
mod machine;
mod measure;
mod miri;
mod process;
mod python;
mod reproducible;
mod setup;
mod source_date;
mod sources;
mod tcb;
mod test;
mod tpch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use machine::Machine;
use process::Outcome;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Sets up, builds, shows, tests and measures MC²"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what this machine lacks: the Wasm target, clang, Python packages
    Setup,
    /// Release binaries into target/released, components into target/workloads
    Build(build::Options),
    /// The whole path on real data: example workload first, then SQL over TPC-H
    Demo(demo::Options),
    /// Everything continuous integration checks
    Test(test::Options),
    /// The fuzz targets, each for a while (needs cargo-fuzz)
    Fuzz(fuzz::Options),
    /// The crates whose `unsafe` Miri can run (needs nightly and Miri)
    Miri,
    /// SECURITY.md's attacks with the tests that mount them; fails where a test is not there
    Attacks,
    /// Whether files, imports and crates stand as ARCHITECTURE.md and CONTRIBUTING.md say
    Layout,
    /// The wheel of the Python package, with the simulated runtime and the components in it
    Python,
    /// The numbers of BENCHMARKS.md, measured here
    Bench(bench::Options),
    /// The kernel of the images, built from Debian's source of it or taken from the cache
    Kernel(images::kernel::Options),
    /// What boots in a TEE: kernel, and an archive with the static runtime
    Image(images::Options),
    /// Boot the image and run a job in it: in a TEE of this machine, or NOT SECURE by emulation
    Boot(boot::Options),
    /// Build the runtime a second time elsewhere, and compare
    Reproduce(images::reproduce::Options),
    /// What a release publishes, in one folder
    Dist(dist::Options),
    /// Have a release list or a statement of provenance signed by a key that is elsewhere
    #[command(subcommand)]
    Sign(dist::signing::Sign),
    /// The measurement of the release runtimes, as reference values in JSON
    Measure(measure::Options),
    /// The trusted base: lines of own code, and crates, that mc2-runtime is made of
    Tcb,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nxtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Outcome<()> {
    let machine = Machine::detect()?;
    match command {
        Command::Setup => setup::run(&machine).map(drop),
        Command::Build(options) => build::run(&machine, &options),
        Command::Demo(options) => demo::run(&machine, &options),
        Command::Test(options) => test::run(&machine, &options),
        Command::Attacks => attacks::run(&machine),
        Command::Layout => layout::run(&machine),
        Command::Fuzz(options) => fuzz::run(&machine, &options),
        Command::Miri => miri::run(&machine),
        Command::Python => python::run(&machine),
        Command::Bench(options) => bench::run(&machine, &options),
        Command::Kernel(options) => images::kernel::run_command(&machine, &options),
        Command::Image(options) => images::run(&machine, &options),
        Command::Boot(options) => boot::run(&machine, &options),
        Command::Reproduce(options) => images::reproduce::run(&machine, &options),
        Command::Dist(options) => dist::run(&machine, &options),
        Command::Sign(command) => dist::signing::run(&command),
        Command::Measure(options) => measure::run(&machine, &options),
        Command::Tcb => tcb::run(&machine),
    }
}

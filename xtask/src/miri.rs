//! `cargo xtask miri`: the crates whose `unsafe` Miri can run, under Miri.
//!
//! Of the others: the sandbox's memories reserve address space and change its protection, native
//! code is handed to Wasmtime, and a child asks for its parent's death. Miri knows none of these
//! system calls; their tests run natively alone.

use crate::fuzz::nightly;
use crate::machine::Machine;
use crate::process::{Failure, Outcome, run as run_command, say, succeeds};

/// Packages, each with what is left out of it: tests that are about time or size and take Miri
/// hours.
const PACKAGES: [(&str, &[&str]); 1] = [("mc2-guest", &[])];

/// `cargo xtask miri`.
pub(crate) fn run(machine: &Machine) -> Outcome<()> {
    if !succeeds(nightly(machine).args(["miri", "--version"])) {
        return Err(Failure::new(
            "Miri is not installed: `rustup toolchain install nightly --component miri,rust-src`",
        ));
    }
    for (package, without) in PACKAGES {
        say(format_args!("{package} under Miri"));
        let mut command = nightly(machine);
        command
            .args(["miri", "test", "--locked", "--package", package, "--"])
            // The tests read and write files of their own.
            .env("MIRIFLAGS", "-Zmiri-disable-isolation");
        for name in without {
            command.args(["--skip", name]);
        }
        run_command(&mut command)?;
    }
    Ok(())
}

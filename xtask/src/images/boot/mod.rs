//! `cargo xtask boot`: the image boots, and a job runs in it over a sealed table.
//!
//! The table is sealed by `mc2-run`, and the model has to be, byte for byte, the one that the same
//! component trains without an enclave. [`emulated`] does it on any machine, by software, with the
//! simulated runtime.

mod console;
mod emulated;
mod scene;

use std::time::Duration;

use clap::Args;

use crate::machine::Machine;
use crate::process::Outcome;

/// Emulation is slow, and this machine may be busy.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Args)]
pub(crate) struct Options {
    /// How many processors the machine has
    #[arg(long, default_value_t = 2)]
    processors: u32,
}

/// `cargo xtask boot`.
pub(crate) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    emulated::run(machine, options.processors)
}

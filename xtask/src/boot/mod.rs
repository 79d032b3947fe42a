//! `cargo xtask boot`: the image boots, and a job runs in it over a sealed table.
//!
//! The table is sealed by `mc2-run`, and the model has to be, byte for byte, the one that the same
//! component trains without an enclave. [`emulated`] does it on any machine, by software, with the
//! simulated runtime; [`enclave`] on the owner's of a real one.

mod console;
mod emulated;
mod enclave;
mod scene;

use std::time::Duration;

use clap::Args;

use crate::machine::Machine;
use crate::measure::{Shape, Tee};
use crate::process::Outcome;

/// Emulation is slow, and this machine may be busy.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Args)]
pub(crate) struct Options {
    /// In which TEE of this machine; by emulation, with a simulated one, where nothing is said
    #[arg(long, value_enum, default_value_t = Tee::Sim)]
    tee: Tee,
    #[command(flatten)]
    shape: Shape,
    /// How much memory it has (SNP, TDX, Nitro)
    #[arg(long, value_name = "GIB", default_value_t = 16)]
    memory_gib: u32,
    /// Where Intel's quote generation service listens, a port of vsock (TDX)
    #[arg(long, value_name = "PORT", default_value_t = 4050)]
    quotes_port: u32,
}

/// `cargo xtask boot`.
pub(crate) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    match options.tee {
        Tee::Sim => {
            let shape = &options.shape;
            emulated::run(machine, shape.processors, shape.firmware.as_deref())
        }
        _ => enclave::run(machine, options),
    }
}

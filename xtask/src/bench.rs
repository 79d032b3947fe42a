//! bench
use crate::machine::Machine;
use crate::process::Outcome;
use clap::Args;
#[derive(Args)]
pub(crate) struct Options {}
pub(crate) fn run(_: &Machine, _: &Options) -> Outcome<()> {
    Ok(())
}

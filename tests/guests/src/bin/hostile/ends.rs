//! Ways to end that are no success.

use std::fs;
use std::process;

use mc2_guest::{Error, Job, Options, Result};
use mc2_test_guests::at;

use crate::required;

/// The instruction `unreachable`; natively an abort.
pub(crate) fn trap(_: &Job, options: Options) -> Result {
    options.finish()?;
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    process::abort()
}

pub(crate) fn panic(_: &Job, options: Options) -> Result {
    options.finish()?;
    panic!("a panic, as asked for")
}

pub(crate) fn abort(_: &Job, options: Options) -> Result {
    options.finish()?;
    process::abort()
}

pub(crate) fn exit(_: &Job, mut options: Options) -> Result {
    let code = required(&mut options, "CODE")?;
    options.finish()?;
    process::exit(code)
}

/// Fails as a well-behaved guest does.
pub(crate) fn fail(_: &Job, mut options: Options) -> Result {
    let text: String = required(&mut options, "TEXT")?;
    options.finish()?;
    Err(Error::new(text))
}

/// Leaves half of an output and exits with 3.
pub(crate) fn partial_out(_: &Job, options: Options) -> Result {
    options.finish()?;
    fs::write(at("/out/result"), b"the first half of ")?;
    println!("half written");
    process::exit(3)
}

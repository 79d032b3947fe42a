//! What the two test components share: where the guest's folders are, calls std has no stable
//! name for on wasm32-wasip2, and data that is the same in every run.
//!
//! - `conformance` is the one suite of file behaviour that passes under plain Wasmtime and in the
//!   sandbox.
//! - `hostile` does, by its first argument, what a component could do to the runtime, and some
//!   honest work that tests and benchmarks need.

mod positioned;
mod random;

use std::env;
use std::path::PathBuf;

pub use positioned::{read_at, symlink, write_at};
pub use random::Random;

/// The path `path` of the guest (`/in/…`), which may be elsewhere natively: see `MC2_ROOT`.
pub fn at(path: &str) -> PathBuf {
    match env::var_os("MC2_ROOT") {
        Some(root) => PathBuf::from(root).join(path.trim_start_matches('/')),
        None => PathBuf::from(path),
    }
}

//! What the end-to-end suites share: a whole system of host, simulated runtime and client in one
//! temporary folder, and runs on it.
//!
//! The runtime is the built `mc2-runtime-sim`, found beside the test's own executable's folder;
//! the components are those `cargo xtask build` left (`MC2_WORKLOADS`, else `target/workloads`).

mod apart;
mod bench;
pub mod broker;
mod liar;
pub mod messages;
mod needle;
mod parties;
mod place;
pub mod process;
mod randomness;
mod raw;
mod run;
mod several;
mod stack;
mod walkthrough;

use std::path::PathBuf;

use mc2_protocol::Identity;

pub use apart::Apart;
pub use bench::{
    bench_row, cpu_time, many_jobs, median, percentile, private_memory, runtime_memory,
};
pub use broker::BrokerScene;
pub use liar::{Asked, Change, Exchange, Liar, Lie, Moment, Watch};
pub use needle::{Needle, contains};
pub use parties::{handing, policy_of, policy_showing};
pub use place::{Place, ended, text, until};
pub use randomness::{Drawn, counting};
pub use raw::RawRuntime;
pub use run::{Finished, Run, RunFailed, now};
pub use several::{ALL, Several, string};
pub use stack::{Stack, StackOptions, approve, draft, draft_job, release};
pub use walkthrough::Walkthrough;

/// The system's random bytes.
pub fn rng() -> rand_core::UnwrapErr<getrandom::SysRng> {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// A new identity of this name.
///
/// # Panics
/// When it is no party's name.
pub fn identity(name: &str) -> Identity {
    Identity::generate(parse(name), &mut rng())
}

/// This package's folder in the checkout that runs: the one it was compiled in may be gone, since a
/// target folder is kept for other checkouts.
///
/// # Panics
/// When cargo does not run this.
pub fn package() -> PathBuf {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR");
    PathBuf::from(folder.expect("run by cargo"))
}

/// The component called `name`, as `cargo xtask build` left it.
///
/// # Panics
/// When it was not built.
pub fn component(name: &str) -> PathBuf {
    let folder = std::env::var_os("MC2_WORKLOADS")
        .map_or_else(|| package().join("../target/workloads"), PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "{} is missing: run `cargo xtask build` first, or set MC2_WORKLOADS",
        path.display()
    );
    path
}

/// The built program called `name`: as it is released, where `MC2_BINARIES` names a folder that holds
/// it, or beside the test, where those are that only tests use.
///
/// # Panics
/// When it was not built.
pub fn program(name: &str) -> PathBuf {
    let released = std::env::var_os("MC2_BINARIES").map(PathBuf::from);
    if let Some(path) = released.map(|folder| folder.join(name))
        && path.is_file()
    {
        return path;
    }
    let test = std::env::current_exe().expect("a test has an executable");
    // target/release/deps/TEST-HASH
    let folder = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("a target folder");
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo xtask build` first",
        path.display()
    );
    path
}

/// Where the tests' runtimes keep compiled code, so that a component is compiled once for all of
/// them. Tests of the cache itself use a folder of their own.
pub fn cache_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("a target folder");
    folder.join("test-compilation-cache")
}

/// Text as a checked value.
///
/// # Panics
/// When it is none.
pub fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a good text")
}

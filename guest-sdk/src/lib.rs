//! What the author of an MC² workload imports: the job's description, its inputs and outputs,
//! progress, failure messages, keys and peers.
//!
//! A workload is an ordinary program. Everything here is a typed view of files (`/in/NAME`,
//! `/out/NAME`, `/tmp`, `/run/mc2/…`), so the same component runs in the sandbox, under plain
//! Wasmtime (where `/run/mc2` is absent and the job is derived from `/in` and the command line)
//! and natively in a test, with `MC2_ROOT` or [`Job::open_at`] naming another root folder.
//! The crate trusts the files it reads: in the sandbox they come from the runtime.
//!
//! Start with [`run`], then [`Job`].
//!
//! ```no_run
//! use std::io::{BufRead, Write};
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     mc2_guest::run(|job| {
//!         let lines = job.input("text")?.reader()?.lines().count();
//!         let mut counts = job.output("counts")?;
//!         writeln!(counts, "{lines}")?;
//!         counts.finish()
//!     })
//! }
//! ```

mod collective;
mod error;
mod input;
mod job;
mod key;
mod options;
mod output;
mod peers;
mod positioned;
mod progress;
mod root;
mod run;

pub use collective::{Collective, Reduce};
pub use error::{Context, Error, Result, fail_with_code};
pub use input::{Input, InputFile, RandomReader};
pub use job::Job;
pub use key::Key;
pub use mc2_description::{Description, InputDescription, Limits, OutputDescription};
pub use options::Options;
pub use output::{Output, OutputFolder};
pub use peers::{PeerReader, PeerWriter, Peers};
pub use run::run;

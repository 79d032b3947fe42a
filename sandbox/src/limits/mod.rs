//! What a guest may use: the limits a job states, and the fixed caps beside them.
//! [`Budgets`] share a job's limits among its instances; [`Limiter`] adds up all
//! memories and tables of one; [`Caps`] bound a component before it is compiled.

mod budget;
mod caps;
mod limiter;

use std::time::Duration;

pub use caps::Caps;

pub(crate) use budget::{Budget, Budgets};
pub(crate) use limiter::Limiter;

/// Core instances, tables and memories of one run.
const INSTANCES: usize = 256;
const TABLES: usize = 64;
const MEMORIES: usize = 16;

/// Live entries of the host's resource table: files, streams, pollables.
pub(crate) const HANDLES: usize = 8192;

/// Files and folders open at once.
pub(crate) const OPEN_FILES: usize = 1024;

/// The most bytes one host call reads or writes.
pub(crate) const CALL_BYTES: usize = 1 << 20;

/// The most bytes one host call may copy out of the guest: a write, and room for
/// a path or a list beside it.
pub(crate) const CALL_FUEL: usize = CALL_BYTES + (64 << 10);

/// The most random bytes one call returns.
pub(crate) const RANDOM_BYTES: u64 = 1 << 20;

/// Bytes of a path and of one name in it.
pub(crate) const PATH_BYTES: usize = 4096;
pub(crate) const NAME_BYTES: usize = 255;

/// Files and folders in each writable tree.
pub(crate) const TREE_NODES: usize = 32_768;

/// Folders within folders.
pub(crate) const TREE_DEPTH: usize = 64;

/// Bytes of the text in `/run/mc2/error`.
pub(crate) const ERROR_BYTES: usize = 64 << 10;

/// Bytes of one progress line's text, and events kept for a reader that is slow.
pub(crate) const PROGRESS_TEXT_BYTES: usize = 256;
pub(crate) const PROGRESS_EVENTS: usize = 64;

/// Bytes on their way from one instance to another before the writer has to wait.
pub(crate) const PEER_BYTES: usize = 256 << 10;

/// The most instances that run together.
pub const PEERS: usize = 16;

/// What a table's element is taken to cost.
const ELEMENT_BYTES: u64 = 16;

pub(crate) fn description() -> String {
    format!(
        "limits = instances:{INSTANCES} tables:{TABLES} memories:{MEMORIES} handles:{HANDLES} \
         open-files:{OPEN_FILES} call-bytes:{CALL_BYTES} call-fuel:{CALL_FUEL} \
         random-bytes:{RANDOM_BYTES} path:{PATH_BYTES} name:{NAME_BYTES} \
         tree-nodes:{TREE_NODES} tree-depth:{TREE_DEPTH} error:{ERROR_BYTES} progress-text:{PROGRESS_TEXT_BYTES} \
         progress-events:{PROGRESS_EVENTS} peers:{PEERS} peer-bytes:{PEER_BYTES} element:{ELEMENT_BYTES}\n"
    )
}

/// The limits of one run. Every one of them is a limit of the whole run, not of
/// one memory, file or call, nor of one instance where several run together; but
/// for `page_cache` and `fuel`, which each instance has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all linear memories and tables together.
    pub memory: u64,
    /// Time from the start of the instance to its end, by the host's clock.
    pub time: Duration,
    /// Bytes of stdout, stderr, progress, error text and `/out` together.
    pub output: u64,
    /// Bytes of `/tmp`, in whole 64 KiB pages.
    pub scratch: u64,
    /// Bytes of file pages kept in enclave memory before they are spilled.
    pub page_cache: u64,
    /// Fuel, on a metered engine; ignored on one that is not.
    pub fuel: Option<u64>,
}

impl Default for Limits {
    /// 1 GiB of memory, ten minutes, 64 MiB of output, 4 GiB of scratch space of
    /// which 16 MiB are in memory, no fuel.
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            time: Duration::from_secs(600),
            output: 64 << 20,
            scratch: 4 << 30,
            page_cache: 16 << 20,
            fuel: None,
        }
    }
}

//! The limits a job states.

use std::time::Duration;

/// The limits of one run. Every one of them is a limit of the whole run, not of
/// one memory, file or call, nor of one instance where several run together; but
/// for `page_cache` and `fuel`, which each instance has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all linear memories and tables together, and of what the enclave keeps beside them
    /// for the guest: globals and functions of instances, names, records of pages, streams; and the
    /// pages of files, where none leaves the enclave.
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

//! What a guest may use: the limits a job states, the fixed caps beside them,
//! and the limiter that adds up all memories and tables.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use super::budget::Budget;
use super::failure::Failure;

/// Core instances, tables and memories of one run.
const INSTANCES: usize = 256;
const TABLES: usize = 64;
const MEMORIES: usize = 16;

/// Live entries of the host's resource table: files, streams, pollables.
pub(super) const HANDLES: usize = 8192;

/// Files and folders open at once.
pub(super) const OPEN_FILES: usize = 1024;

/// The most bytes one host call reads or writes.
pub(super) const CALL_BYTES: usize = 1 << 20;

/// The most bytes one host call may copy out of the guest: a write, and room for
/// a path or a list beside it.
pub(super) const CALL_FUEL: usize = CALL_BYTES + (64 << 10);

/// The most random bytes one call returns.
pub(super) const RANDOM_BYTES: u64 = 1 << 20;

/// Bytes of a path and of one name in it.
pub(super) const PATH_BYTES: usize = 4096;
pub(super) const NAME_BYTES: usize = 255;

/// Files and folders in each writable tree.
pub(super) const TREE_NODES: usize = 32_768;

/// Folders within folders.
pub(super) const TREE_DEPTH: usize = 64;

/// Bytes of the text in `/run/mc2/error`.
pub(super) const ERROR_BYTES: usize = 64 << 10;

/// Bytes of one progress line's text, and events kept for a reader that is slow.
pub(super) const PROGRESS_TEXT_BYTES: usize = 256;
pub(super) const PROGRESS_EVENTS: usize = 64;

/// Bytes on their way from one instance to another before the writer has to wait.
pub(super) const PEER_BYTES: usize = 256 << 10;

/// The most instances that run together.
pub const PEERS: usize = 16;

/// What a table's element is taken to cost.
const ELEMENT_BYTES: u64 = 16;

pub(super) fn description() -> String {
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

/// Adds up what all memories and tables of an instance use, and gives it back to
/// the others with the instance's end.
#[derive(Debug)]
pub(super) struct Limiter {
    budget: Budget,
    used: u64,
    peak: u64,
    denied: bool,
}

impl Limiter {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            used: 0,
            peak: 0,
            denied: false,
        }
    }

    /// The most bytes in use at one time.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// The failure to report where the guest failed after a denied growth: a
    /// guest that asks for too much usually aborts, which reads as a trap.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.denied.then(|| Failure::MemoryLimit {
            limit: self.budget.limit(),
        })
    }

    fn grow(&mut self, current: u64, desired: u64) -> bool {
        let more = desired.saturating_sub(current);
        if !self.budget.take(more) {
            self.denied = true;
            return false;
        }
        // No more than the budget's limit, so it cannot overflow.
        self.used += more;
        self.peak = self.peak.max(self.used);
        true
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.budget.give(self.used);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Beyond the memory's own maximum the growth fails anyway, and not by our limit.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(current as u64, desired as u64))
    }

    /// Nothing is given back: Wasmtime also calls this for growths it never asked
    /// about, and a guest could make it count backwards.
    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let bytes = |elements: usize| (elements as u64).saturating_mul(ELEMENT_BYTES);
        Ok(self.grow(bytes(current), bytes(desired)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = true;
        Ok(())
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_and_tables_share_one_limit() {
        let mut limiter = Limiter::new(Budget::new(1000));
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(limiter.failure().is_none());
        assert!(limiter.table_growing(0, 10, None).unwrap());
        assert!(!limiter.memory_growing(400, 500, None).unwrap());
        assert_eq!(
            limiter.failure(),
            Some(Failure::MemoryLimit { limit: 1000 })
        );
        assert_eq!(limiter.peak(), 960);
    }

    #[test]
    fn instances_share_one_limit_and_give_back_what_they_had() {
        let budget = Budget::new(1000);
        let mut first = Limiter::new(budget.clone());
        let mut second = Limiter::new(budget);
        assert!(first.memory_growing(0, 600, None).unwrap());
        assert!(!second.memory_growing(0, 600, None).unwrap());
        assert!(first.failure().is_none() && second.failure().is_some());
        drop(first);
        assert!(second.memory_growing(0, 600, None).unwrap());
        assert_eq!(second.peak(), 600);
    }

    #[test]
    fn a_growth_past_the_own_maximum_is_not_the_limits_fault() {
        let mut limiter = Limiter::new(Budget::new(1000));
        assert!(!limiter.memory_growing(0, 2000, Some(1500)).unwrap());
        assert!(limiter.failure().is_none());
    }

    #[test]
    fn failed_growths_never_count_backwards() {
        let mut limiter = Limiter::new(Budget::new(1000));
        assert!(limiter.memory_growing(0, 900, None).unwrap());
        limiter
            .memory_grow_failed(wasmtime::format_err!("no"))
            .unwrap();
        assert!(!limiter.memory_growing(0, 900, None).unwrap());
    }
}

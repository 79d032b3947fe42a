//! What a job may use of something, whichever of its instances uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::job::Limits;
use crate::failure::Failure;

/// Bytes of one kind, taken and given back. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limit: u64,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    used: AtomicU64,
    peak: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            counts: Arc::default(),
        }
    }

    /// All there is, used or not.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// What is used now.
    pub(crate) fn used(&self) -> u64 {
        self.counts.used.load(Ordering::Relaxed)
    }

    /// The most that was used at one time.
    pub(crate) fn peak(&self) -> u64 {
        self.counts.peak.load(Ordering::Relaxed)
    }

    /// Takes all of `bytes`, or nothing and says so.
    #[must_use]
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let more = |used: u64| used.checked_add(bytes).filter(|total| *total <= self.limit);
        let used = &self.counts.used;
        match used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(before) => {
                // Below the limit, so it does not overflow.
                self.counts
                    .peak
                    .fetch_max(before + bytes, Ordering::Relaxed);
                true
            }
            Err(_) => false,
        }
    }

    /// Gives back what was taken.
    pub(crate) fn give(&self, bytes: u64) {
        self.counts.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes all of `bytes` until what comes back is dropped; `None` where there are not so many.
    pub(crate) fn hold(&self, bytes: u64) -> Option<Held> {
        self.take(bytes).then(|| Held {
            budget: self.clone(),
            bytes,
        })
    }
}

/// Bytes of a budget that are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Budget,
    bytes: u64,
}

impl Held {
    /// Gives nothing back: what was taken is given back by other means.
    pub(crate) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

/// The budgets that the instances of a step share.
#[derive(Clone, Debug)]
pub(crate) struct Budgets {
    /// Memories and tables, and what the enclave keeps beside them for the guest.
    pub(crate) memory: Budget,
    /// Outputs, streams and messages.
    pub(crate) output: Budget,
    /// `/tmp`.
    pub(crate) scratch: Budget,
}

impl Budgets {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory: Budget::new(limits.memory),
            output: Budget::new(limits.output),
            scratch: Budget::new(limits.scratch),
        }
    }

    /// Memory that is taken for something else than memories and tables, until it is dropped.
    pub(crate) fn hold_memory(&self, bytes: u64) -> Result<Held, Failure> {
        let limit = self.memory.limit();
        self.memory
            .hold(bytes)
            .ok_or(Failure::MemoryLimit { limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_never_overdrawn_and_a_refusal_takes_nothing() {
        let budget = Budget::new(10);
        let other = budget.clone();
        assert!(budget.take(6));
        assert!(!other.take(5));
        assert!(!other.take(u64::MAX));
        assert!(other.take(4));
        assert!(!budget.take(1));
        other.give(6);
        assert!(budget.take(6));
        assert_eq!((budget.used(), budget.peak()), (10, 10));
    }

    #[test]
    fn what_is_held_comes_back_and_the_peak_stays() {
        let budget = Budget::new(10);
        let held = budget.hold(7).unwrap();
        assert!(budget.hold(4).is_none());
        drop(held);
        assert_eq!((budget.used(), budget.peak()), (0, 7));
    }
}

//! What a job may use of something, whichever of its instances uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::job::Limits;

/// Bytes of one kind, taken and given back. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: Arc<AtomicU64>,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: Arc::default(),
        }
    }

    /// All there is, used or not.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Takes all of `bytes`, or nothing and says so.
    #[must_use]
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let more = |used: u64| used.checked_add(bytes).filter(|total| *total <= self.limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// Gives back what was taken.
    pub(crate) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The budgets that the instances of a step share.
#[derive(Clone, Debug)]
pub(crate) struct Budgets {
    /// Memories and tables.
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
    }
}

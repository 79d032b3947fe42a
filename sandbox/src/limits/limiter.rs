//! Adds up all memories and tables of an instance.

use wasmtime::ResourceLimiter;

use super::budget::Budget;
use super::fixed::{ELEMENT_BYTES, INSTANCES, MEMORIES, TABLES};
use crate::failure::Failure;

/// Adds up what all memories and tables of an instance use, and gives it back to
/// the others with the instance's end.
#[derive(Debug)]
pub(crate) struct Limiter {
    budget: Budget,
    used: u64,
    peak: u64,
    denied: bool,
}

impl Limiter {
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            budget,
            used: 0,
            peak: 0,
            denied: false,
        }
    }

    /// All there is for all instances.
    pub(crate) fn limit(&self) -> u64 {
        self.budget.limit()
    }

    /// The most bytes in use at one time.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    /// The failure to report where the guest failed after a denied growth: a
    /// guest that asks for too much usually aborts, which reads as a trap.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.denied.then(|| Failure::MemoryLimit {
            limit: self.budget.limit(),
        })
    }

    /// Counts a growth by elements of so many bytes, where it fits.
    fn grow(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
        element: u64,
    ) -> bool {
        // Beyond its own maximum the growth fails anyway, and not by our limit.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        let more = (desired.saturating_sub(current) as u64).saturating_mul(element);
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
        Ok(self.grow(current, desired, maximum, 1))
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
        Ok(self.grow(current, desired, maximum, ELEMENT_BYTES))
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

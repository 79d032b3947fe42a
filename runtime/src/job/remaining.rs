//! What is left of a job's limits from step to step.

use std::time::Duration;

use mc2_protocol::policy::Limits;
use mc2_sandbox::Used;

/// What a job has once, however many steps it has, as far as earlier ones left it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remaining {
    /// Bytes of memory: what earlier steps left in the enclave takes of it.
    pub(super) memory: u64,
    /// Run time, by the untrusted clock.
    pub(super) time: Duration,
    /// Bytes of outputs and streams.
    pub(super) output: u64,
    /// Bytes of scratch space.
    pub(super) scratch: u64,
}

impl Remaining {
    pub(super) fn all_of(limits: &Limits) -> Self {
        Self {
            memory: limits.memory.bytes(),
            time: Duration::from_millis(limits.time.millis()),
            output: limits.output.bytes(),
            scratch: limits.scratch.bytes(),
        }
    }

    pub(super) fn less(self, time: Duration, used: Used) -> Self {
        Self {
            memory: self.memory,
            time: self.time.saturating_sub(time),
            output: self.output.saturating_sub(used.output),
            scratch: self.scratch.saturating_sub(used.scratch),
        }
    }
}

//! How long each phase of a run takes, told while it happens.

use std::time::{Duration, Instant};

use super::report::Phases;
use crate::event::{Observer, Phase, RunEvent};

/// Measures phases and tells of them.
pub(super) struct Timer<'o> {
    pub(super) observer: &'o Observer,
    begun: Vec<(Phase, Instant)>,
    pub(super) phases: Phases,
}

impl<'o> Timer<'o> {
    pub(super) fn new(observer: &'o Observer) -> Self {
        Self {
            observer,
            begun: Vec::new(),
            phases: Phases::default(),
        }
    }

    pub(super) fn begin(&mut self, phase: Phase, total: Option<u64>) {
        self.begun.push((phase, Instant::now()));
        (self.observer)(RunEvent::Begun(phase, total));
    }

    pub(super) fn end(&mut self, phase: Phase) {
        self.end_at(phase, Instant::now());
    }

    pub(super) fn end_at(&mut self, phase: Phase, at: Instant) {
        let begun = self.begun.iter().find(|(begun, _)| *begun == phase);
        let took = begun.map_or(Duration::ZERO, |(_, begun)| at - *begun);
        self.phases.add(phase, took);
        (self.observer)(RunEvent::Ended(phase, took));
    }
}

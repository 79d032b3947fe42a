//! The checks one verifier makes, in their order.

use crate::check::{Check, Finding};

/// A check of a verifier: its name for programs, which stays, and its words for people.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Its name for programs.
    pub id: &'static str,
    /// What is checked, in words for people.
    pub what: &'static str,
}

impl Line {
    pub(super) const fn new(id: &'static str, what: &'static str) -> Self {
        Self { id, what }
    }
}

/// A verifier's checks, of which it makes one after the other. What it did not make when it is
/// done says so, and counts as failed.
pub(super) struct Checklist {
    checks: Vec<Check>,
}

impl Checklist {
    /// Nothing is checked yet.
    pub(super) fn new(lines: &[Line]) -> Self {
        let not_reached = |line: &Line| Check::not_reached(line.id, line.what);
        Self {
            checks: lines.iter().map(not_reached).collect(),
        }
    }

    /// Makes the check `id`, and returns whether it passed.
    pub(super) fn make(&mut self, id: &'static str, finding: Finding) -> bool {
        let listed = self.checks.iter().position(|check| check.id == id);
        let what = listed.map_or(id, |at| self.checks[at].what);
        let check = Check::made(id, what, finding);
        let passed = check.has_passed();
        match listed {
            Some(at) => self.checks[at] = check,
            // Not one it lists: shown all the same.
            None => self.checks.push(check),
        }
        passed
    }

    /// Every check in order.
    pub(super) fn done(self) -> Vec<Check> {
        self.checks
    }
}

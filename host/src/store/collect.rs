//! Retention: what nobody needs any more goes when it is old enough, by the rules of
//! [`Retention`](crate::Retention).
//!
//! An open session needs the components of its policy, every object of a dataset or output that its
//! policy names, and whatever runtimes stored since it was opened; what runs or is queued in it needs
//! nothing else. An upload that was not committed is nobody's object yet and has a time of its own.
//! Whether something is needed is asked once more while no session can be opened and nobody stores
//! the same again, and only then is it removed.

use std::time::Duration;

use super::{Store, records::Table};
use crate::{clock::now, config::Retention, refusal::Refusal};

/// How long a session that is over is kept without a receipt, unless stated.
const EMPTY: Duration = Duration::from_secs(3600);

/// How much was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) jobs: usize,
    pub(crate) sessions: usize,
    pub(crate) notes: usize,
    pub(crate) uploads: usize,
    pub(crate) objects: usize,
    pub(crate) components: usize,
}

impl Removed {
    /// How much of each kind.
    pub(crate) const fn kinds(&self) -> [(&'static str, usize); 6] {
        [
            ("job", self.jobs),
            ("session", self.sessions),
            ("note", self.notes),
            ("upload", self.uploads),
            ("object", self.objects),
            ("component", self.components),
        ]
    }
}

impl Store {
    /// Removes what is old enough and not needed, until `stop` says so. May block for long.
    pub(crate) fn collect(
        &self,
        retention: &Retention,
        stop: &dyn Fn() -> bool,
    ) -> Result<Removed, Refusal> {
        self.jobs.lose_what_is_left();
        let mut removed = Removed::default();
        if let Some(age) = retention.receipts {
            removed.jobs = self.jobs.prune_jobs(before(age), stop)?;
        }
        // Who waits for a job that nobody heard of learns meanwhile that its session is over.
        let without_receipts = retention.sessions.unwrap_or(EMPTY);
        removed.sessions = self
            .jobs
            .prune_sessions(before(without_receipts), true, stop)?;
        if let (Some(age), None) = (retention.sessions, retention.receipts) {
            removed.sessions += self.jobs.prune_sessions(before(age), false, stop)?;
        }
        self.notes.keep_only(|session| self.jobs.knows(session));
        if let Some(age) = retention.notes {
            removed.notes = self.notes.prune(before(age), stop)?;
        }
        removed.uploads = self.uploads.prune(retention.uploads);
        if let Some(age) = retention.objects {
            let mut needed = self.jobs.needed();
            removed.objects = self.kept.sweep(
                Table::Objects,
                before(age),
                stop,
                |_, object| {
                    self.jobs.refresh(&mut needed);
                    needed.object(object)
                },
                |object| self.objects.remove(object),
            )?;
        }
        if let Some(age) = retention.components
            && !self.components_are_shared
        {
            let mut needed = self.jobs.needed();
            removed.components = self.kept.sweep(
                Table::Components,
                before(age),
                stop,
                |component, _| {
                    self.jobs.refresh(&mut needed);
                    needed.component(component)
                },
                |component| self.components.remove(component),
            )?;
        }
        Ok(removed)
    }
}

/// The Unix time that was so long ago.
fn before(age: Duration) -> u64 {
    // What was used in this second is as old as that.
    now()
        .saturating_sub(age.as_secs())
        .saturating_add(u64::from(age.is_zero()))
}

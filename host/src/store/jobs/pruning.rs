//! What is forgotten: jobs and sessions that are old enough.

use std::{fs, io, path::PathBuf};

use mc2_protocol::{Digest, documents::control::JobState};

use super::{
    inner::Inner,
    recorded::{Ended, key, parse_key},
    sessions::Session,
};
use crate::{
    refusal::Refusal,
    store::records::{Change, Table},
    waiting::lock,
};

/// Records looked at before others are let to them.
const AT_ONCE: usize = 256;

impl Inner {
    /// Removes jobs that ended before `before`, with their receipts and events, until `stop` says so;
    /// how many.
    pub(super) fn prune_jobs(
        &self,
        before: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<usize, Refusal> {
        let mut from = Vec::new();
        let mut removed = 0;
        loop {
            let found = self.records.range(Table::Ended, &[], &from, AT_ONCE)?;
            let Some((last, _)) = found.last() else {
                return Ok(removed);
            };
            from = [last.as_slice(), &[0]].concat();
            for (key, value) in &found {
                let ended = Ended::read(value)?;
                let Some((session, number)) = parse_key(key) else {
                    continue;
                };
                if stop() {
                    return Ok(removed);
                }
                if ended.ended >= before {
                    continue;
                }
                match self.prune_job(&session, number, before) {
                    Ok(gone) => removed += usize::from(gone),
                    // The next time perhaps; the others go all the same.
                    Err(error) => {
                        tracing::error!(%error, %session, number, "an old job could not be removed");
                    }
                }
            }
        }
    }

    fn prune_job(&self, session: &Digest, number: u64, before: u64) -> Result<bool, Refusal> {
        let key = key(session, number);
        let changing = lock(&self.changing);
        let ended = self.records.get(Table::Ended, &key)?;
        let ended = ended.map(|ended| Ended::read(&ended)).transpose()?;
        // A job that is lost may be ended by a receipt that comes after all, which then is young.
        let Some(ended) = ended.filter(|ended| ended.ended < before) else {
            return Ok(false);
        };
        if self.is_in_memory(session, number) {
            return Ok(false);
        }
        // The record goes first: what is recorded is there. What a host that is killed here leaves of
        // the rest goes with the session.
        self.records.write(vec![
            Change::remove(Table::Ended, key.clone()),
            Change::remove(Table::Receipts, key),
        ])?;
        *lock(&self.pruned) = Some((*session, number));
        drop(changing);
        let removed = self.remove_rest(session, number, ended.state);
        *lock(&self.pruned) = None;
        removed.map(|()| true)
    }

    fn remove_rest(&self, session: &Digest, number: u64, state: JobState) -> Result<(), Refusal> {
        remove_file(self.events_of(session, number))?;
        if state != JobState::Lost {
            self.receipts.remove_file(session, number, state)?;
        }
        Ok(())
    }

    fn is_in_memory(&self, session: &Digest, number: u64) -> bool {
        let sessions = lock(&self.sessions);
        let session = sessions.by_digest.get(session);
        session.is_some_and(|session| session.running.contains_key(&number))
    }

    /// Removes sessions that were over before `before` and that no runtime serves, with everything of
    /// theirs; how many. Where `receipts_stay`, those without a job that ended.
    pub(super) fn prune_sessions(
        &self,
        before: u64,
        receipts_stay: bool,
        is_served: &dyn Fn(&Digest) -> bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<usize, Refusal> {
        let old = |it: &Session| it.over().is_some_and(|over| over.since < before);
        let found: Vec<Digest> = {
            let sessions = lock(&self.sessions);
            let found = sessions.by_digest.iter().filter(|(_, it)| old(it));
            found.map(|(digest, _)| *digest).collect()
        };
        let mut removed = 0;
        for session in &found {
            if stop() {
                break;
            }
            if is_served(session) {
                continue;
            }
            match self.forget(session, receipts_stay, old) {
                Ok(gone) => removed += usize::from(gone),
                Err(error) => {
                    tracing::error!(%error, %session, "an old session could not be removed");
                }
            }
        }
        Ok(removed)
    }

    /// Forgets a session in which nothing runs, where it still is as `when` says and, if `only_empty`,
    /// has no job that ended; whether it did. What it is known by goes last: should this end halfway,
    /// it is there at the next start.
    fn forget(
        &self,
        session: &Digest,
        only_empty: bool,
        when: impl Fn(&Session) -> bool,
    ) -> Result<bool, Refusal> {
        // No job of it begins or ends meanwhile, nor is one recorded afterwards.
        let changing = lock(&self.changing);
        if only_empty {
            let ended = self.records.range(Table::Ended, session.as_bytes(), &[], 1);
            if !ended?.is_empty() {
                return Ok(false);
            }
        }
        let mut sessions = lock(&self.sessions);
        let goes = |it: &Session| when(it) && it.running.is_empty();
        if !sessions.by_digest.get(session).is_some_and(goes) {
            return Ok(false);
        }
        let Some((known, last)) = sessions.remove(session) else {
            return Ok(false);
        };
        let policy = known.owner.tenant;
        drop(sessions);
        drop(changing);
        let events = self.events.join(session.to_string());
        match fs::remove_dir_all(events) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        self.receipts.remove_files(session)?;
        let mut changes = vec![
            Change::remove(Table::Sessions, session.as_bytes()),
            Change::remove(Table::Over, session.as_bytes()),
        ];
        for table in [Table::Running, Table::Ended, Table::Receipts, Table::Notes] {
            let mut from = Vec::new();
            loop {
                let found = self
                    .records
                    .range(table, session.as_bytes(), &from, AT_ONCE)?;
                let Some((last, _)) = found.last() else { break };
                from = [last.as_slice(), &[0]].concat();
                changes.extend(found.into_iter().map(|(key, _)| Change::remove(table, key)));
            }
        }
        // Under the lock, so that a session opened now finds its policy here or records it.
        let sessions = lock(&self.sessions);
        if last && sessions.policy(&policy).is_none() {
            changes.push(Change::remove(Table::Policies, policy.as_bytes()));
        }
        self.records.write(changes)?;
        Ok(true)
    }
}

fn remove_file(path: PathBuf) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

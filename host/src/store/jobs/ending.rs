//! How a job becomes known, and how it ends: with its receipt, or lost with its runtime.

use std::{io, sync::Arc};

use bytes::Bytes;
use mc2_protocol::{Digest, documents::control::JobState};

use super::{
    inner::Inner,
    job::{JOB_ENDED, Job},
    recorded::{
        Ended, UNKNOWN_JOB, comes_with_status, ending_record, key, over_record, unknown_session,
    },
    sessions::{Over, Session},
};
use crate::{
    clock::now,
    refusal::Refusal,
    store::records::{Change, Table},
    waiting::lock,
};

/// Largest job number: JSON's integers end there.
const MAX_NUMBER: u64 = (1 << 53) - 1;
/// Most jobs of a session that have not ended: many more than a runtime starts.
const MAX_RUNNING: usize = 1024;

impl Inner {
    /// The job that runs, known from now on where it was not.
    pub(super) fn announce(&self, session: &Digest, number: u64) -> Result<Arc<Job>, Refusal> {
        if !(1..=MAX_NUMBER).contains(&number) {
            return Err(Refusal::bad(
                "number",
                "a job's number is at least 1 and below 2^53",
            ));
        }
        // From the look to the insertion: a job that ends meanwhile must not come back.
        let _changing = lock(&self.changing);
        match self.find(session, number) {
            Ok(job) => {
                lock(&job.record).running()?;
                return Ok(job);
            }
            Err(refusal) if refusal.code == UNKNOWN_JOB => {}
            Err(refusal) => return Err(refusal),
        }
        if *lock(&self.pruned) == Some((*session, number)) {
            let message = format!("job {number} of session {session} is being removed");
            return Err(Refusal::busy("busy", message));
        }
        let known = lock(&self.sessions)
            .by_digest
            .get(session)
            .map(|known| known.running.len());
        if known.is_some_and(|running| running >= MAX_RUNNING) {
            let message = format!("session {session} has {MAX_RUNNING} jobs that have not ended");
            return Err(Refusal::busy("busy", message));
        }
        let announced = Change::put(Table::Running, key(session, number), Bytes::new());
        if let Err(error) = self.records.write(vec![announced]) {
            // Known it is all the same; only a host that is started again will not know it.
            tracing::error!(%error, %session, number, "a running job could not be recorded");
        }
        let job = Arc::new(Job::announced(self.events_of(session, number)));
        let mut sessions = lock(&self.sessions);
        let known = sessions.by_digest.get_mut(session);
        let known = known.ok_or_else(|| unknown_session(session))?;
        // Nobody is told of it before it is recorded. Another announcement may have been quicker.
        let job = Arc::clone(known.running.entry(number).or_insert(job));
        known.awaited.announced(number);
        Ok(job)
    }

    pub(super) fn end(
        &self,
        session: &Digest,
        number: u64,
        state: JobState,
        receipt: &Bytes,
    ) -> Result<(), Refusal> {
        let job = match self.find(session, number) {
            Err(refusal) if refusal.code == UNKNOWN_JOB => match self.announce(session, number) {
                // It was announced, and lost, in between.
                Err(refusal) if refusal.code == JOB_ENDED => self.find(session, number)?,
                announced => announced?,
            },
            found => found?,
        };
        let state_now = lock(&job.record).state;
        let job = match state_now {
            // Its runtime had not gone after all; whoever ends it meanwhile ends the same job.
            JobState::Lost => self.keep_in_memory(session, number, job)?,
            _ => job,
        };
        // From here on the job is in memory until it has ended, and so its session is not forgotten.
        // One receipt at a time; who asks for the job's state does not wait for it.
        let _alone = lock(&job.storing);
        {
            let record = lock(&job.record);
            match record.state {
                JobState::Running | JobState::Lost => {}
                ended if ended == state && record.unstored => {}
                ended if ended == state => {
                    drop(record);
                    if self
                        .receipts
                        .read(session, number, state)?
                        .is_some_and(|it| it == receipt)
                    {
                        return Ok(());
                    }
                    return lock(&job.record).running();
                }
                _ => return record.running(),
            }
        }
        let with_status = comes_with_status(receipt);
        let put = self.receipts.put(session, number, state, receipt);
        let _changing = lock(&self.changing);
        let mut record = lock(&job.record);
        let stored = put.and_then(|put| Ok(self.record_end(session, number, state, put)?));
        record.state = state;
        record.unstored = stored.is_err();
        if stored.is_ok() && with_status {
            record.receipt = Some(receipt.clone());
        }
        drop(record);
        if stored.is_ok()
            && let Some(known) = lock(&self.sessions).by_digest.get_mut(session)
        {
            known.running.remove(&number);
        }
        job.changed();
        stored
    }

    /// Notes that a session is over: that its runtime is gone, or that it was `ended`.
    pub(super) fn lose(&self, session: &Digest, ended: bool) {
        let mut sessions = lock(&self.sessions);
        // One that was ended does not come back with its runtime, whatever else it was to wait for.
        let known = sessions.by_digest.get(session);
        let ended = ended || known.is_some_and(Session::was_ended);
        let since = now();
        let over = Over { since, ended };
        let news = sessions.set_over(session, Some(over));
        if !sessions.by_digest.contains_key(session) {
            return;
        }
        // Under the lock, so that it is recorded as it is.
        if news && let Err(error) = self.records.write(vec![over_record(session, over)]) {
            tracing::error!(%error, %session, "that a session is over could not be recorded");
        }
        drop(sessions);
        self.lose_running(session);
    }

    /// Records that a session was ended and goes on until its receipts are stored, where that is so.
    pub(super) fn record_ended(&self, session: &Digest) {
        let sessions = lock(&self.sessions);
        let known = sessions.by_digest.get(session);
        // Under the lock, so that it does not hide that the session is over.
        if known.is_some_and(|known| known.was_ended() && known.over().is_none())
            && let Err(error) = self.records.write(vec![ending_record(session)])
        {
            tracing::error!(%error, %session, "that a session was ended could not be recorded");
        }
    }

    /// Ends the jobs that still run in sessions that are over: what a host that ended had no time for,
    /// or its disk no room.
    pub(super) fn lose_what_is_left(&self) {
        let left: Vec<Digest> = {
            let sessions = lock(&self.sessions);
            let all = sessions.by_digest.iter();
            let left = all.filter(|(_, known)| known.over().is_some() && !known.running.is_empty());
            left.map(|(digest, _)| *digest).collect()
        };
        for session in left {
            self.lose_running(&session);
        }
    }

    fn lose_running(&self, session: &Digest) {
        let running: Vec<_> = {
            let sessions = lock(&self.sessions);
            let known = sessions.by_digest.get(session).into_iter();
            let running = known.flat_map(|known| &known.running);
            running
                .map(|(number, job)| (*number, Arc::clone(job)))
                .collect()
        };
        for (number, job) in running {
            if let Err(error) = self.lose_job(session, number, &job) {
                // It stays in memory as it is now, and is tried again with the next removal of what
                // is old, and at the next start.
                tracing::error!(%error, %session, number, "a lost job could not be recorded");
            } else if let Some(known) = lock(&self.sessions).by_digest.get_mut(session) {
                known.running.remove(&number);
            }
            job.changed();
        }
    }

    /// Loses a job that was announced in a session that is over: whoever ended the session did not see
    /// it.
    pub(super) fn lose_late(&self, session: &Digest) {
        if !self.goes_on(session) {
            self.lose_running(session);
        }
    }

    /// Whether a session is known and not over.
    pub(super) fn goes_on(&self, session: &Digest) -> bool {
        let sessions = lock(&self.sessions);
        let known = sessions.by_digest.get(session);
        known.is_some_and(|known| known.over().is_none())
    }

    /// Notes that the runtime of a session is back.
    pub(super) fn find_again(&self, session: &Digest) {
        let mut sessions = lock(&self.sessions);
        if !sessions.set_over(session, None) {
            return;
        }
        // Were it over at the next start, what it needs might be removed before its runtime is back.
        let open = Change::remove(Table::Over, session.as_bytes());
        if let Err(error) = self.records.write(vec![open]) {
            tracing::error!(%error, %session, "that a session goes on could not be recorded");
        }
    }

    fn lose_job(&self, session: &Digest, number: u64, job: &Job) -> Result<(), Refusal> {
        let _changing = lock(&self.changing);
        let mut record = lock(&job.record);
        if record.state != JobState::Running && !record.unstored {
            return Ok(());
        }
        if let Some(state) = self.settle(session, number)? {
            record.state = state;
            record.unstored = false;
            return Ok(());
        }
        tracing::warn!(%session, number, "a job is lost: its runtime is gone");
        record.state = JobState::Lost;
        let recorded = self.record_end(session, number, JobState::Lost, None);
        // What is not recorded is to be tried again, and stays in memory until it is.
        record.unstored = recorded.is_err();
        Ok(recorded?)
    }

    /// Records the end of a job whose receipt is here although no record says so, and returns how it
    /// ended: the host ended, or its disk was full, between the two.
    pub(super) fn settle(
        &self,
        session: &Digest,
        number: u64,
    ) -> Result<Option<JobState>, Refusal> {
        let state = self.receipts.end_told_by_a_file(session, number)?;
        if let Some(state) = state {
            self.record_end(session, number, state, None)?;
        }
        Ok(state)
    }

    fn record_end(
        &self,
        session: &Digest,
        number: u64,
        state: JobState,
        receipt: Option<Change>,
    ) -> io::Result<()> {
        let ended = Ended::now(state).to_bytes();
        let mut changes = vec![
            Change::remove(Table::Running, key(session, number)),
            Change::put(Table::Ended, key(session, number), ended),
        ];
        changes.extend(receipt);
        self.records.write(changes)
    }
}

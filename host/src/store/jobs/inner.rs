//! What all sessions and jobs share, and how one is found.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use http::StatusCode;
use mc2_protocol::{Digest, documents::control::JobState, encoding::to_json};

use super::{
    awaited::Waiter,
    job::Job,
    policies::PolicyKept,
    receipts::Receipts,
    recorded::{Ended, UNKNOWN_JOB, key, lost, numbered, parse_key, unknown_session},
    sessions::{Opened, Owner, Recorded, Session, SessionKept, Sessions},
};
use crate::{
    clock::now,
    refusal::Refusal,
    store::{
        blobs::Blob,
        kept::Keeping,
        records::{Change, Records, Table},
    },
    waiting::lock,
};

/// The records of all sessions and jobs.
pub(super) struct Inner {
    pub(super) records: Arc<Records>,
    pub(super) events: PathBuf,
    pub(super) receipts: Receipts,
    pub(super) kept: Keeping,
    pub(super) sessions: Mutex<Sessions>,
    /// Held while a job becomes known or ends, so that none of these finds another half done. Taken
    /// before the locks of sessions and jobs.
    pub(super) changing: Mutex<()>,
    /// The job whose files are being removed: it does not become known again before they are gone.
    pub(super) pruned: Mutex<Option<(Digest, u64)>>,
}

impl Inner {
    pub(super) fn begin_session(
        &self,
        session: Digest,
        owner: Owner,
        opened: Opened,
    ) -> Result<(), Refusal> {
        let known = lock(&self.sessions).policy(&owner.tenant);
        let policy = known.unwrap_or_else(|| Arc::new(PolicyKept::new(&opened.policy)));
        // What it needs is not removed meanwhile, and afterwards not either.
        let _opening = self.kept.opening();
        let mut sessions = lock(&self.sessions);
        if let Some(known) = sessions.by_digest.get(&session) {
            if known.owner == owner {
                return Ok(());
            }
            // Whoever answers with another's record is not given its session.
            let message = "the session that was opened is another runtime's";
            return Err(Refusal::new(
                StatusCode::BAD_GATEWAY,
                "runtime-answer",
                message,
            ));
        }
        let recorded = Recorded {
            owner,
            number: sessions.next(),
            opened: now(),
            opener: opened.opener,
            record: Vec::from(opened.record).into(),
        };
        let mut changes = vec![
            Change::put(Table::Sessions, session.as_bytes(), to_json(&recorded)),
            numbered(recorded.number),
        ];
        if sessions.policy(&owner.tenant).is_none() {
            let policy = owner.tenant.as_bytes();
            changes.push(Change::put(Table::Policies, policy, opened.policy));
        }
        // Sessions are recorded in the order of their numbers, so under the lock that gives them.
        self.records.write(changes)?;
        let policy = sessions.policy(&owner.tenant).unwrap_or(policy);
        sessions.insert(session, Session::new(&recorded, policy, None));
        Ok(())
    }

    /// What was kept of a session.
    pub(super) fn kept(&self, session: &Digest) -> Result<SessionKept, Refusal> {
        let entry = lock(&self.sessions).entry(session);
        let entry = entry.ok_or_else(|| unknown_session(session))?;
        let recorded = self.records.get(Table::Sessions, session.as_bytes())?;
        let policy = self.records.get(Table::Policies, entry.policy.as_bytes())?;
        // Forgotten meanwhile, where they are not there.
        let (Some(recorded), Some(policy)) = (recorded, policy) else {
            return Err(unknown_session(session));
        };
        let recorded: Recorded = serde_json::from_slice(&recorded).map_err(io::Error::from)?;
        Ok(SessionKept {
            entry,
            record: recorded.record.0.into(),
            policy,
        })
    }

    pub(super) fn list(
        &self,
        session: &Digest,
        after: u64,
        most: usize,
    ) -> Result<Vec<(u64, JobState)>, Refusal> {
        let first = after.saturating_add(1);
        let running = {
            let sessions = lock(&self.sessions);
            let known = sessions.by_digest.get(session);
            let known = known.ok_or_else(|| unknown_session(session))?;
            let running = known.running.range(first..).take(most);
            running
                .map(|(number, job)| (*number, Arc::clone(job)))
                .collect::<Vec<_>>()
        };
        let running = running.into_iter();
        let mut found: BTreeMap<_, _> = running
            .map(|(number, job)| (number, lock(&job.record).told()))
            .collect();
        let ended =
            self.records
                .range(Table::Ended, session.as_bytes(), &key(session, first), most)?;
        for (key, value) in ended {
            if let Some((_, number)) = parse_key(&key) {
                found.insert(number, Ended::read(&value)?.state);
            }
        }
        Ok(found.into_iter().take(most).collect())
    }

    pub(super) fn find(&self, session: &Digest, number: u64) -> Result<Arc<Job>, Refusal> {
        let sessions = lock(&self.sessions);
        let known = sessions.by_digest.get(session);
        let known = known.ok_or_else(|| unknown_session(session))?;
        if let Some(job) = known.running.get(&number) {
            return Ok(Arc::clone(job));
        }
        drop(sessions);
        let ended = self.records.get(Table::Ended, &key(session, number))?;
        let ended = ended.ok_or_else(|| {
            let message = format!("no job {number} was announced in session {session}");
            Refusal::not_found(UNKNOWN_JOB, message)
        })?;
        let state = Ended::read(&ended)?.state;
        Ok(Arc::new(Job::new(self.events_of(session, number), state)))
    }

    /// The job that a client asks for. Of a job that nobody heard of in a session that is over nobody
    /// will hear any more.
    pub(super) fn asked(&self, session: &Digest, number: u64) -> Result<Arc<Job>, Refusal> {
        let over = |sessions: &Sessions| {
            let session = sessions.by_digest.get(session);
            session.is_some_and(|session| session.over().is_some())
        };
        match self.find(session, number) {
            Err(refusal) if refusal.code == UNKNOWN_JOB && over(&lock(&self.sessions)) => {
                let message = format!(
                    "job {number} is not known here, and its session is over: its runtime went \
                     away before it told of the job, or its receipt was kept long enough"
                );
                Err(Refusal::new(StatusCode::GONE, "session-over", message))
            }
            other => other,
        }
    }

    /// The job that a client asks for, where it is in memory.
    pub(super) fn asked_now(&self, session: &Digest, number: u64) -> Option<Arc<Job>> {
        let sessions = lock(&self.sessions);
        let known = sessions.by_digest.get(session)?;
        known.running.get(&number).cloned()
    }

    /// A place among those who wait for a job, where there is such a session.
    pub(super) fn await_job(self: &Arc<Self>, session: Digest, number: u64) -> Option<Awaiting> {
        let mut sessions = lock(&self.sessions);
        let known = sessions.by_digest.get_mut(&session)?;
        Some(Awaiting {
            waiter: known.awaited.wait(number),
            inner: Arc::clone(self),
            session,
        })
    }

    pub(super) fn receipt(&self, session: &Digest, number: u64) -> Result<Receipt, Refusal> {
        let job = self.asked(session, number)?;
        let (state, unstored) = {
            let record = lock(&job.record);
            (record.state, record.unstored)
        };
        match state {
            JobState::Done | JobState::Failed if !unstored => {
                match self.receipts.get(session, number, state)? {
                    Some(receipt) => Ok(Receipt::Stored(receipt)),
                    // Kept long enough just now, or gone though it should be here.
                    None => self.asked(session, number).and(Err(lost(number))),
                }
            }
            JobState::Lost => Err(lost(number)),
            _ => Ok(Receipt::WithRuntime),
        }
    }

    pub(super) fn keep_in_memory(
        &self,
        session: &Digest,
        number: u64,
        job: Arc<Job>,
    ) -> Result<Arc<Job>, Refusal> {
        let mut sessions = lock(&self.sessions);
        let known = sessions.by_digest.get_mut(session);
        let known = known.ok_or_else(|| unknown_session(session))?;
        Ok(Arc::clone(known.running.entry(number).or_insert(job)))
    }

    pub(super) fn events_of(&self, session: &Digest, number: u64) -> PathBuf {
        self.events.join(format!("{session}/{number}"))
    }
}

/// Somebody who waits for a job, until this is dropped.
pub(super) struct Awaiting {
    waiter: Waiter,
    inner: Arc<Inner>,
    session: Digest,
}

impl Awaiting {
    /// Waits until it is time to look for the job; not beyond the deadline, and then that is `false`.
    pub(super) async fn until(&mut self, deadline: tokio::time::Instant) -> bool {
        let closed = tokio::time::timeout_at(deadline, &mut self.waiter.closed);
        closed.await.is_ok()
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        let mut sessions = lock(&self.inner.sessions);
        if let Some(known) = sessions.by_digest.get_mut(&self.session) {
            known.awaited.give_up(self.waiter.number);
        }
    }
}

/// Where the receipt of a job is.
pub(crate) enum Receipt {
    /// Here.
    Stored(Blob),
    /// With the runtime, if the job has ended.
    WithRuntime,
}

//! Sessions and their jobs: what a client that comes back is told.
//!
//! What is known of them is in the [records](super::records), and so is a small sealed receipt, written
//! with the end of its job. Another is the file `receipts/SESSION/N.done` or `.failed`, renamed to that
//! name when it was whole and before the job is recorded as ended. `events/SESSION/N` has one sealed
//! event a line. A job that ended stays as it ended, and only jobs that have not are kept in memory.

mod awaited;
mod ending;
mod inner;
mod job;
mod policies;
mod pruning;
mod receipts;
mod recorded;
mod sessions;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use inner::Inner;
pub(crate) use inner::Receipt;
use job::Job;
use mc2_protocol::{
    Digest,
    documents::{
        control::JobState,
        storage::{JobStatus, SealedEvent, StartQuestion},
    },
    encoding::{Hex, to_json},
};
pub(crate) use policies::Needed;
use receipts::Receipts;
use recorded::{UNKNOWN_JOB, parse_key, read_sessions, unknown_session};
pub(crate) use sessions::{Opened, Owner, SessionEntry, SessionKept};

use super::{
    blobs::Blobs,
    files::{private_folder, remove_temporaries},
    kept::Keeping,
    records::{Change, Records, Table},
};
use crate::{
    config::Quota,
    refusal::{Refusal, blocking},
    waiting::lock,
};

/// Most who wait for news of one job at once.
const MAX_WAITING: usize = 32;

/// Room for a session that is about to be opened.
pub(crate) struct Place {
    jobs: Jobs,
    opener: Digest,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.jobs.0.sessions).unreserve(&self.opener);
    }
}

/// The records of all sessions and jobs; a clone is the same.
#[derive(Clone)]
pub(crate) struct Jobs(Arc<Inner>);

impl Jobs {
    /// Opens the records, with files in `folder`. Jobs that were running when the last host ended
    /// are lost, but where their runtimes `may_return`: then [`lose`](Self::lose) ends their wait.
    pub(crate) fn open(
        folder: &Path,
        blobs: Blobs,
        kept: Keeping,
        records: Arc<Records>,
        may_return: bool,
    ) -> io::Result<Self> {
        let inner = Inner {
            events: folder.join("events"),
            receipts: Receipts {
                records: Arc::clone(&records),
                blobs,
            },
            kept,
            changing: Mutex::default(),
            pruned: Mutex::default(),
            sessions: Mutex::new(read_sessions(&records)?),
            records,
        };
        private_folder(&inner.events)?;
        remove_temporaries(folder, Duration::ZERO)?;
        let this = Self(Arc::new(inner));
        this.resume(may_return)?;
        Ok(this)
    }

    /// Makes room for a session that a card is about to open, until what is returned is dropped.
    /// Where the opening is not `signed` by that card there must be room, but none is taken: it is
    /// refused in the end, and meanwhile keeps nobody out.
    ///
    /// # Errors
    /// 429 `quota`: there are as many as may be.
    pub(crate) fn reserve(
        &self,
        opener: Digest,
        signed: bool,
        quota: &Quota,
    ) -> Result<Option<Place>, Refusal> {
        let mut sessions = lock(&self.0.sessions);
        sessions.check_room(&opener, quota)?;
        if !signed {
            return Ok(None);
        }
        sessions.reserve(&opener);
        let jobs = self.clone();
        Ok(Some(Place { jobs, opener }))
    }

    /// Records a session.
    pub(crate) async fn begin_session(
        &self,
        session: Digest,
        owner: Owner,
        opened: Opened,
    ) -> Result<(), Refusal> {
        let this = self.clone();
        blocking(move || this.0.begin_session(session, owner, opened)).await
    }

    /// Up to `most` sessions after number `after`, oldest first; where a card is stated, those
    /// whose policy names it.
    pub(crate) fn sessions(
        &self,
        card: Option<&Digest>,
        after: u64,
        most: usize,
    ) -> Vec<SessionEntry> {
        lock(&self.0.sessions).list(card, after, most)
    }

    /// What was kept of a session.
    pub(crate) async fn session(&self, session: Digest) -> Result<SessionKept, Refusal> {
        let this = self.clone();
        blocking(move || this.0.kept(&session)).await
    }

    /// Refuses a session that never was, or is kept no more.
    pub(crate) fn require(&self, session: &Digest) -> Result<(), Refusal> {
        if self.knows(session) {
            return Ok(());
        }
        Err(unknown_session(session))
    }

    /// Which runtime process opened a session, and for whom.
    pub(crate) fn owner(&self, session: &Digest) -> Option<Owner> {
        let sessions = lock(&self.0.sessions);
        sessions.by_digest.get(session).map(|session| session.owner)
    }

    /// Whether sessions were opened under this policy, and it is one party's.
    pub(crate) fn is_of_one_party(&self, policy: &Digest) -> bool {
        let sessions = lock(&self.0.sessions);
        let policy = sessions.policy(policy);
        policy.is_some_and(|policy| policy.is_of_one_party())
    }

    /// Whether the policy of a session names this card; not where there is no such session.
    pub(crate) fn names(&self, session: &Digest, card: &Digest) -> bool {
        let sessions = lock(&self.0.sessions);
        let session = sessions.by_digest.get(session);
        session.is_some_and(|session| session.policy.names(card))
    }

    /// Up to `most` jobs of a session after number `after`, and how far each is.
    pub(crate) async fn list(
        &self,
        session: Digest,
        after: u64,
        most: usize,
    ) -> Result<Vec<(u64, JobState)>, Refusal> {
        let this = self.clone();
        blocking(move || this.0.list(&session, after, most)).await
    }

    /// The sessions that a runtime process opened and that were not ended, and for whom.
    pub(crate) fn sessions_of(&self, runtime: Hex<16>) -> Vec<(Digest, Digest)> {
        let sessions = lock(&self.0.sessions);
        let own = sessions.of_runtime(runtime).into_iter();
        own.filter_map(|digest| {
            let session = sessions.by_digest.get(&digest)?;
            let ended = session.over().is_some_and(|over| over.ended);
            (!ended).then_some((digest, session.owner.tenant))
        })
        .collect()
    }

    /// The sessions that are not over.
    pub(crate) fn open_sessions(&self) -> Vec<Digest> {
        let sessions = lock(&self.0.sessions);
        sessions.open().map(|(digest, _)| *digest).collect()
    }

    /// Whether a session is there and not over.
    pub(crate) fn is_open(&self, session: &Digest) -> bool {
        let sessions = lock(&self.0.sessions);
        let session = sessions.by_digest.get(session);
        session.is_some_and(|session| session.over().is_none())
    }

    /// Whether there ever was such a session.
    pub(crate) fn knows(&self, session: &Digest) -> bool {
        lock(&self.0.sessions).by_digest.contains_key(session)
    }

    /// Whether a job of the session has not ended.
    pub(crate) fn any_running(&self, session: &Digest) -> bool {
        let running: Vec<Arc<Job>> = {
            let sessions = lock(&self.0.sessions);
            let session = sessions.by_digest.get(session).into_iter();
            session
                .flat_map(|it| it.running.values().cloned())
                .collect()
        };
        let mut running = running.iter();
        running.any(|job| lock(&job.record).state == JobState::Running)
    }

    /// Whether a job of the session runs, or its receipt is not stored.
    pub(crate) fn any_unended(&self, session: &Digest) -> bool {
        let sessions = lock(&self.0.sessions);
        let session = sessions.by_digest.get(session);
        session.is_some_and(|session| !session.running.is_empty())
    }

    /// Notes that a job runs.
    pub(crate) async fn announce(&self, session: Digest, number: u64) -> Result<(), Refusal> {
        // The answer to its submission told of it before, as a rule. Had its session been over by then,
        // the job would be lost.
        if let Some(job) = self.0.asked_now(&session, number)
            && self.0.goes_on(&session)
        {
            return job.begins();
        }
        let this = self.clone();
        blocking(move || {
            this.0.announce(&session, number)?.begins()?;
            this.0.lose_late(&session);
            Ok(())
        })
        .await
    }

    /// Notes that a job was taken, as the answer to its submission says. It may wait for its start, or
    /// have ended by now.
    pub(crate) async fn taken(&self, session: Digest, number: u64) -> Result<(), Refusal> {
        let this = self.clone();
        blocking(move || {
            this.0.announce(&session, number)?;
            this.0.lose_late(&session);
            Ok(())
        })
        .await
    }

    /// Notes what a job waits for before it starts.
    pub(crate) async fn ask_start(
        &self,
        session: Digest,
        number: u64,
        question: StartQuestion,
    ) -> Result<(), Refusal> {
        let this = self.clone();
        blocking(move || this.0.announce(&session, number)?.asks(question)).await
    }

    /// What a job waits for before it starts.
    pub(crate) async fn start_question(
        &self,
        session: Digest,
        number: u64,
    ) -> Result<StartQuestion, Refusal> {
        let this = self.clone();
        let job = blocking(move || this.0.asked(&session, number)).await?;
        job.question().ok_or_else(|| {
            let message = format!("job {number} waits for no answer to its start");
            Refusal::not_found("not-waiting", message)
        })
    }

    /// Keeps a sealed event; a job heard of for the first time runs.
    pub(crate) async fn event(
        &self,
        session: Digest,
        number: u64,
        event: &SealedEvent,
    ) -> Result<(), Refusal> {
        let (this, line) = (self.clone(), to_json(event));
        blocking(move || {
            let job = this.0.announce(&session, number)?;
            job.begins()?;
            job.append(line)
        })
        .await
    }

    /// Ends a job with its sealed receipt. The same receipt again is no error.
    pub(crate) async fn end(
        &self,
        session: Digest,
        number: u64,
        success: bool,
        receipt: Bytes,
    ) -> Result<(), Refusal> {
        let state = if success {
            JobState::Done
        } else {
            JobState::Failed
        };
        let this = self.clone();
        blocking(move || this.0.end(&session, number, state, &receipt)).await
    }

    /// Notes that the runtime of a session is gone. Should it come back, its receipts are taken. May
    /// block.
    pub(crate) fn lose(&self, session: &Digest) {
        self.0.lose(session, false);
    }

    /// Notes that the runtime of a session has it no more, though it goes on until its receipts are
    /// stored; not in the records yet.
    pub(crate) fn note_ended(&self, session: &Digest) {
        lock(&self.0.sessions).note_ended(session);
    }

    /// Records that a session was ended and goes on until its receipts are stored, where that is so. May
    /// block.
    pub(crate) fn record_ended(&self, session: &Digest) {
        self.0.record_ended(session);
    }

    /// Whether the runtime of a session has it no more, and it goes on until its receipts are stored.
    pub(crate) fn is_ending(&self, session: &Digest) -> bool {
        let sessions = lock(&self.0.sessions);
        let session = sessions.by_digest.get(session);
        session.is_some_and(|session| session.is_ending())
    }

    /// Notes that a session was ended, and is over. May block.
    pub(crate) fn end_session(&self, session: &Digest) {
        self.0.lose(session, true);
    }

    /// Notes that the runtime of a session is back.
    pub(crate) fn find_again(&self, session: &Digest) {
        self.0.find_again(session);
    }

    /// Removes jobs that ended before `before`, with their receipts and events; how many. May block.
    pub(crate) fn prune_jobs(
        &self,
        before: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<usize, Refusal> {
        self.0.prune_jobs(before, stop)
    }

    /// Removes sessions that were over before `before` and that no runtime serves, with everything of
    /// theirs; how many. Where `receipts_stay`, those without a job that ended. May block.
    pub(crate) fn prune_sessions(
        &self,
        before: u64,
        receipts_stay: bool,
        is_served: &dyn Fn(&Digest) -> bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<usize, Refusal> {
        self.0
            .prune_sessions(before, receipts_stay, is_served, stop)
    }

    /// What open sessions need.
    pub(crate) fn needed(&self) -> Needed {
        lock(&self.0.sessions).needed()
    }

    /// Looks again at what open sessions need.
    pub(crate) fn refresh(&self, needed: &mut Needed) {
        lock(&self.0.sessions).refresh(needed);
    }

    /// How far a job is and its events after the first `after`; waits up to `wait` for news.
    pub(crate) async fn status(
        &self,
        session: Digest,
        number: u64,
        after: u64,
        wait: Duration,
    ) -> Result<JobStatus, Refusal> {
        Ok(self.follow(session, number, after, wait).await?.1)
    }

    /// The same and the sealed receipt of a job that has ended, where it is here and not large.
    pub(crate) async fn status_with_receipt(
        &self,
        session: Digest,
        number: u64,
        after: u64,
        wait: Duration,
    ) -> Result<(JobStatus, Option<Bytes>), Refusal> {
        let (job, status) = self.follow(session, number, after, wait).await?;
        if let Some(receipt) = job.receipt() {
            return Ok((status, Some(receipt)));
        }
        let (this, state) = (self.clone(), status.state);
        if !matches!(state, JobState::Done | JobState::Failed) {
            return Ok((status, None));
        }
        let receipt = blocking(move || this.0.receipts.small(&session, number, state));
        Ok((status, receipt.await?))
    }

    async fn follow(
        &self,
        session: Digest,
        number: u64,
        after: u64,
        wait: Duration,
    ) -> Result<(Arc<Job>, JobStatus), Refusal> {
        let deadline = tokio::time::Instant::now() + wait;
        let job = self.once_announced(session, number, deadline).await?;
        // Whoever asks when so many wait is answered at once.
        let wait = if job.changes.receiver_count() < MAX_WAITING {
            wait
        } else {
            Duration::ZERO
        };
        let deadline = deadline.min(tokio::time::Instant::now() + wait);
        let mut changes = job.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let status = match job.status_now() {
                Some(status) => status,
                None => {
                    let asked = Arc::clone(&job);
                    blocking(move || asked.status(after)).await?
                }
            };
            let ended = !matches!(status.state, JobState::Waiting | JobState::Running);
            let news = ended || !status.events.is_empty();
            if news
                || tokio::time::timeout_at(deadline, changes.changed())
                    .await
                    .is_err()
            {
                return Ok((job, status));
            }
        }
    }

    /// A job, when it is known: its submitter may ask for it before its runtime has announced it.
    async fn once_announced(
        &self,
        session: Digest,
        number: u64,
        deadline: tokio::time::Instant,
    ) -> Result<Arc<Job>, Refusal> {
        if let Some(job) = self.0.asked_now(&session, number) {
            return Ok(job);
        }
        // Among those who wait before the look, so that no announcement falls in between.
        let mut awaiting = self.0.await_job(session, number);
        let first = self.asked(session, number).await;
        match (first, &mut awaiting) {
            (Err(refusal), Some(awaiting)) if refusal.code == UNKNOWN_JOB => {
                if awaiting.until(deadline).await {
                    self.asked(session, number).await
                } else {
                    Err(refusal)
                }
            }
            (first, _) => first,
        }
    }

    async fn asked(&self, session: Digest, number: u64) -> Result<Arc<Job>, Refusal> {
        if let Some(job) = self.0.asked_now(&session, number) {
            return Ok(job);
        }
        let this = self.clone();
        blocking(move || this.0.asked(&session, number)).await
    }

    /// Where the sealed receipt of a job is.
    pub(crate) async fn receipt(&self, session: Digest, number: u64) -> Result<Receipt, Refusal> {
        let this = self.clone();
        blocking(move || this.0.receipt(&session, number)).await
    }

    /// Finds what ran when the last host ended.
    fn resume(&self, may_return: bool) -> io::Result<()> {
        let inner = &self.0;
        for (key, _) in inner.records.range(Table::Running, &[], &[], usize::MAX)? {
            let Some((session, number)) = parse_key(&key) else {
                continue;
            };
            if inner.records.get(Table::Ended, &key)?.is_some() {
                inner
                    .records
                    .write(vec![Change::remove(Table::Running, key)])?;
                continue;
            }
            let settled = inner.settle(&session, number);
            if settled.map_err(io::Error::other)?.is_some() {
                continue;
            }
            let job = Job::new(inner.events_of(&session, number), JobState::Running);
            if let Some(session) = lock(&inner.sessions).by_digest.get_mut(&session) {
                session.running.insert(number, Arc::new(job));
            }
        }
        if !may_return {
            for session in self.open_sessions() {
                inner.lose(&session, false);
            }
        }
        self.lose_what_is_left();
        Ok(())
    }

    /// Ends the jobs that still run in sessions that are over. May block.
    pub(crate) fn lose_what_is_left(&self) {
        self.0.lose_what_is_left();
    }
}

//! Sessions and their jobs: what a client that comes back is told.
//!
//! What is known of them is in the [records](super::records); a sealed receipt is the file
//! `receipts/SESSION/N.done` or `.failed`, renamed to that name when it was whole and before the job is recorded as
//! ended; `events/SESSION/N` has one sealed event a line. A job that ended stays as it ended, and
//! only jobs that have not are kept in memory.

mod job;
mod sessions;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use mc2_protocol::{
    Digest,
    documents::{
        control::JobState,
        storage::{JobStatus, SealedEvent, StartQuestion},
    },
    encoding::{Hex, to_json},
};
use serde::{Deserialize, Serialize};

use job::Job;
pub(crate) use sessions::{Opened, Owner, SessionEntry, SessionKept};
use sessions::{PolicyKept, Recorded, Session, Sessions, now};

use super::{
    blobs::{Blob, Blobs},
    files::{private_folder, remove_temporaries},
    records::{Change, Records, Table},
};
use crate::{
    refusal::{Refusal, blocking},
    waiting::lock,
};

/// Largest job number: JSON's integers end there.
const MAX_NUMBER: u64 = (1 << 53) - 1;
/// Most who wait for news of one job at once.
const MAX_WAITING: usize = 32;

/// The records of all sessions and jobs; a clone is the same.
#[derive(Clone)]
pub(crate) struct Jobs(Arc<Inner>);

struct Inner {
    records: Arc<Records>,
    events: PathBuf,
    blobs: Blobs,
    sessions: Mutex<Sessions>,
    /// Held while a job becomes known or ends, so that none of these finds another half done. Taken
    /// before the locks of sessions and jobs.
    changing: Mutex<()>,
}

impl Jobs {
    /// Opens the records, with files in `folder`. Jobs that were running when the last host ended
    /// are lost, but where their runtimes `may_return`: then [`lose`](Self::lose) ends their wait.
    pub(crate) fn open(
        folder: &Path,
        blobs: Blobs,
        records: Arc<Records>,
        may_return: bool,
    ) -> io::Result<Self> {
        let inner = Inner {
            events: folder.join("events"),
            blobs,
            changing: Mutex::default(),
            sessions: Mutex::new(read_sessions(&records)?),
            records,
        };
        private_folder(&inner.events)?;
        remove_temporaries(folder, Duration::ZERO)?;
        let this = Self(Arc::new(inner));
        this.resume(may_return)?;
        Ok(this)
    }

    /// Records a session, and makes room for its jobs.
    pub(crate) async fn begin_session(
        &self,
        session: Digest,
        owner: Owner,
        opened: Opened,
    ) -> Result<(), Refusal> {
        let this = self.clone();
        blocking(move || Ok(this.0.begin_session(session, owner, opened)?)).await
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
    pub(crate) fn session(&self, session: &Digest) -> Result<SessionKept, Refusal> {
        let kept = lock(&self.0.sessions).kept(session);
        kept.ok_or_else(|| unknown_session(session))
    }

    /// Which runtime process opened a session, and for whom.
    pub(crate) fn owner(&self, session: &Digest) -> Option<Owner> {
        let sessions = lock(&self.0.sessions);
        sessions.by_digest.get(session).map(|session| session.owner)
    }

    /// Whether sessions were opened under this policy, and it is one party's.
    pub(crate) fn is_of_one_party(&self, policy: &Digest) -> bool {
        let sessions = lock(&self.0.sessions);
        let policy = sessions.policies.get(policy);
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

    /// The sessions that a runtime process opened, and for whom.
    pub(crate) fn sessions_of(&self, runtime: Hex<16>) -> Vec<(Digest, Digest)> {
        let sessions = lock(&self.0.sessions);
        let own = sessions.of_runtime(runtime).into_iter();
        own.filter_map(|digest| {
            let tenant = sessions.by_digest.get(&digest)?.owner.tenant;
            Some((digest, tenant))
        })
        .collect()
    }

    /// The sessions that are not over.
    pub(crate) fn open_sessions(&self) -> Vec<Digest> {
        let sessions = lock(&self.0.sessions);
        let open = sessions.by_digest.iter().filter(|(_, it)| !it.over);
        open.map(|(digest, _)| *digest).collect()
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

    /// Notes that a job runs.
    pub(crate) async fn announce(&self, session: Digest, number: u64) -> Result<(), Refusal> {
        let this = self.clone();
        blocking(move || this.0.announce(&session, number)?.begins()).await
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
        let job = blocking(move || this.0.find(&session, number)).await?;
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

    /// Notes that the runtime of a session is gone. Should it come back, its receipts are taken.
    pub(crate) fn lose(&self, session: &Digest) {
        self.0.lose(session);
    }

    /// Notes that the runtime of a session is back.
    pub(crate) fn find_again(&self, session: &Digest) {
        if let Some(session) = lock(&self.0.sessions).by_digest.get_mut(session) {
            session.over = false;
        }
    }

    /// Forgets a session in which nothing ever ran.
    pub(crate) fn forget_empty(&self, session: &Digest) {
        let sessions = lock(&self.0.sessions);
        let unused = sessions.by_digest.get(session).is_some_and(|it| !it.used);
        drop(sessions);
        if unused && let Err(error) = self.0.forget(session) {
            tracing::error!(%error, %session, "a session could not be forgotten");
        }
    }

    /// How far a job is and its events after the first `after`; waits up to `wait` for news.
    pub(crate) async fn status(
        &self,
        session: Digest,
        number: u64,
        after: u64,
        wait: Duration,
    ) -> Result<JobStatus, Refusal> {
        let this = self.clone();
        let job = blocking(move || this.0.find(&session, number)).await?;
        // Whoever asks when so many wait is answered at once.
        let wait = if job.changes.receiver_count() < MAX_WAITING {
            wait
        } else {
            Duration::ZERO
        };
        let mut changes = job.changes.subscribe();
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            changes.mark_unchanged();
            let asked = Arc::clone(&job);
            let status = blocking(move || asked.status(after)).await?;
            let ended = !matches!(status.state, JobState::Waiting | JobState::Running);
            let news = ended || !status.events.is_empty();
            if news
                || tokio::time::timeout_at(deadline, changes.changed())
                    .await
                    .is_err()
            {
                return Ok(status);
            }
        }
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
                session.used = true;
                session.running.insert(number, Arc::new(job));
            }
        }
        let digests = self.open_sessions();
        for session in digests {
            let any = !inner
                .records
                .range(Table::Ended, session.as_bytes(), &[], 1)?
                .is_empty();
            let used = {
                let mut sessions = lock(&inner.sessions);
                let Some(session) = sessions.by_digest.get_mut(&session) else {
                    continue;
                };
                session.used |= any;
                session.used
            };
            if !may_return && used {
                inner.lose(&session);
            } else if !may_return {
                // Nothing ever ran in it, so there is nothing to tell.
                inner.forget(&session)?;
            }
        }
        Ok(())
    }
}

impl Inner {
    fn begin_session(&self, session: Digest, owner: Owner, opened: Opened) -> io::Result<()> {
        let known = lock(&self.sessions).policies.get(&owner.tenant).cloned();
        let new = known.is_none();
        let policy = known.unwrap_or_else(|| Arc::new(PolicyKept::new(opened.policy.clone())));
        let mut sessions = lock(&self.sessions);
        if let Some(known) = sessions.by_digest.get(&session) {
            if known.owner != owner {
                // Whoever answers with another's record is not given its session.
                let message = "the session that was opened is another runtime's";
                return Err(io::Error::other(message));
            }
            return Ok(());
        }
        private_folder(&self.events.join(session.to_string()))?;
        let recorded = Recorded {
            owner,
            number: sessions.next(),
            opened: now(),
            record: Vec::from(opened.record).into(),
        };
        let mut changes = vec![Change::put(
            Table::Sessions,
            session.as_bytes(),
            to_json(&recorded),
        )];
        if new {
            changes.push(Change::put(
                Table::Policies,
                owner.tenant.as_bytes(),
                opened.policy,
            ));
        }
        // Sessions are recorded in the order of their numbers, so under the lock that gives them.
        self.records.write(changes)?;
        let policy = sessions.policies.entry(owner.tenant).or_insert(policy);
        let policy = Arc::clone(policy);
        sessions.insert(session, Session::new(recorded, policy));
        Ok(())
    }

    fn list(
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

    /// The job that runs, known from now on where it was not.
    fn announce(&self, session: &Digest, number: u64) -> Result<Arc<Job>, Refusal> {
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
        let announced = Change::put(Table::Running, key(session, number), Bytes::new());
        if let Err(error) = self.records.write(vec![announced]) {
            // Known it is all the same; only a host that is started again will not know it.
            tracing::error!(%error, %session, number, "a running job could not be recorded");
        }
        let job = Arc::new(Job::new(self.events_of(session, number), JobState::Running));
        let mut sessions = lock(&self.sessions);
        let known = sessions.by_digest.get_mut(session);
        let known = known.ok_or_else(|| unknown_session(session))?;
        known.used = true;
        // Nobody is told of it before it is recorded. Another announcement may have been quicker.
        Ok(Arc::clone(known.running.entry(number).or_insert(job)))
    }

    fn end(
        &self,
        session: &Digest,
        number: u64,
        state: JobState,
        receipt: &[u8],
    ) -> Result<(), Refusal> {
        let job = match self.find(session, number) {
            Err(refusal) if refusal.code == UNKNOWN_JOB => self.announce(session, number)?,
            found => found?,
        };
        let name = receipt_of(session, number, state);
        let state_now = lock(&job.record).state;
        let job = match state_now {
            // Its runtime had not gone after all; whoever ends it meanwhile ends the same job.
            JobState::Lost => self.keep_in_memory(session, number, job)?,
            _ => job,
        };
        // One receipt at a time; who asks for the job's state does not wait for it.
        let _alone = lock(&job.storing);
        {
            let record = lock(&job.record);
            match record.state {
                JobState::Running | JobState::Lost => {}
                ended if ended == state && record.unstored => {}
                ended if ended == state => {
                    drop(record);
                    if self.blobs.read(&name)?.is_some_and(|it| it == receipt) {
                        return Ok(());
                    }
                    return lock(&job.record).running();
                }
                _ => return record.running(),
            }
        }
        let written = self.blobs.put(&name, Bytes::copy_from_slice(receipt));
        let _changing = lock(&self.changing);
        let mut record = lock(&job.record);
        let stored = written.and_then(|written| {
            self.records.flush_later(written);
            Ok(self.record_end(session, number, state)?)
        });
        record.state = state;
        record.unstored = stored.is_err();
        drop(record);
        if stored.is_ok()
            && let Some(known) = lock(&self.sessions).by_digest.get_mut(session)
        {
            known.running.remove(&number);
        }
        job.changed();
        stored
    }

    fn keep_in_memory(
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

    fn lose(&self, session: &Digest) {
        let mut sessions = lock(&self.sessions);
        let Some(known) = sessions.by_digest.get_mut(session) else {
            return;
        };
        known.over = true;
        let running: Vec<_> = known
            .running
            .iter()
            .map(|(number, job)| (*number, Arc::clone(job)))
            .collect();
        drop(sessions);
        for (number, job) in running {
            if let Err(error) = self.lose_job(session, number, &job) {
                // It stays in memory as it is now; the next start finds it running, and so lost.
                tracing::error!(%error, %session, number, "a lost job could not be recorded");
            } else if let Some(known) = lock(&self.sessions).by_digest.get_mut(session) {
                known.running.remove(&number);
            }
            job.changed();
        }
    }

    fn lose_job(&self, session: &Digest, number: u64, job: &Job) -> Result<(), Refusal> {
        let _changing = lock(&self.changing);
        let mut record = lock(&job.record);
        if record.state != JobState::Running && !record.unstored {
            return Ok(());
        }
        let settled = self.settle(session, number)?;
        record.unstored = false;
        if let Some(state) = settled {
            record.state = state;
            return Ok(());
        }
        tracing::warn!(%session, number, "a job is lost: its runtime is gone");
        record.state = JobState::Lost;
        Ok(self.record_end(session, number, JobState::Lost)?)
    }

    /// Records the end of a job whose receipt is here although no record says so, and returns how it
    /// ended: the host ended, or its disk was full, between the two.
    fn settle(&self, session: &Digest, number: u64) -> Result<Option<JobState>, Refusal> {
        for state in [JobState::Done, JobState::Failed] {
            if self.blobs.exists(&receipt_of(session, number, state))? {
                self.record_end(session, number, state)?;
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    fn record_end(&self, session: &Digest, number: u64, state: JobState) -> io::Result<()> {
        let ended = Ended::now(state).to_bytes();
        self.records.write(vec![
            Change::remove(Table::Running, key(session, number)),
            Change::put(Table::Ended, key(session, number), ended),
        ])
    }

    /// Forgets a session with all its jobs.
    fn forget(&self, session: &Digest) -> io::Result<()> {
        let mut sessions = lock(&self.sessions);
        let Some((known, last)) = sessions.remove(session) else {
            return Ok(());
        };
        let mut changes = vec![Change::remove(Table::Sessions, session.as_bytes())];
        if last {
            let policy = known.owner.tenant;
            changes.push(Change::remove(Table::Policies, policy.as_bytes()));
        }
        for table in [Table::Running, Table::Ended] {
            let jobs = self
                .records
                .range(table, session.as_bytes(), &[], usize::MAX)?;
            changes.extend(jobs.into_iter().map(|(key, _)| Change::remove(table, key)));
        }
        // Under the lock, so that a session opened now finds its policy here or records it.
        self.records.write(changes)?;
        drop(sessions);
        // What is left is nobody's.
        let _ = fs::remove_dir_all(self.events.join(session.to_string()));
        if let Err(error) = self.blobs.remove(&format!("receipts/{session}")) {
            tracing::warn!(%error, %session, "receipts of a session that is forgotten are left");
        }
        Ok(())
    }

    fn find(&self, session: &Digest, number: u64) -> Result<Arc<Job>, Refusal> {
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

    fn receipt(&self, session: &Digest, number: u64) -> Result<Receipt, Refusal> {
        let job = self.find(session, number)?;
        let (state, unstored) = {
            let record = lock(&job.record);
            (record.state, record.unstored)
        };
        match state {
            JobState::Done | JobState::Failed if !unstored => {
                let receipt = self.blobs.get(&receipt_of(session, number, state))?;
                receipt.map(Receipt::Stored).ok_or_else(|| lost(number))
            }
            JobState::Lost => Err(lost(number)),
            _ => Ok(Receipt::WithRuntime),
        }
    }

    fn events_of(&self, session: &Digest, number: u64) -> PathBuf {
        self.events.join(format!("{session}/{number}"))
    }
}

/// Where the receipt of a job is.
pub(crate) enum Receipt {
    /// Here.
    Stored(Blob),
    /// With the runtime, if the job has ended.
    WithRuntime,
}

/// How a job ended, as it is recorded.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    state: JobState,
    /// Unix time in seconds, by the host's clock.
    ended: u64,
}

impl Ended {
    fn now(state: JobState) -> Self {
        Self {
            state,
            ended: now(),
        }
    }

    fn read(bytes: &[u8]) -> io::Result<Self> {
        Ok(serde_json::from_slice(bytes)?)
    }

    fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }
}

fn read_sessions(records: &Records) -> io::Result<Sessions> {
    let mut sessions = Sessions::default();
    for (key, bytes) in records.range(Table::Policies, &[], &[], usize::MAX)? {
        if let Some(digest) = parse_digest(&key) {
            let policy = Arc::new(PolicyKept::new(bytes));
            sessions.policies.insert(digest, policy);
        }
    }
    for (key, bytes) in records.range(Table::Sessions, &[], &[], usize::MAX)? {
        let recorded: Recorded = serde_json::from_slice(&bytes)?;
        let policy = sessions.policies.get(&recorded.owner.tenant).cloned();
        if let (Some(digest), Some(policy)) = (parse_digest(&key), policy) {
            sessions.insert(digest, Session::new(recorded, policy));
        }
    }
    Ok(sessions)
}

/// The name of a job's receipt. It says how the job ended, and so outweighs a record that does not
/// say it yet.
fn receipt_of(session: &Digest, number: u64, state: JobState) -> String {
    let end = match state {
        JobState::Done => "done",
        _ => "failed",
    };
    format!("receipts/{session}/{number}.{end}")
}

/// The code of the refusal for a job that was never announced.
const UNKNOWN_JOB: &str = "unknown-job";

/// The key of a job's record.
fn key(session: &Digest, number: u64) -> Vec<u8> {
    [session.as_bytes().as_slice(), &number.to_be_bytes()].concat()
}

fn parse_key(key: &[u8]) -> Option<(Digest, u64)> {
    let (session, number) = key.split_at_checked(32)?;
    let number = number.try_into().ok().map(u64::from_be_bytes)?;
    Some((parse_digest(session)?, number))
}

fn parse_digest(bytes: &[u8]) -> Option<Digest> {
    bytes.try_into().ok().map(Digest::from_bytes)
}

fn unknown_session(session: &Digest) -> Refusal {
    Refusal::not_found(
        "unknown-session",
        format!("this host has no session {session}"),
    )
}

fn lost(number: u64) -> Refusal {
    let message = format!(
        "job {number} is lost: its runtime went away before its receipt was stored; its run is \
         spent"
    );
    Refusal::not_found("lost", message)
}

//! Job records: what a client that comes back is told.
//!
//! `sessions/SESSION/N.running` is made when a runtime announces job N. One rename ends the job:
//! `N.done` and `N.failed` are its sealed receipt, `N.lost` is empty. `N.events` has one sealed
//! event a line. A job that ended stays as it ended.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;
use mc2_protocol::{
    Digest,
    control::JobState,
    encoding::{Hex, to_json},
    storage::{JobStatus, MAX_EVENT_LEN, SealedEvent},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    refusal::{Refusal, blocking},
    store::{private_folder, remove_temporaries, write_atomically},
};

/// Largest job number: JSON's integers end there.
const MAX_NUMBER: u64 = (1 << 53) - 1;
/// Name of the file that says who serves a session.
const OWNER: &str = "owner";
/// The owner of a session whose file does not say.
const NOBODY: Owner = Owner {
    runtime: Hex([0; 16]),
    tenant: Digest::from_bytes([0; 32]),
};
/// Most events kept of one job.
const MAX_EVENTS: usize = 100_000;
/// Most who wait for news of one job at once.
const MAX_WAITING: usize = 32;
/// Bytes of events after which one answer ends.
const ANSWER: usize = 4 * 1024 * 1024;

/// The records of all jobs of all sessions.
pub(crate) struct Jobs {
    folder: PathBuf,
    durable: bool,
    sessions: Mutex<HashMap<Digest, Session>>,
}

/// A session's jobs, and who serves it.
struct Session {
    owner: Owner,
    jobs: BTreeMap<u64, Arc<Job>>,
}

/// The runtime process that opened a session, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owner {
    pub(crate) runtime: Hex<16>,
    pub(crate) tenant: Digest,
}

/// Where the receipt of a job is.
pub(crate) enum Receipt {
    /// Here.
    Stored(File),
    /// With the runtime, if the job has ended.
    WithRuntime,
}

struct Job {
    /// The path of its files without their extensions' dot and name.
    stem: PathBuf,
    record: Mutex<Record>,
    /// Counts what changed.
    changes: watch::Sender<u64>,
}

struct Record {
    state: JobState,
    /// Whether the job has ended and its receipt could not be stored: the runtime has it still.
    unstored: bool,
    /// Where in the file of events each lies; read from it on the first question.
    events: Option<Vec<(u64, usize)>>,
}

impl Jobs {
    /// Opens the records. Jobs that were running when the last host ended are lost, but where
    /// their runtimes `may_return`: then [`lose`](Self::lose) ends their wait.
    pub(crate) fn open(folder: PathBuf, durable: bool, may_return: bool) -> io::Result<Self> {
        private_folder(&folder)?;
        let mut sessions = HashMap::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(session) = name.and_then(|name| name.parse().ok()) else {
                continue;
            };
            remove_temporaries(&path, Duration::ZERO)?;
            let owner = fs::read(path.join(OWNER));
            let owner = owner
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok());
            let jobs = read_session(&path)?;
            let known = Session {
                owner: owner.unwrap_or(NOBODY),
                jobs,
            };
            if known.jobs.is_empty() && !(may_return && owner.is_some()) {
                // Nothing ever ran in it, so there is nothing to tell.
                fs::remove_dir_all(&path)?;
                continue;
            }
            if !may_return {
                known.lose(&session, durable);
            }
            sessions.insert(session, known);
        }
        Ok(Self {
            folder,
            durable,
            sessions: Mutex::new(sessions),
        })
    }

    /// Makes room for a session's jobs.
    pub(crate) async fn begin_session(&self, session: Digest, owner: Owner) -> Result<(), Refusal> {
        let folder = self.folder.join(session.to_string());
        let durable = self.durable;
        blocking(move || {
            private_folder(&folder)?;
            Ok(write_atomically(
                &folder.join(OWNER),
                &to_json(&owner),
                durable,
            )?)
        })
        .await?;
        let jobs = BTreeMap::new();
        lock(&self.sessions)
            .entry(session)
            .or_insert(Session { owner, jobs });
        Ok(())
    }

    /// The sessions that a runtime process opened, and for whom.
    pub(crate) fn sessions_of(&self, runtime: Hex<16>) -> Vec<(Digest, Digest)> {
        let sessions = lock(&self.sessions);
        let own = sessions
            .iter()
            .filter(|(_, known)| known.owner.runtime == runtime);
        own.map(|(session, known)| (*session, known.owner.tenant))
            .collect()
    }

    /// All sessions.
    pub(crate) fn all_sessions(&self) -> Vec<Digest> {
        lock(&self.sessions).keys().copied().collect()
    }

    /// Whether there ever was such a session.
    pub(crate) fn knows(&self, session: &Digest) -> bool {
        lock(&self.sessions).contains_key(session)
    }

    /// Whether a job of the session has not ended.
    pub(crate) fn any_running(&self, session: &Digest) -> bool {
        self.of(session)
            .iter()
            .any(|job| lock(&job.record).state == JobState::Running)
    }

    /// Notes that a job runs.
    pub(crate) async fn announce(&self, session: Digest, number: u64) -> Result<(), Refusal> {
        if !(1..=MAX_NUMBER).contains(&number) {
            return Err(Refusal::bad(
                "number",
                "a job's number is at least 1 and below 2^53",
            ));
        }
        let stem = self
            .folder
            .join(session.to_string())
            .join(number.to_string());
        {
            let sessions = lock(&self.sessions);
            let Some(known) = sessions.get(&session) else {
                return Err(unknown_session(&session));
            };
            if let Some(job) = known.jobs.get(&number) {
                return lock(&job.record).running().map(drop);
            }
        }
        let job = Arc::new(Job::new(stem, JobState::Running));
        let (durable, announced) = (self.durable, Arc::clone(&job));
        blocking(move || {
            // Known it is all the same; only a host that is started again will not know it.
            if let Err(error) = write_atomically(&announced.path("running"), b"", durable) {
                tracing::error!(%error, %session, number, "a running job could not be recorded");
            }
            Ok(())
        })
        .await?;
        // Nobody is told of it before it is recorded. Another announcement may have been quicker.
        if let Some(known) = lock(&self.sessions).get_mut(&session) {
            known.jobs.entry(number).or_insert(job);
        }
        Ok(())
    }

    /// Keeps a sealed event; a job heard of for the first time runs.
    pub(crate) async fn event(
        &self,
        session: Digest,
        number: u64,
        event: &SealedEvent,
    ) -> Result<(), Refusal> {
        let job = self.find_or_announce(session, number).await?;
        let line = to_json(event);
        blocking(move || job.append(line)).await
    }

    /// Ends a job with its sealed receipt. The same receipt again is no error.
    pub(crate) async fn end(
        &self,
        session: Digest,
        number: u64,
        success: bool,
        receipt: bytes::Bytes,
    ) -> Result<(), Refusal> {
        let job = self.find_or_announce(session, number).await?;
        let durable = self.durable;
        let state = if success {
            JobState::Done
        } else {
            JobState::Failed
        };
        blocking(move || job.end(state, &receipt, durable)).await
    }

    /// Notes that the runtime of a session is gone. Should it come back, its receipts are taken.
    pub(crate) fn lose(&self, session: &Digest) {
        if let Some(known) = lock(&self.sessions).get(session) {
            known.lose(session, self.durable);
        }
    }

    /// Forgets a session in which nothing ever ran.
    pub(crate) fn forget_empty(&self, session: &Digest) {
        let mut sessions = lock(&self.sessions);
        if sessions
            .get(session)
            .is_some_and(|known| known.jobs.is_empty())
        {
            sessions.remove(session);
            // What is left is removed at another start.
            let _ = fs::remove_dir_all(self.folder.join(session.to_string()));
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
        let job = self.find(&session, number)?;
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
            let news = status.state != JobState::Running || !status.events.is_empty();
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
    pub(crate) fn receipt(&self, session: &Digest, number: u64) -> Result<Receipt, Refusal> {
        let job = self.find(session, number)?;
        let (state, unstored) = {
            let record = lock(&job.record);
            (record.state, record.unstored)
        };
        match state {
            JobState::Done | JobState::Failed if !unstored => {
                Ok(Receipt::Stored(File::open(job.path(extension(state)))?))
            }
            JobState::Lost => Err(Refusal::not_found(
                "lost",
                format!(
                    "job {number} is lost: its runtime went away before its receipt was stored; \
                     its run is spent"
                ),
            )),
            _ => Ok(Receipt::WithRuntime),
        }
    }

    fn find(&self, session: &Digest, number: u64) -> Result<Arc<Job>, Refusal> {
        let sessions = lock(&self.sessions);
        let known = sessions
            .get(session)
            .ok_or_else(|| unknown_session(session))?;
        known.jobs.get(&number).cloned().ok_or_else(|| {
            let message = format!("no job {number} was announced in session {session}");
            Refusal::not_found("unknown-job", message)
        })
    }

    async fn find_or_announce(&self, session: Digest, number: u64) -> Result<Arc<Job>, Refusal> {
        if let Ok(job) = self.find(&session, number) {
            return Ok(job);
        }
        self.announce(session, number).await?;
        self.find(&session, number)
    }

    fn of(&self, session: &Digest) -> Vec<Arc<Job>> {
        let sessions = lock(&self.sessions);
        sessions
            .get(session)
            .into_iter()
            .flat_map(|known| known.jobs.values())
            .cloned()
            .collect()
    }
}

impl Session {
    fn lose(&self, session: &Digest, durable: bool) {
        for job in self.jobs.values() {
            let mut record = lock(&job.record);
            if record.state != JobState::Running && !record.unstored {
                continue;
            }
            tracing::warn!(%session, job = %job.stem.display(), "a job is lost: its runtime is gone");
            record.state = JobState::Lost;
            record.unstored = false;
            drop(record);
            // Without this file the next start finds the job running, and so lost.
            if let Err(error) = write_atomically(&job.path("lost"), b"", durable) {
                tracing::error!(%error, "a lost job could not be recorded");
            }
            job.changed();
        }
    }
}

impl Job {
    fn new(stem: PathBuf, state: JobState) -> Self {
        let record = Mutex::new(Record {
            state,
            unstored: false,
            events: None,
        });
        Self {
            stem,
            record,
            changes: watch::Sender::new(0),
        }
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.stem.with_extension(extension)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn append(&self, mut line: Vec<u8>) -> Result<(), Refusal> {
        line.push(b'\n');
        let mut record = lock(&self.record);
        record.running()?;
        let path = self.path("events");
        let events = record.events(&path)?;
        if events.len() >= MAX_EVENTS {
            let message = format!("at most {MAX_EVENTS} events of a job are kept");
            return Err(Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "events",
                message,
            ));
        }
        let end = events
            .last()
            .map_or(0, |(offset, length)| offset + *length as u64 + 1);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)?;
        // Whatever an earlier failure left behind the last whole line.
        file.set_len(end)?;
        (&file).write_all(&line)?;
        events.push((end, line.len() - 1));
        drop(record);
        self.changed();
        Ok(())
    }

    fn end(&self, state: JobState, receipt: &[u8], durable: bool) -> Result<(), Refusal> {
        let mut record = lock(&self.record);
        let path = self.path(extension(state));
        match record.state {
            JobState::Running | JobState::Lost => {}
            ended if ended == state && record.unstored => {}
            ended if ended == state && fs::read(&path).is_ok_and(|stored| stored == receipt) => {
                return Ok(());
            }
            _ => return record.running(),
        }
        let written = write_atomically(&path, receipt, durable);
        record.state = state;
        record.unstored = written.is_err();
        drop(record);
        self.changed();
        written?;
        for note in ["running", "lost"] {
            let _ = fs::remove_file(self.path(note));
        }
        Ok(())
    }

    fn status(&self, after: u64) -> Result<JobStatus, Refusal> {
        let mut record = lock(&self.record);
        let state = record.state;
        let path = self.path("events");
        let events = record.events(&path)?;
        let first = usize::try_from(after)
            .unwrap_or(usize::MAX)
            .min(events.len());
        let wanted = events[first..].to_vec();
        drop(record);
        let mut answer = JobStatus {
            state,
            events: Vec::new(),
            next: first as u64,
        };
        if wanted.is_empty() {
            return Ok(answer);
        }
        let file = File::open(&path)?;
        let mut size = 0;
        for (offset, length) in wanted {
            size += length;
            if size > ANSWER {
                break;
            }
            let mut line = vec![0; length];
            file.read_exact_at(&mut line, offset)?;
            answer.next += 1;
            match SealedEvent::parse(&line) {
                Ok(event) => answer.events.push(event),
                Err(error) => tracing::error!(%error, "a stored event was damaged"),
            }
        }
        Ok(answer)
    }
}

impl Record {
    fn running(&self) -> Result<(), Refusal> {
        if self.state == JobState::Running {
            return Ok(());
        }
        let message = format!("the job has ended: it is {}", extension(self.state));
        Err(Refusal::conflict("job-ended", message))
    }

    fn events(&mut self, path: &Path) -> io::Result<&mut Vec<(u64, usize)>> {
        if self.events.is_none() {
            self.events = Some(find_lines(path)?);
        }
        Ok(self.events.get_or_insert_default())
    }
}

const fn extension(state: JobState) -> &'static str {
    match state {
        JobState::Running => "running",
        JobState::Done => "done",
        JobState::Failed => "failed",
        JobState::Lost => "lost",
    }
}

fn read_session(folder: &Path) -> io::Result<BTreeMap<u64, Arc<Job>>> {
    let mut states: BTreeMap<u64, JobState> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|n| n.parse().ok());
        let Some(number) = number else { continue };
        let ended = [JobState::Done, JobState::Failed, JobState::Lost]
            .into_iter()
            .find(|state| {
                path.extension()
                    .is_some_and(|found| found == extension(*state))
            });
        let state = states.entry(number).or_insert(JobState::Running);
        // A receipt outweighs the note that the job was lost.
        if let Some(ended) = ended
            && matches!(state, JobState::Running | JobState::Lost)
        {
            *state = ended;
        }
    }
    let jobs = states.into_iter().map(|(number, state)| {
        let job = Job::new(folder.join(number.to_string()), state);
        (number, Arc::new(job))
    });
    Ok(jobs.collect())
}

/// Offset and length without the line's end of every whole line.
fn find_lines(path: &Path) -> io::Result<Vec<(u64, usize)>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut lines = Vec::new();
    let mut start = 0;
    for (end, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        if end - start <= MAX_EVENT_LEN {
            lines.push((start as u64, end - start));
        }
        start = end + 1;
    }
    Ok(lines)
}

fn unknown_session(session: &Digest) -> Refusal {
    Refusal::not_found(
        "unknown-session",
        format!("this host has no session {session}"),
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

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
    encoding::to_json,
    storage::{JobStatus, MAX_EVENT_LEN, SealedEvent},
};
use tokio::sync::watch;

use crate::{
    refusal::{Refusal, blocking},
    store::{private_folder, remove_temporaries, write_atomically},
};

/// Largest job number: JSON's integers end there.
const MAX_NUMBER: u64 = (1 << 53) - 1;
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
    sessions: Mutex<HashMap<Digest, BTreeMap<u64, Arc<Job>>>>,
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
    /// Where in the file of events each lies; read from it on the first question.
    events: Option<Vec<(u64, usize)>>,
}

impl Jobs {
    /// Opens the records. Jobs that were running when the last host ended are lost.
    pub(crate) fn open(folder: PathBuf, durable: bool) -> io::Result<Self> {
        private_folder(&folder)?;
        let mut sessions: HashMap<Digest, BTreeMap<u64, Arc<Job>>> = HashMap::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(session) = name.and_then(|name| name.parse().ok()) else {
                continue;
            };
            remove_temporaries(&path, Duration::ZERO)?;
            let jobs = read_session(&path, durable)?;
            if jobs.is_empty() {
                // Nothing ever ran in it, so there is nothing to tell.
                fs::remove_dir_all(&path)?;
            } else {
                sessions.insert(session, jobs);
            }
        }
        Ok(Self {
            folder,
            durable,
            sessions: Mutex::new(sessions),
        })
    }

    /// Makes room for a session's jobs.
    pub(crate) async fn begin_session(&self, session: Digest) -> Result<(), Refusal> {
        let folder = self.folder.join(session.to_string());
        blocking(move || Ok(private_folder(&folder)?)).await?;
        lock(&self.sessions).entry(session).or_default();
        Ok(())
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
        let job = {
            let mut sessions = lock(&self.sessions);
            let Some(jobs) = sessions.get_mut(&session) else {
                return Err(unknown_session(&session));
            };
            if let Some(job) = jobs.get(&number) {
                return lock(&job.record).running().map(drop);
            }
            let job = Arc::new(Job::new(stem, JobState::Running));
            jobs.insert(number, Arc::clone(&job));
            job
        };
        let durable = self.durable;
        let written =
            blocking(move || Ok(write_atomically(&job.path("running"), b"", durable)?)).await;
        if written.is_err() {
            lock(&self.sessions)
                .get_mut(&session)
                .and_then(|jobs| jobs.remove(&number));
        }
        written
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

    /// Notes that the runtime of a session is gone.
    pub(crate) fn lose(&self, session: &Digest) {
        for job in self.of(session) {
            let mut record = lock(&job.record);
            if record.state != JobState::Running {
                continue;
            }
            tracing::warn!(%session, job = %job.stem.display(), "a job is lost: its runtime is gone");
            record.state = JobState::Lost;
            drop(record);
            // Without this file the next start finds the job running, and so lost.
            if let Err(error) = write_atomically(&job.path("lost"), b"", self.durable) {
                tracing::error!(%error, "a lost job could not be recorded");
            }
            job.changed();
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

    /// Opens the sealed receipt of a job that ended with one.
    pub(crate) fn open_receipt(&self, session: &Digest, number: u64) -> Result<File, Refusal> {
        let job = self.find(session, number)?;
        let state = lock(&job.record).state;
        match state {
            JobState::Done | JobState::Failed => Ok(File::open(job.path(extension(state)))?),
            JobState::Running => Err(Refusal::not_found(
                "running",
                format!("job {number} has not ended yet"),
            )),
            JobState::Lost => Err(Refusal::not_found(
                "lost",
                format!(
                    "job {number} is lost: its runtime went away before it ended, so there is no receipt"
                ),
            )),
        }
    }

    fn find(&self, session: &Digest, number: u64) -> Result<Arc<Job>, Refusal> {
        let sessions = lock(&self.sessions);
        let jobs = sessions
            .get(session)
            .ok_or_else(|| unknown_session(session))?;
        jobs.get(&number).cloned().ok_or_else(|| {
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
            .flat_map(BTreeMap::values)
            .cloned()
            .collect()
    }
}

impl Job {
    fn new(stem: PathBuf, state: JobState) -> Self {
        let record = Mutex::new(Record {
            state,
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
        if record.state == state && fs::read(&path).is_ok_and(|stored| stored == receipt) {
            return Ok(());
        }
        record.running()?;
        write_atomically(&path, receipt, durable)?;
        record.state = state;
        drop(record);
        let _ = fs::remove_file(self.path("running"));
        self.changed();
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

fn read_session(folder: &Path, durable: bool) -> io::Result<BTreeMap<u64, Arc<Job>>> {
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
    let mut jobs = BTreeMap::new();
    for (number, state) in states {
        let mut job = Job::new(folder.join(number.to_string()), state);
        if state == JobState::Running {
            write_atomically(&job.path("lost"), b"", durable)?;
            job = Job::new(job.stem, JobState::Lost);
        }
        jobs.insert(number, Arc::new(job));
    }
    Ok(jobs)
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

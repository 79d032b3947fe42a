//! Job records: what a client that comes back is told.
//!
//! `sessions/SESSION/N.running` is made when a runtime announces job N. One rename ends the job:
//! `N.done` and `N.failed` are its sealed receipt, `N.lost` is empty. `N.events` has one sealed
//! event a line. A job that ended stays as it ended.

mod job;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use mc2_protocol::{
    Digest,
    documents::{
        control::JobState,
        storage::{JobStatus, SealedEvent},
    },
    encoding::{Hex, to_json},
};
use serde::{Deserialize, Serialize};

use job::{Job, extension};

use super::files::{private_folder, remove_temporaries, write_atomically};
use crate::{
    refusal::{Refusal, blocking},
    waiting::lock,
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
/// Most who wait for news of one job at once.
const MAX_WAITING: usize = 32;

/// The records of all jobs of all sessions.
pub(crate) struct Jobs {
    folder: PathBuf,
    durable: bool,
    sessions: Mutex<HashMap<Digest, Session>>,
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

/// A session's jobs, and who serves it.
struct Session {
    owner: Owner,
    jobs: BTreeMap<u64, Arc<Job>>,
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

fn unknown_session(session: &Digest) -> Refusal {
    Refusal::not_found(
        "unknown-session",
        format!("this host has no session {session}"),
    )
}

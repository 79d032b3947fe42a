//! What of the state folder may go, and when.
//!
//! A job's receipt, its submission, what a simulated one is verified with and the notes of where
//! its result was put go together, by the job; a session goes once its policy has ended and no job
//! of it is left. Never anything of a job that may still run or a session that may be open, no
//! identity, card, data key or revocation, and never the ledger: it counts for as long as there are
//! data to release.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use mc2_protocol::{
    Digest,
    policy::{MAX_MILLIS, Policy},
};

use crate::{
    exit::Exit,
    files::{FileError, failed},
    state::{State, StateError, Submission},
    unix_seconds,
};

/// Longest run a policy allows, in seconds: a key released in a policy's last second may run so
/// long.
const LONGEST_RUN: u64 = MAX_MILLIS / 1000;

/// What goes.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use mc2_client::{prune::Prunable, state::State};
///
/// # let folder = tempfile::tempdir()?;
/// let state = State::at(folder.path().join("mc2"));
/// let ninety_days = Duration::from_secs(90 * 24 * 60 * 60);
/// let prunable = Prunable::find(&state, ninety_days, SystemTime::now())?;
/// assert!(prunable.jobs.is_empty());
/// prunable.remove()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Prunable {
    /// The jobs that go, each with its files in the order in which they are removed.
    pub jobs: Vec<PrunableJob>,
    /// The sessions that go, each with its folder.
    pub sessions: Vec<(Digest, PathBuf)>,
    /// How many jobs stay because they may still run.
    pub open: usize,
    /// How many stay because they are not that old.
    pub young: usize,
}

/// A job whose files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunableJob {
    /// The job.
    pub job: Digest,
    /// When it was submitted or its receipt was stored, in seconds since 1970.
    pub time: u64,
    /// Its files.
    pub files: Vec<PathBuf>,
}

/// Why nothing, or not everything, went.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

impl PruneError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            Self::File(_) => Exit::StateBroken,
        }
    }
}

/// What is there of one job.
#[derive(Default)]
struct Kept {
    submission: Option<PathBuf>,
    receipt: Option<PathBuf>,
    others: Vec<PathBuf>,
}

impl Prunable {
    /// What may go at `now` of jobs older than this; nothing is removed yet.
    ///
    /// # Errors
    /// The state folder cannot be read.
    pub fn find(
        state: &State,
        older_than: std::time::Duration,
        now: SystemTime,
    ) -> Result<Self, PruneError> {
        let before = unix_seconds(now).saturating_sub(older_than.as_secs());
        let mut found = Self::default();
        // Sessions of which a job stays.
        let mut needed = BTreeSet::new();
        for (job, kept) in kept_jobs(state)? {
            let submission = match &kept.submission {
                Some(_) => state.submission(&job)?,
                None => None,
            };
            let session = submission.as_ref().map(|submission| submission.session);
            let time = match (&submission, &kept.receipt) {
                (Some(submission), Some(_)) => submission.time,
                (Some(submission), None) => match ended(submission) {
                    Some(end) if end < before => submission.time,
                    // It may run still, and its receipt will be compared with this.
                    _ => {
                        found.open += 1;
                        needed.extend(session);
                        continue;
                    }
                },
                (None, _) => newest(&kept)?,
            };
            if time >= before {
                found.young += 1;
                needed.extend(session);
                continue;
            }
            let Kept {
                submission,
                receipt,
                others,
            } = kept;
            // The submission first: what is left of a job without one goes the next time.
            let files = submission
                .into_iter()
                .chain(others)
                .chain(receipt)
                .collect();
            found.jobs.push(PrunableJob { job, time, files });
        }
        for known in state.sessions()? {
            let over = last_run(known.policy().ok(), known.appraised);
            let over = over.is_some_and(|over| over < before);
            if over && !needed.contains(&known.session) {
                let folder = state.session_path(&known.session);
                found.sessions.push((known.session, folder));
            }
        }
        Ok(found)
    }

    /// Removes it.
    ///
    /// # Errors
    /// The system's; what is left goes the next time.
    pub fn remove(&self) -> Result<(), PruneError> {
        for path in self.jobs.iter().flat_map(|job| &job.files) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", path)(error).into());
                }
                _ => {}
            }
        }
        for (_, folder) in &self.sessions {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", folder)(error).into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// When a job without a receipt has ended in any case.
fn ended(submission: &Submission) -> Option<u64> {
    last_run(submission.policy().ok(), submission.time)
}

/// When the last run under a policy is over, of a job or session of this time. `None` where the
/// policy is none this release reads.
fn last_run(policy: Option<Policy>, time: u64) -> Option<u64> {
    Some(policy?.expires().max(time).saturating_add(LONGEST_RUN))
}

/// When the newest of its files was written.
fn newest(kept: &Kept) -> Result<u64, PruneError> {
    let mut newest = 0;
    for path in kept.receipt.iter().chain(&kept.others) {
        let found = fs::metadata(path).and_then(|found| found.modified());
        let time = found.map_err(failed("look at", path))?;
        newest = newest.max(unix_seconds(time));
    }
    Ok(newest)
}

/// Every job of which something is kept.
fn kept_jobs(state: &State) -> Result<BTreeMap<Digest, Kept>, PruneError> {
    let mut jobs: BTreeMap<Digest, Kept> = BTreeMap::new();
    for (job, path) in by_job(&state.root().join("submissions"))? {
        jobs.entry(job).or_default().submission = Some(path);
    }
    for (job, path) in by_job(&state.root().join("receipts"))? {
        jobs.entry(job).or_default().receipt = Some(path);
    }
    for folder in ["simulators", "left"] {
        for (job, path) in by_job(&state.root().join(folder))? {
            let lock = path.with_extension("lock");
            let files = [path, lock].into_iter().filter(|file| file.exists());
            jobs.entry(job).or_default().others.extend(files);
        }
    }
    for (path, job) in state.places()? {
        jobs.entry(job).or_default().others.push(path);
    }
    Ok(jobs)
}

/// The files `JOB.json` of a folder; nothing else in it is looked at.
fn by_job(folder: &Path) -> Result<BTreeSet<(Digest, PathBuf)>, PruneError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(failed("list", folder))?,
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        let path = entry.map_err(failed("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let job = name.and_then(|name| name.strip_suffix(".json"));
        if let Some(job) = job.and_then(|job| job.parse().ok()) {
            found.insert((job, path));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;

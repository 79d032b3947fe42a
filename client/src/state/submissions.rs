//! The jobs this person submitted, and where their results were put.
//!
//! A receipt says which job it is of; only the one who submitted the job knows whether that is
//! theirs. So each submission is stored before it leaves, with what its receipt must repeat.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mc2_protocol::{
    Digest, Name,
    documents::{
        job::{self, Job},
        record::Nonce,
    },
    encoding::{Base64, to_json},
    policy::{self, Policy, PolicyError},
};
use serde::{Deserialize, Serialize};

use super::{State, error::StateError};
use crate::files::{folder_of, read_capped, write_private};

/// A policy's base64, a job's, and what stands beside them.
const MAX_LEN: usize = (policy::MAX_LEN + job::MAX_LEN) * 4 / 3 + 64 * 1024;

/// One job that was submitted from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    version: u32,
    /// Digest of the session it went to.
    pub session: Digest,
    /// The nonce of the evidence that was appraised.
    pub nonce: Nonce,
    /// SHA-256 of the job's exact bytes.
    pub job: Digest,
    /// Those bytes.
    pub bytes: Base64,
    /// Its number in the session, once the enclave took it.
    pub number: Option<u64>,
    /// Digest of the submitter's card.
    pub submitter: Digest,
    /// The policy's exact bytes.
    policy: Base64,
    /// Seconds since 1970 by this machine's clock.
    pub time: u64,
}

/// The job whose result was put at a path.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    version: u32,
    /// For people; the file's name is the digest of its exact bytes.
    path: String,
    job: Digest,
}

impl Submission {
    /// The submission of a job to a session under a policy.
    pub fn new(
        session: Digest,
        nonce: Nonce,
        job: &Job,
        submitter: Digest,
        policy: &Policy,
        time: u64,
    ) -> Self {
        let bytes = job.to_bytes();
        Self {
            version: mc2_protocol::VERSION,
            session,
            nonce,
            job: Digest::of(&bytes),
            bytes: Base64(bytes),
            number: None,
            submitter,
            policy: Base64(policy.bytes().to_vec()),
            time,
        }
    }

    /// Which of the policy's jobs it is.
    pub fn name(&self) -> Option<Name> {
        Some(Job::parse(self.bytes.as_slice()).ok()?.name)
    }

    /// The policy it was submitted under.
    ///
    /// # Errors
    /// The stored bytes are none of this release's policies.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        Policy::parse(self.policy.as_slice())
    }
}

impl State {
    /// Keeps a submission, and returns when it is stored: call it before the submission leaves.
    ///
    /// # Errors
    /// The system's.
    pub fn store_submission(&self, submission: &Submission) -> Result<(), StateError> {
        self.folder("submissions")?;
        let path = self.submission_path(&submission.job);
        Ok(write_private(&path, &to_json(submission))?)
    }

    /// The submission of `job`, where it was one of this person's.
    ///
    /// # Errors
    /// The system's, or a file that is no submission of this job.
    pub fn submission(&self, job: &Digest) -> Result<Option<Submission>, StateError> {
        let path = self.submission_path(job);
        let found: Option<Submission> = read_record(&path, "submission", MAX_LEN)?;
        let own =
            |found: &Submission| found.job == *job && Digest::of(found.bytes.as_slice()) == *job;
        if found.as_ref().is_some_and(|found| !own(found)) {
            return Err(broken(path, "submission", "it is another job's"));
        }
        Ok(found)
    }

    /// Every job that was submitted from here, the last first.
    ///
    /// # Errors
    /// The system's, or a file that is no submission.
    pub fn submissions(&self) -> Result<Vec<Submission>, StateError> {
        let mut all: Vec<Submission> = Vec::new();
        for name in self.stems_in("submissions", ".json")? {
            if let Ok(job) = name.parse() {
                all.extend(self.submission(&job)?);
            }
        }
        all.sort_by_key(|one| std::cmp::Reverse(one.time));
        Ok(all)
    }

    /// The policies under which something was submitted from here, each once. One that this release
    /// does not read is left out.
    ///
    /// # Errors
    /// The system's, or a file that is no submission.
    pub(crate) fn submitted_policies(&self) -> Result<Vec<Policy>, StateError> {
        let mut policies: Vec<Policy> = Vec::new();
        for submission in self.submissions()? {
            let known =
                |policy: &Policy| policies.iter().any(|one| one.digest() == policy.digest());
            let policy = submission.policy().ok();
            if let Some(policy) = policy.filter(|policy| !known(policy)) {
                policies.push(policy);
            }
        }
        Ok(policies)
    }

    /// Every note of where a result was put, with its file.
    ///
    /// # Errors
    /// The system's, or a file that says no such thing.
    pub(crate) fn places(&self) -> Result<Vec<(PathBuf, Digest)>, StateError> {
        let mut places = Vec::new();
        for name in self.names_in("results")? {
            if name.ends_with(".json") {
                let path = self.root.join("results").join(name);
                let found: Option<Place> =
                    read_record(&path, "note of a result's place", 64 * 1024)?;
                places.extend(found.map(|found| (path, found.job)));
            }
        }
        Ok(places)
    }

    /// Notes that the result of `job` is put at `path`: what lies there later must be that job's.
    /// Call it before anything is put there.
    ///
    /// # Errors
    /// The system's.
    pub fn store_place(&self, path: &Path, job: &Digest) -> Result<(), StateError> {
        self.folder("results")?;
        let path = whole(path);
        let place = Place {
            version: mc2_protocol::VERSION,
            path: path.to_string_lossy().into_owned(),
            job: *job,
        };
        Ok(write_private(&self.place_path(&path), &to_json(&place))?)
    }

    /// The job whose result was put at `path`, where one was.
    ///
    /// # Errors
    /// The system's, or a file that says no such thing.
    pub fn job_at(&self, path: &Path) -> Result<Option<Digest>, StateError> {
        let file = self.place_path(&whole(path));
        let found: Option<Place> = read_record(&file, "note of a result's place", 64 * 1024)?;
        Ok(found.map(|found| found.job))
    }

    fn submission_path(&self, job: &Digest) -> PathBuf {
        self.root.join("submissions").join(format!("{job}.json"))
    }

    fn place_path(&self, path: &Path) -> PathBuf {
        let name = Digest::of(path.as_os_str().as_encoded_bytes());
        self.root.join("results").join(format!("{name}.json"))
    }
}

pub(super) fn read_record<T: for<'de> Deserialize<'de>>(
    path: &Path,
    what: &'static str,
    limit: usize,
) -> Result<Option<T>, StateError> {
    let bytes = match read_capped(path, limit) {
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| broken(path.to_owned(), what, &error.to_string()))
}

pub(super) fn broken(path: PathBuf, what: &'static str, reason: &str) -> StateError {
    StateError::Record {
        path,
        what,
        reason: reason.to_owned(),
    }
}

/// The path from the root. Its last part is taken as it is: a link put in a result's place is
/// another thing than the result.
fn whole(path: &Path) -> PathBuf {
    let folder = fs::canonicalize(folder_of(path));
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::bare_policy;
    use mc2_protocol::{Identity, encoding::Hex};
    use std::os::unix::fs::PermissionsExt as _;

    fn submission(job: u8) -> Submission {
        let me = Identity::generate("me".parse().unwrap(), &mut crate::random());
        let name: Name = "x".parse().unwrap();
        let policy = bare_policy(me.card(), 1);
        let job = Job::new(*policy.digest(), name.clone(), [job; 32], Vec::new());
        let submitter = *me.card().digest();
        Submission::new(
            Digest::of(b"session"),
            Hex([7; 32]),
            &job,
            submitter,
            &policy,
            5,
        )
    }

    #[test]
    fn a_submission_is_kept_by_its_job_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        let one = submission(1);
        assert_eq!(state.submission(&one.job).unwrap(), None);
        state.store_submission(&one).unwrap();
        assert_eq!(state.submission(&one.job).unwrap().unwrap(), one);
        let path = state.submission_path(&one.job);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            *one.policy().unwrap().digest(),
            Digest::of(one.policy.as_slice())
        );

        let other = Digest::of(b"other");
        fs::rename(&path, state.submission_path(&other)).unwrap();
        assert!(matches!(
            state.submission(&other),
            Err(StateError::Record { .. })
        ));
    }

    #[test]
    fn a_result_is_known_by_where_it_was_put_however_that_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        let kept = folder.path().join("kept");
        fs::create_dir(&kept).unwrap();
        let job = Digest::of(b"job");
        state.store_place(&kept, &job).unwrap();
        for written in ["kept", "kept/", "./kept", "kept/../kept"] {
            let path = folder.path().join(written);
            assert_eq!(state.job_at(&path).unwrap(), Some(job), "{written}");
        }
        assert_eq!(state.job_at(&folder.path().join("other")).unwrap(), None);

        // A link in its place is no way round.
        fs::rename(&kept, folder.path().join("other")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("other"), &kept).unwrap();
        assert_eq!(state.job_at(&kept).unwrap(), Some(job));
    }
}

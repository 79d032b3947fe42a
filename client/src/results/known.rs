//! What a person knows of a result before they look at it, and so what its receipt must repeat.
//!
//! A receipt says of itself what it is of: any genuine one would do where nothing is known. The
//! state folder knows the jobs that were submitted from here and where their results were put; of
//! others' jobs a person knows the policy they agreed to.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    str::FromStr,
};

use mc2_protocol::{Digest, policy::Policy};

use super::{error::ResultError, keep::RECEIPT};
use crate::{
    collateral::CollateralOptions,
    policy::{PolicyFileError, read_policy, rfc3339},
    state::{State, Submission},
};

/// Which policy a result must come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PolicyChoice {
    /// The one the job was submitted under from here, or the one of a session that was appraised
    /// here.
    #[default]
    Own,
    /// The one in this file.
    File(PathBuf),
    /// Any: nothing is known of it.
    Any,
}

impl FromStr for PolicyChoice {
    type Err = Infallible;

    /// `any`, or a file; one called so is `./any`.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "any" => Self::Any,
            path => Self::File(PathBuf::from(path)),
        })
    }
}

/// What a person knows about a receipt beforehand.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// Which of the vendors' collateral is used beside what is in the receipt.
    pub collateral: CollateralOptions,
    /// The policy that was agreed.
    pub policy: PolicyChoice,
    /// The job it must be of, where that is known.
    pub job: Option<Digest>,
    /// The components it names, in order.
    pub components: Vec<PathBuf>,
    /// Whether a simulator that was started here may pass. NOT SECURE.
    pub allow_simulated: bool,
}

/// What is known of one result.
pub(crate) struct Known {
    /// The policy, where it is known.
    pub(crate) policy: Option<Policy>,
    /// The job as it was submitted from here.
    pub(crate) submission: Option<Submission>,
    /// The session it must be of: the one it was submitted to, or one that was appraised here.
    pub(crate) session: Option<Digest>,
    /// What following the receipt does not show, for people.
    pub(crate) not_shown: Vec<String>,
}

impl Known {
    /// What is known of the result at `path`, whose receipt says it is of `job` and of `session`.
    ///
    /// # Errors
    /// Another job's result belongs there, nothing is known of this one, or the state folder or the
    /// policy cannot be read.
    pub(crate) fn of(
        state: &State,
        path: &Path,
        job: &Digest,
        session: &Digest,
        options: &VerifyOptions,
    ) -> Result<Self, ResultError> {
        let expected = match options.job {
            None => job_at(state, path)?,
            said => said,
        };
        if let Some(expected) = expected.filter(|expected| expected != job) {
            return Err(ResultError::OtherJob {
                path: path.to_owned(),
                expected,
                found: *job,
                why: match options.job {
                    Some(_) => "the one that --job names",
                    None => "the one whose result mc2-run put there",
                },
            });
        }
        let submission = state.submission(job)?;
        let joined = match submission {
            None => state.session(session)?,
            Some(_) => None,
        };
        let mut not_shown = Vec::new();
        let policy = match &options.policy {
            PolicyChoice::File(path) => Some(read_policy(path)?),
            PolicyChoice::Any => {
                not_shown.push(NO_POLICY.to_owned());
                None
            }
            PolicyChoice::Own => {
                let (policy, folder) = match (&submission, &joined) {
                    (Some(submission), _) => (submission.policy(), "submissions"),
                    (None, Some(joined)) => (joined.policy(), "sessions"),
                    (None, None) => {
                        return Err(ResultError::NotOwn {
                            job: *job,
                            state: state.root().to_owned(),
                        });
                    }
                };
                let folder = state.root().join(folder);
                Some(policy.map_err(PolicyFileError::of(folder))?)
            }
        };
        if submission.is_none() {
            let root = state.root().display();
            let which = match (options.job, &joined) {
                (Some(_), _) => "the job is the one that --job names, but nonce and submitter",
                (None, Some(_)) => {
                    "it is of a session that was appraised here, but job, nonce and submitter"
                }
                (None, None) => "job, session, nonce and submitter",
            };
            not_shown.push(format!(
                "that this is the result of a job of yours, or the newest of its kind: {which} were \
                 compared with nothing, for job {job} is not among the submissions kept in {root}"
            ));
        }
        let own = submission.as_ref().map(|own| own.session);
        Ok(Self {
            policy,
            session: own.or(joined.map(|joined| joined.session)),
            submission,
            not_shown,
        })
    }

    /// Whose job it is, and what is not shown: a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let own = self.submission.as_ref().map(|own| {
            let time = rfc3339(own.time);
            format!("own job: submitted from here at {time}")
        });
        let not_shown = self.not_shown.iter();
        own.into_iter()
            .chain(not_shown.map(|what| format!("not shown: {what}")))
            .collect()
    }
}

const NO_POLICY: &str = "that anybody you know agreed to the policy it ran under (--policy any): \
                         whoever gave you the receipt may have written the policy, and chosen its \
                         parties, components and data";

/// The job whose result was put at `path`, or whose result's folder `path` is the receipt of.
fn job_at(state: &State, path: &Path) -> Result<Option<Digest>, ResultError> {
    let found = state.job_at(path)?;
    let is_receipt = path.file_name().is_some_and(|name| name == RECEIPT);
    match (found, path.parent()) {
        (None, Some(folder)) if is_receipt && !folder.as_os_str().is_empty() => {
            Ok(state.job_at(folder)?)
        }
        (found, _) => Ok(found),
    }
}

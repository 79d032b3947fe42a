//! What a session tells its parties of itself: who has said what, and what it waits for.

use serde::{Deserialize, Serialize};

use crate::{Digest, Name};

/// What a session has of its parties so far. Every party of the policy may know it: names and
/// counts, no key and no word of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionStatus {
    /// Digests of the cards of those who approved the policy for this session.
    pub approved: Vec<Digest>,
    /// The approvals of single jobs that have not run yet.
    pub jobs_approved: Vec<JobApprovals>,
    /// The data keys that were released and what is left of each.
    pub keys: Vec<HeldKey>,
    /// Names of the keys given for guests.
    pub guest_keys: Vec<Name>,
    /// The jobs that run, or are about to.
    pub jobs: Vec<SessionJob>,
}

/// Who has approved one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobApprovals {
    /// The job digest.
    pub job: Digest,
    /// Digests of the approvers' cards.
    pub by: Vec<Digest>,
}

/// A data key that a session holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldKey {
    /// The dataset's name in the policy.
    pub dataset: Name,
    /// The version it opens.
    pub object: Digest,
    /// For how many runs it is still good.
    pub runs: u32,
}

/// A job that a session knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionJob {
    /// Its number in the session.
    pub number: u64,
    /// The job digest.
    pub digest: Digest,
    /// How far it is.
    pub state: JobPhase,
}

/// How far a job is that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum JobPhase {
    /// It was admitted, and is being started.
    Starting,
    /// It waits for answers to its start's challenge.
    Waiting {
        /// The datasets for which nobody has answered yet.
        datasets: Vec<Name>,
    },
    /// It runs.
    Running,
}

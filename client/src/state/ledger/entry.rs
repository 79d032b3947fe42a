//! What a line of the ledger says.

use mc2_protocol::{Digest, Name, encoding::to_json};
use serde::{Deserialize, Serialize};

/// The most bytes a line may have, its end included: an answer for every dataset of a policy fits.
pub(super) const MAX_LINE: usize = 256 * 1024;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// A data key was released.
    Release(Release),
    /// A session was refused what it asked for.
    Refusal(Refusal),
    /// The start of a job was answered.
    Start(Start),
    /// A version of a dataset was taken in.
    Added(Added),
    /// The key of an output was taken into custody.
    Kept(Kept),
    /// The key of a version, or of an output in custody, was forgotten.
    Removed(Removed),
    /// A policy was accepted.
    Accepted(Accepted),
    /// A policy was accepted no more.
    Withdrawn(Withdrawn),
    /// A broker went on after its machine was started anew.
    Resumed(Resumed),
}

/// One release of one data key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Digest of the session the key goes to.
    pub session: Digest,
    /// Digest of the session's policy.
    pub policy: Digest,
    /// Digest of the owner's card.
    pub owner: Digest,
    /// The dataset's name in the policy.
    pub dataset: Name,
    /// The object the key opens.
    pub object: Digest,
    /// For how many runs.
    pub runs: u32,
}

/// What was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Digest of the session that was refused, as the host names it.
    pub session: Digest,
    /// Digest of its policy.
    pub policy: Digest,
    /// The reason's code.
    pub code: String,
    /// The reason in words.
    pub reason: String,
}

/// An answer that lets a job start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Digest of the session.
    pub session: Digest,
    /// Digest of its policy.
    pub policy: Digest,
    /// Digest of the job.
    pub job: Digest,
    /// The datasets it was answered for.
    pub datasets: Vec<Name>,
}

/// A version of a dataset, signed by its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Added {
    /// Digest of the owner's card.
    pub owner: Digest,
    /// The dataset.
    pub dataset: Name,
    /// The object.
    pub object: Digest,
    /// Which version it is.
    pub number: u64,
}

/// An output whose key was taken into custody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Digest of the policy whose later jobs may take it.
    pub policy: Digest,
    /// Its name in the policy.
    pub output: Name,
    /// The object.
    pub object: Digest,
    /// The job that left it.
    pub job: Digest,
    /// For how many runs the policy lets keys of that output be released in all.
    pub runs: u32,
}

/// A version, or an output in custody, whose key was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removed {
    /// The object.
    pub object: Digest,
}

/// A policy that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Its digest.
    pub policy: Digest,
}

/// A policy that is accepted no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawn {
    /// Its digest.
    pub policy: Digest,
}

/// A start of the machine after which somebody said to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resumed {
    /// The system's boot id.
    pub boot: String,
}

/// An entry as it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Its line, from 1.
    pub line: u64,
    /// The line's digest: the ledger's head once it is the last.
    pub digest: Digest,
    /// When, in seconds since 1970 by this machine's clock.
    pub time: u64,
    /// What happened.
    pub entry: Entry,
}

/// A line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    version: u32,
    pub(super) previous: Digest,
    pub(super) time: u64,
    pub(super) entry: Entry,
}

impl Line {
    pub(super) const fn new(previous: Digest, time: u64, entry: Entry) -> Self {
        Self {
            version: mc2_protocol::VERSION,
            previous,
            time,
            entry,
        }
    }

    /// The line's bytes, without its end.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let line: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if line.version != mc2_protocol::VERSION {
            return Err("another format version".to_owned());
        }
        Ok(line)
    }
}

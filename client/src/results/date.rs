//! Whose word is taken for when a receipt was there, and one's own.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use mc2_attestation::{
    UnixSeconds,
    timestamp::{self, TimestampError, TimestampRoots},
};
use mc2_protocol::{
    Digest, Identity, Name,
    documents::dsse::Envelope,
    encoding::{JsonError, parse_json, to_json},
    policy::Policy,
};
use serde_json::{Value, json};

use crate::{
    files::{FileError, Staged, failed, read_capped},
    unix_seconds,
    vouch::{self, VouchError},
};

/// Largest file of roots read, in bytes.
const MAX_ROOTS_LEN: usize = 1024 * 1024;

/// Whose word is taken for when a receipt was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DateChoice {
    /// One's who may approve the job: the file that `mc2 vouch` wrote.
    Vouch(PathBuf),
    /// A timestamping authority's.
    Timestamp {
        /// The file with its token over the receipt (RFC 3161).
        token: PathBuf,
        /// The file with the roots that are believed about time.
        roots: PathBuf,
    },
}

/// By when a receipt was there, and whose word that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Date {
    /// The time.
    pub time: UnixSeconds,
    /// The approver's name, or the authority as its certificate names it.
    pub by: String,
    /// `approver` or `timestamp`.
    kind: &'static str,
}

/// What is to be dated.
pub(super) struct Dated<'a> {
    /// The exact bytes of the receipt's file.
    pub(super) receipt: &'a [u8],
    /// The policy that was agreed, where it is known.
    pub(super) policy: Option<&'a Policy>,
    /// The job's name.
    pub(super) job: &'a Name,
    /// The verifier's time.
    pub(super) now: UnixSeconds,
}

impl DateChoice {
    /// The date, where it counts for this receipt.
    ///
    /// # Errors
    /// The system's. Why it does not count is [`DateError`].
    pub(super) fn of(&self, dated: &Dated<'_>) -> Result<Result<Date, DateError>, FileError> {
        match self {
            Self::Vouch(path) => {
                let file = read_capped(path, vouch::MAX_LEN)?;
                Ok(by_an_approver(&file, dated))
            }
            Self::Timestamp { token, roots } => {
                let token = read_capped(token, timestamp::MAX_LEN)?;
                let roots = read_capped(roots, MAX_ROOTS_LEN)?;
                Ok(by_an_authority(&token, &roots, dated))
            }
        }
    }
}

fn by_an_approver(file: &[u8], dated: &Dated<'_>) -> Result<Date, DateError> {
    // Whoever forged a receipt wrote its policy, and so who may approve by it.
    let policy = dated.policy.ok_or(DateError::NoPolicy)?;
    let envelope: Envelope = parse_json("the vouch", file, vouch::MAX_LEN)?;
    let receipt = Digest::of(dated.receipt);
    let vouched = vouch::verify(&envelope, &receipt, policy, dated.job, dated.now.0)?;
    Ok(Date {
        time: UnixSeconds(vouched.time),
        by: vouched.by.to_string(),
        kind: "approver",
    })
}

fn by_an_authority(token: &[u8], roots: &[u8], dated: &Dated<'_>) -> Result<Date, DateError> {
    let roots = TimestampRoots::parse(roots)?;
    let found = timestamp::verify(token, dated.receipt, &roots, dated.now)?;
    Ok(Date {
        time: found.time,
        by: found.by,
        kind: "timestamp",
    })
}

impl Date {
    pub(super) fn to_json(&self) -> Value {
        json!({ "time": self.time.0, "by": self.by, "vouched": self.kind })
    }
}

/// Writes to the file `output` that a receipt verified at `now`, by the word of `approver`.
///
/// # Errors
/// [`VouchError::NotAnApprover`] where the policy does not ask this identity, and the system's.
pub(super) fn vouch(
    dated: &Dated<'_>,
    approver: &Identity,
    output: &Path,
) -> Result<Result<(), FileError>, VouchError> {
    let (policy, job) = (dated.policy.ok_or(VouchError::Nobody)?, dated.job);
    if !vouch::may_vouch(approver, policy, job) {
        let name = approver.card().name().clone();
        return Err(VouchError::NotAnApprover { name });
    }
    let vouch = vouch::sign(Digest::of(dated.receipt), dated.now.0, approver);
    let write = || -> Result<(), FileError> {
        let mut staged = Staged::create(output, 0o666)?;
        let written = staged.file().write_all(&to_json(&vouch));
        written.map_err(failed("write", output))?;
        staged.publish()
    };
    Ok(write())
}

/// This machine's time.
pub(super) fn now() -> UnixSeconds {
    UnixSeconds(unix_seconds(SystemTime::now()))
}

/// Why what was given dates nothing.
#[derive(Debug, thiserror::Error)]
pub enum DateError {
    /// Nobody agreed to the policy.
    #[error(
        "an approver counts by the policy that was agreed: name it with --policy FILE, not --policy any"
    )]
    NoPolicy,
    /// Not such a file.
    #[error("the vouch dates nothing: {0}")]
    Json(#[from] JsonError),
    /// An approver's word that does not count.
    #[error("the vouch dates nothing: {0}")]
    Vouch(#[from] VouchError),
    /// An authority's word that does not count.
    #[error("the timestamp dates nothing: {0}")]
    Timestamp(#[from] TimestampError),
}

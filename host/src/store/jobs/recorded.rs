//! How sessions and jobs are recorded, and what is refused where they are not.

use std::{io, sync::Arc};

use mc2_protocol::{Digest, documents::control::JobState, encoding::to_json};
use serde::{Deserialize, Serialize};

use super::sessions::{PolicyKept, Recorded, Session, Sessions, now};
use crate::{
    refusal::Refusal,
    store::records::{Records, Table},
};

/// How a job ended, as it is recorded.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ended {
    pub(super) state: JobState,
    /// Unix time in seconds, by the host's clock.
    pub(super) ended: u64,
}

impl Ended {
    pub(super) fn now(state: JobState) -> Self {
        Self {
            state,
            ended: now(),
        }
    }

    pub(super) fn read(bytes: &[u8]) -> io::Result<Self> {
        Ok(serde_json::from_slice(bytes)?)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }
}

pub(super) fn read_sessions(records: &Records) -> io::Result<Sessions> {
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
pub(super) fn receipt_of(session: &Digest, number: u64, state: JobState) -> String {
    let end = match state {
        JobState::Done => "done",
        _ => "failed",
    };
    format!("receipts/{session}/{number}.{end}")
}

/// The code of the refusal for a job that was never announced.
pub(super) const UNKNOWN_JOB: &str = "unknown-job";

/// The key of a job's record.
pub(super) fn key(session: &Digest, number: u64) -> Vec<u8> {
    [session.as_bytes().as_slice(), &number.to_be_bytes()].concat()
}

pub(super) fn parse_key(key: &[u8]) -> Option<(Digest, u64)> {
    let (session, number) = key.split_at_checked(32)?;
    let number = number.try_into().ok().map(u64::from_be_bytes)?;
    Some((parse_digest(session)?, number))
}

fn parse_digest(bytes: &[u8]) -> Option<Digest> {
    bytes.try_into().ok().map(Digest::from_bytes)
}

pub(super) fn unknown_session(session: &Digest) -> Refusal {
    Refusal::not_found(
        "unknown-session",
        format!("this host has no session {session}"),
    )
}

pub(super) fn lost(number: u64) -> Refusal {
    let message = format!(
        "job {number} is lost: its runtime went away before its receipt was stored; its run is \
         spent"
    );
    Refusal::not_found("lost", message)
}

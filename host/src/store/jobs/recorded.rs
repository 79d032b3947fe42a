//! How sessions and jobs are recorded, and what is refused where they are not.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    sync::Arc,
};

use mc2_protocol::{
    Digest,
    documents::{control::JobState, receipt::SealedReceipt, storage::MAX_RECEIPT_LEN},
    encoding::to_json,
};
use serde::{Deserialize, Serialize};

use super::{
    policies::PolicyKept,
    sessions::{Over, Recorded, Session, Sessions},
};
use crate::{
    clock::now,
    refusal::Refusal,
    store::records::{Change, Records, Table},
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

/// The key of the highest number that a session ever had.
const SESSIONS: &[u8] = b"sessions";
/// Records that are read at once.
const AT_ONCE: usize = 256;

/// The sessions that are recorded. What is recorded without its policy is left out.
pub(super) fn read_sessions(records: &Records) -> io::Result<Sessions> {
    let last = records.get(Table::Numbers, SESSIONS)?;
    let mut sessions = Sessions::default();
    sessions.last = last.map_or(0, |last| parse_number(&last));
    let mut policies = HashMap::new();
    let mut from = Vec::new();
    loop {
        let found = records.range(Table::Sessions, &[], &from, AT_ONCE)?;
        let Some((last, _)) = found.last() else {
            return Ok(sessions);
        };
        from = [last.as_slice(), &[0]].concat();
        for (key, bytes) in found {
            let recorded: Recorded = serde_json::from_slice(&bytes)?;
            let tenant = recorded.owner.tenant;
            let known = match policies.entry(tenant) {
                Entry::Occupied(known) => Some(Arc::clone(known.get())),
                Entry::Vacant(place) => {
                    let bytes = records.get(Table::Policies, tenant.as_bytes())?;
                    bytes.map(|bytes| Arc::clone(place.insert(Arc::new(PolicyKept::new(&bytes)))))
                }
            };
            let (Some(digest), Some(policy)) = (parse_digest(&key), known) else {
                tracing::error!(policy = %tenant, "a session is left out: its record is damaged");
                continue;
            };
            let over = records.get(Table::Over, &key)?;
            let ending = over.as_deref() == Some(ENDING);
            let over = over.filter(|_| !ending).map(|over| parse_over(&over));
            sessions.insert(digest, Session::new(&recorded, policy, over));
            if ending {
                sessions.note_ended(&digest);
            }
        }
    }
}

/// What is recorded, instead of since when it is over, of a session that was ended and goes on until its
/// receipts are stored.
const ENDING: &[u8] = b"ending";

/// The record of a session that was ended and goes on until its receipts are stored.
pub(super) fn ending_record(session: &Digest) -> Change {
    Change::put(Table::Over, session.as_bytes(), ENDING)
}

/// The record of a session that is over: since when (8 bytes, big-endian), and 1 where it was ended.
pub(super) fn over_record(session: &Digest, over: Over) -> Change {
    let value = [over.since.to_be_bytes().as_slice(), &[over.ended.into()]].concat();
    Change::put(Table::Over, session.as_bytes(), value)
}

/// One that is damaged is of long ago.
fn parse_over(value: &[u8]) -> Over {
    let (since, ended) = value.split_at(value.len().min(8));
    Over {
        since: parse_number(since),
        ended: ended == [1],
    }
}

/// The record of the highest number that a session ever had.
pub(super) fn numbered(number: u64) -> Change {
    Change::put(Table::Numbers, SESSIONS, number.to_be_bytes().to_vec())
}

/// 0 where it is damaged.
fn parse_number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

/// Whether a receipt may come with its job's status: one that is not large, and is a receipt.
pub(super) fn comes_with_status(receipt: &[u8]) -> bool {
    receipt.len() <= MAX_RECEIPT_LEN && SealedReceipt::parse(receipt).is_ok()
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

pub(crate) fn unknown_session(session: &Digest) -> Refusal {
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

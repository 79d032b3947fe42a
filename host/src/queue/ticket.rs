//! A queued message as it is recorded: whose it is, and the message or what became of it.

use bytes::{BufMut as _, Bytes, BytesMut};
use mc2_protocol::{
    Digest,
    documents::control::Problem,
    encoding::{parse_json, to_json},
};

use super::lanes::Lane;

/// Largest problem kept, in bytes.
const MAX_PROBLEM_LEN: usize = 64 * 1024;
/// Bytes before the message or outcome: what it is, session, party, serial number.
const HEAD: usize = 1 + 32 + 32 + 8;
const QUEUED: u8 = 0;
const ANSWERED: u8 = 1;
const REFUSED: u8 = 2;

/// What became of a message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The runtime's answer.
    Answered(Bytes),
    /// It was not passed on, or not taken.
    Refused(Problem),
}

impl Outcome {
    /// The session's runtime is gone.
    pub(super) fn over() -> Self {
        let detail = "the session is over: its runtime went away before this message was passed on; open a new session";
        Self::Refused(Problem::new(410, "session-over", detail))
    }
}

/// A ticket.
#[derive(Debug, PartialEq)]
pub(super) struct Ticket {
    pub(super) lane: Lane,
    /// Tickets are numbered in the order they were given.
    pub(super) serial: u64,
    /// Empty once there is an outcome.
    pub(super) message: Bytes,
    pub(super) outcome: Option<Outcome>,
}

impl Ticket {
    pub(super) fn queued(lane: Lane, serial: u64, message: Bytes) -> Self {
        Self {
            lane,
            serial,
            message,
            outcome: None,
        }
    }

    pub(super) fn ended(lane: Lane, outcome: Outcome) -> Self {
        Self {
            lane,
            serial: 0,
            message: Bytes::new(),
            outcome: Some(outcome),
        }
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        let (kind, body) = match &self.outcome {
            None => (QUEUED, self.message.clone()),
            Some(Outcome::Answered(answer)) => (ANSWERED, answer.clone()),
            Some(Outcome::Refused(problem)) => (REFUSED, to_json(problem).into()),
        };
        let mut bytes = BytesMut::with_capacity(HEAD + body.len());
        bytes.put_u8(kind);
        bytes.put_slice(self.lane.session.as_bytes());
        bytes.put_slice(self.lane.party.as_bytes());
        bytes.put_u64(self.serial);
        bytes.put_slice(&body);
        bytes.freeze()
    }

    pub(super) fn parse(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < HEAD {
            return None;
        }
        let head = bytes.split_to(HEAD);
        let digest = |at: usize| head[at..at + 32].try_into().ok().map(Digest::from_bytes);
        let lane = Lane {
            session: digest(1)?,
            party: digest(33)?,
        };
        let serial = u64::from_be_bytes(head[65..HEAD].try_into().ok()?);
        let outcome = match head[0] {
            QUEUED => return Some(Self::queued(lane, serial, bytes)),
            ANSWERED => Outcome::Answered(bytes),
            _ => Outcome::Refused(parse_json("a kept problem", &bytes, MAX_PROBLEM_LEN).ok()?),
        };
        Some(Self {
            serial,
            ..Self::ended(lane, outcome)
        })
    }
}

//! What a host tells clients of what it keeps, and keeps for them (protocol.md §9). All of it is
//! the host's word: unsigned, and checked by whoever reads it.

use serde::{Deserialize, Serialize};

use crate::{
    Digest,
    documents::control::JobState,
    encoding::{Base64, Hex},
};

/// Longest note that a host takes, in bytes.
pub const MAX_NOTE_LEN: usize = 2 * 1024 * 1024;
/// The header that says whose submission is left with the host: the digest of a card.
pub const PARTY: &str = "mc2-party";

/// Names a submission that was left with the host.
pub type TicketId = Hex<16>;

/// `GET /v1/sessions`: sessions whose policy names a card, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionList {
    /// Some of them.
    pub sessions: Vec<SessionEntry>,
    /// The number to go on after, where there may be more.
    pub next: Option<u64>,
}

/// A session in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionEntry {
    /// Sessions are numbered as they were opened.
    pub number: u64,
    /// Its digest.
    pub session: Digest,
    /// The digest of its policy.
    pub policy: Digest,
    /// The policy's name.
    pub name: String,
    /// When it was opened, in seconds of Unix time by the host's clock.
    pub opened: u64,
    /// Whether it can still be used.
    pub state: SessionState,
}

/// Whether a session can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Its runtime is there.
    Open,
    /// Its runtime is gone, and its keys with it.
    Over,
}

/// `GET /v1/sessions/{session}`: what passed through the host when it was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionKept {
    /// The session record's exact bytes.
    pub record: Base64,
    /// The policy's exact bytes.
    pub policy: Base64,
    /// Whether it can still be used.
    pub state: SessionState,
}

/// `GET /v1/sessions/{session}/jobs`: jobs in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobList {
    /// Some of them.
    pub jobs: Vec<JobEntry>,
    /// The number to go on after, where there may be more.
    pub next: Option<u64>,
}

/// A job in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobEntry {
    /// Its number in the session.
    pub number: u64,
    /// How far it is.
    pub state: JobState,
}

/// The answer to a submission that is left with the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketGiven {
    /// By which it is asked for.
    pub ticket: TicketId,
}

/// `GET /v1/sessions/{session}/tickets/{ticket}`: what came of a submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TicketState {
    /// It waits for its turn.
    Queued {
        /// How many are before it.
        position: u64,
    },
    /// It was handed over.
    Answered {
        /// The session's sealed answer, byte for byte.
        answer: Base64,
    },
}

/// `POST /v1/sessions/{session}/notes`: leaves a note for a card of the session's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostNote {
    /// The card's digest.
    pub to: Digest,
    /// The note, at most [`MAX_NOTE_LEN`] bytes: sealed, where the host is not to read it.
    pub body: Base64,
}

/// The answer to [`PostNote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotePosted {
    /// Its number among the notes to that card in that session, from 1.
    pub number: u64,
}

/// `GET /v1/sessions/{session}/notes`: notes to a card, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoteList {
    /// Those that are asked for, or the first of them.
    pub notes: Vec<Note>,
    /// The number to go on after.
    pub next: u64,
}

/// A note in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Its number.
    pub number: u64,
    /// What was left.
    pub body: Base64,
}

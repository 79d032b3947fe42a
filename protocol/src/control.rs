//! The control interface: what the host asks of the runtime (protocol.md §9).
//!
//! The runtime opens a connection to the host with `GET /v1/control`, `Connection: Upgrade` and
//! `Upgrade: mc2-control/1`; after `101 Switching Protocols` the host is the HTTP/1.1 client on
//! that connection. Bodies are JSON.

use serde::{Deserialize, Serialize};

use crate::{Digest, encoding::Base64, receipt::Evidence, record::Nonce};

/// Path the runtime dials to offer itself.
pub const CONTROL_PATH: &str = "/v1/control";
/// The protocol named in the upgrade.
pub const CONTROL_PROTOCOL: &str = "mc2-control/1";
/// Path of [`OpenSession`].
pub const SESSIONS_PATH: &str = "/v1/sessions";
/// Largest control request accepted, in bytes.
pub const MAX_LEN: usize = 8 * 1024 * 1024;

/// `POST /v1/sessions`: measure the policy's components and open a session for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// The policy's exact bytes.
    pub policy: Base64,
    /// The asking verifier's nonce.
    pub nonce: Nonce,
}

/// The answer to [`OpenSession`] and to [`AskEvidence`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionOpened {
    /// The session record's exact bytes; their SHA-256 names the session from here on.
    pub record: Base64,
    /// Evidence over record and nonce.
    pub evidence: Evidence,
}

/// `POST /v1/sessions/{session}/evidence`: evidence for another verifier's nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskEvidence {
    /// The asking verifier's nonce.
    pub nonce: Nonce,
}

/// The body of every answer that is not 2xx, from host and runtime alike. It is unsigned: the
/// host's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// A stable word in kebab case.
    pub code: String,
    /// What was expected, what was found, what to do.
    pub message: String,
}

/// How far a job is, as far as the host may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// It has not ended.
    Running,
    /// It ended with success; its receipt is stored.
    Done,
    /// It ended without; its receipt is stored.
    Failed,
    /// The runtime went away before it ended; there is no receipt.
    Lost,
}

/// `/v1/sessions/{session}/messages`: takes a sealed message, answers with an answer.
pub fn messages_path(session: &Digest) -> String {
    format!("{SESSIONS_PATH}/{session}/messages")
}

/// `/v1/sessions/{session}/evidence`.
pub fn evidence_path(session: &Digest) -> String {
    format!("{SESSIONS_PATH}/{session}/evidence")
}

/// `/v1/sessions/{session}/jobs/{number}`: how far a job is, by the host.
pub fn job_path(session: &Digest, number: u64) -> String {
    format!("{SESSIONS_PATH}/{session}/jobs/{number}")
}

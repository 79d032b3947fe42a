//! The one kind of message to an enclave, and the answer to it (protocol.md §10).
//!
//! A message is JSON, signed by its sender as a DSSE envelope, sealed with HPKE to the session's
//! key. Its answer is JSON, signed by the session's key, sealed under a key exported from the same
//! HPKE context; where the message could not be opened there is no such key, and the answer is a
//! signed refusal that names nothing of the content.
//!
//! [`Body`] is what a message asks, [`SealedMessage`] seals and opens it, and an [`Answer`] comes
//! back. [`SequenceWindow`] keeps a message from counting twice.

mod answer;
mod body;
mod sealing;
mod sequence;
mod status;

pub use answer::{ANSWER_TYPE, Answer, AnswerError, AnswerKey, Outcome, PendingAnswer, Refused};
pub use body::{
    Approve, AskStatus, Body, Cancel, End, GiveKey, GuestSecret, GuestSecretError, Kind,
    MAX_GUEST_KEY, Release, StartAnswer, Submit,
};
pub use sealing::{
    MESSAGE_TYPE, Message, MessageError, OpenedMessage, SealedMessage, claimed_sender,
    verify_approval,
};
pub use sequence::{SEQUENCE_WINDOW, SequenceWindow};
pub use status::{HeldKey, JobApprovals, JobPhase, SessionJob, SessionStatus};

/// Largest sealed message accepted, in bytes of its JSON.
pub const MAX_LEN: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests;

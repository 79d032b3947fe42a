//! Why a session did not do what it was asked.

use std::time::Duration;

use mc2_protocol::{
    Digest, Name,
    documents::{
        hosting::TicketId,
        message::{AnswerError, Refused},
        receipt::ReceiptError,
    },
    policy::Refusal,
};

use crate::{
    exit::Exit, files::FileError, http::HttpError, remote::RemoteError, state::ledger::LedgerError,
};

/// Why a session did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The host did not answer well.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The answer is not the enclave's.
    #[error("the answer to {asked} is not believed")]
    Answer {
        /// What was asked.
        asked: &'static str,
        /// What is wrong with it.
        source: AnswerError,
    },
    /// The enclave said no; signed.
    #[error("the enclave refused {asked}: {}", refused.message)]
    Refused {
        /// What was asked.
        asked: &'static str,
        /// Its reason.
        refused: Refused,
    },
    /// The enclave answered another question.
    #[error("the enclave answered {asked} with something else")]
    Mismatch {
        /// What was asked.
        asked: &'static str,
    },
    /// The owner's ledger says no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// No number for the message.
    #[error("cannot number the message")]
    Sequence(#[from] FileError),
    /// The policy says no.
    #[error("the policy does not allow it: {0}")]
    Policy(#[from] Refusal),
    /// What is asked is for another policy.
    #[error("what is asked is for policy {found}, expected {expected}: nothing is given")]
    OtherPolicy {
        /// The session's policy, or the one that a key is kept for.
        expected: Digest,
        /// The one asked about, or the session's.
        found: Digest,
    },
    /// A key in custody was to be given like an own dataset's.
    #[error(
        "{output} is in custody: its key is given by who keeps it, from what it kept of the job's \
         receipt"
    )]
    InCustody {
        /// The output.
        output: Name,
    },
    /// The policy has ended.
    #[error(
        "policy {policy} has ended by this machine's clock: nothing is given or answered for under \
         it any more; write one that ends later, which every party approves anew"
    )]
    Expired {
        /// The policy.
        policy: Digest,
    },
    /// The question is for others.
    #[error(
        "nothing is asked of this card: it neither owns nor brokers a dataset that the job waits for"
    )]
    NotAsked,
    /// The host does not know a submission any more that was left with it.
    #[error(
        "the host does not know the ticket {ticket} any more: whether the enclave took the \
         submission it was given for was not heard"
    )]
    NoTicket {
        /// The ticket.
        ticket: TicketId,
    },
    /// The runtime went away.
    #[error(
        "the run is spent and its result is lost: the host says that the runtime of job {number} \
         went away before the job's receipt was stored; to run it again, release the keys again"
    )]
    Lost {
        /// The job's number in its session.
        number: u64,
    },
    /// It was waited for long enough.
    #[error(
        "job {number} of session {session} did not end within {} s: the host says that it runs \
         still. Its run is spent; how it ends is not known. Wait longer with --wait",
        waited.as_secs()
    )]
    WaitedOut {
        /// The session.
        session: Digest,
        /// The job's number in it.
        number: u64,
        /// How long.
        waited: Duration,
    },
    /// Nothing is heard any more.
    #[error(
        "nothing was heard of job {number} of session {session} for {} s. Its run is spent; how it \
         ends is not known. The host keeps its receipt, should it come",
        silence.as_secs()
    )]
    Unheard {
        /// The session.
        session: Digest,
        /// The job's number in it.
        number: u64,
        /// How long nothing was heard.
        silence: Duration,
        /// The last failure.
        source: Box<RemoteError>,
    },
    /// The receipt does not open.
    #[error("the receipt of the job cannot be opened")]
    Receipt(#[from] ReceiptError),
}

impl SessionError {
    /// Whether what was to be sent never left this machine: no connection was made.
    pub const fn never_left(&self) -> bool {
        matches!(self, Self::Remote(RemoteError::Http(HttpError::Connect(_))))
    }

    /// Whether the enclave says that it did nothing, nor had done it before.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. }) && !self.is_replayed()
    }

    /// Whether the enclave says that it had the message before, had later ones for so long that it does
    /// not know, or that its session is over, which it may not have been when the message came first.
    pub fn is_replayed(&self) -> bool {
        let unknown = ["replayed", "session-over"];
        matches!(self, Self::Refused { refused, .. } if unknown.contains(&refused.code.as_str()))
    }

    /// Whether the host says that the session is over, or that it has none.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Remote(error) if error.is_over())
    }

    /// Whether enclave or host said no, so that there is nothing to wait for.
    pub fn is_told(&self) -> bool {
        matches!(self, Self::Refused { .. }) || self.is_over()
    }

    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Remote(error) => error.exit(),
            Self::Answer { .. } | Self::Mismatch { .. } | Self::Receipt(_) => Exit::ResultTampered,
            Self::Refused { refused, .. } => match refused.code.as_str() {
                "busy" | "receipts-waiting" | "internal" | "replayed" => Exit::Failed,
                _ => Exit::PolicyRefused,
            },
            Self::Ledger(error) => error.exit(),
            Self::Sequence(_) => Exit::StateBroken,
            Self::Policy(_)
            | Self::OtherPolicy { .. }
            | Self::InCustody { .. }
            | Self::Expired { .. }
            | Self::NotAsked => Exit::PolicyRefused,
            Self::Lost { .. } => Exit::RuntimeFailed,
            Self::NoTicket { .. } => Exit::Failed,
            Self::Unheard { .. } => Exit::HostUnreachable,
            Self::WaitedOut { .. } => Exit::Failed,
        }
    }
}

//! Why a broker did not do what it was told.

use std::path::PathBuf;

use mc2_attestation::Refused;
use mc2_protocol::{
    Digest, Name, PartyName, documents::receipt::ReceiptError, encoding::JsonError,
    policy::PolicyError,
};

use super::handover::HandoverError;
use crate::{
    collateral::BundleError,
    custody::CustodyError,
    exit::Exit,
    files::FileError,
    keys::KeyError,
    party::{PartyError, Untrusted},
    seal::object::ObjectError,
    session::SessionError,
    simulator::SimulatorError,
    state::{
        StateError,
        ledger::{Head, LedgerError},
    },
    verify::BrokenLink,
};

/// Why a broker did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Its folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The collateral at hand.
    #[error(transparent)]
    Collateral(#[from] BundleError),
    /// Which simulators are believed.
    #[error(transparent)]
    Simulator(#[from] SimulatorError),
    /// Its ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Its keeper.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The known cards.
    #[error(transparent)]
    Party(#[from] PartyError),
    /// A policy with cards that are not known.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// A sealed object that is none.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A handover that is not good.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// A policy that is none.
    #[error("the policy is not valid")]
    Policy(#[from] PolicyError),
    /// A session did not take it.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A receipt that does not verify.
    #[error(transparent)]
    Broken(#[from] BrokenLink),
    /// A key in custody that does not open.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// A file that holds no receipt.
    #[error("{} holds no receipt", path.display())]
    NoReceipt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ReceiptError,
    },
    /// A receipt that leaves this broker nothing.
    #[error("the job {job} left nothing in custody of {broker}")]
    NothingLeft {
        /// The job.
        job: Digest,
        /// The broker.
        broker: PartyName,
    },
    /// Another process serves it.
    #[error(
        "another process serves the broker in {}: two at once would each release what is released \
         once", folder.display()
    )]
    Serving {
        /// Where.
        folder: PathBuf,
    },
    /// There is no broker.
    #[error("there is no broker in {}; `mc2 broker init NAME` makes one", folder.display())]
    None {
        /// Where.
        folder: PathBuf,
    },
    /// There is one already.
    #[error("there is a broker in {} already; another one needs another --folder", folder.display())]
    Exists {
        /// Where.
        folder: PathBuf,
    },
    /// A file of the folder that is not what it must be.
    #[error("{} is no {what}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What it is to be.
        what: &'static str,
        /// What is wrong.
        source: JsonError,
    },
    /// A file of the folder that says something else than its name or the broker.
    #[error("{} is another {what} than it must be", path.display())]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// What was kept is no identity.
    #[error("what is kept as the broker's identity is none, or another's than its card says")]
    Identity,
    /// A broker whose key is not in a keyring needs no unlocking.
    #[error("the broker's key is not kept in the kernel's keyring: there is nothing to unlock")]
    NotInKeyring,
    /// The system does not say which start this is.
    #[error("the system does not say which start of it this is: found {found:?} as its boot id")]
    BootId {
        /// What it says.
        found: String,
    },
    /// Nowhere to mark a run.
    #[error(
        "there is no place that a reboot empties, which a broker marks its run in: set \
         XDG_RUNTIME_DIR to one, such as /run/user/1000"
    )]
    NoPlace,
    /// Nothing is granted until somebody says so.
    #[error(
        "nothing is granted: this broker's run is not marked since this machine was started, so \
         its folder may have been put back. Compare the ledger's head with the one you noted and \
         say `mc2 broker resume --head DIGEST`"
    )]
    NotResumed,
    /// Another head than the ledger's.
    #[error("{0}")]
    OtherHead(Box<OtherHead>),
    /// The ledger was put back.
    #[error("{0}")]
    RolledBack(Box<RolledBack>),
    /// Nobody said that the owner's card is.
    #[error(
        "the handover is signed by the card {owner}, which is not known here: `mc2 party add` it \
         to the broker's folder, with the fingerprint its owner tells"
    )]
    UnknownOwner {
        /// The digest of the card.
        owner: Digest,
    },
    /// The owner's key to the object is not here.
    #[error("identity {identity} has no key to the object {object}")]
    NoKey {
        /// The identity.
        identity: PartyName,
        /// The object.
        object: Digest,
    },
    /// Versions are counted from 1.
    #[error("the versions of a dataset are counted from 1")]
    NoNumber,
    /// The broker is not in the policy.
    #[error(
        "the policy names broker {broker} for no dataset and no output in custody, so there is \
         nothing to accept; its card as signed by the owner stands at a dataset as `broker`"
    )]
    NotNamed {
        /// The broker's name.
        broker: PartyName,
    },
    /// A policy that has ended.
    #[error("the policy ended on {ended}")]
    Ended {
        /// When.
        ended: String,
    },
    /// No such policy.
    #[error("the policy {digest} is not accepted here")]
    NotAccepted {
        /// Its digest.
        digest: Digest,
    },
    /// No version of that object.
    #[error("no version, and no output in custody, is held whose object is {object}")]
    NotHeld {
        /// The object.
        object: Digest,
    },
    /// No version to release.
    #[error("no version of {dataset} is held that may be released{}", why(object.as_ref()))]
    NoVersion {
        /// The dataset.
        dataset: Name,
        /// The only one that may.
        object: Option<Digest>,
    },
    /// The session has another version than the newest.
    #[error(
        "the session has object {found} of {dataset} and the newest version is object {newest}: \
         none that is older is released, open another session"
    )]
    OlderVersion {
        /// The dataset.
        dataset: Name,
        /// What the session has.
        found: Digest,
        /// The newest.
        newest: Digest,
    },
    /// What was released did not arrive.
    #[error(
        "{runs} runs of {dataset} were released to this session, no start was answered for them, \
         and it does not have them: the host kept the message, or somebody else answered. It gets \
         no more; open another session"
    )]
    Unacknowledged {
        /// The dataset.
        dataset: Name,
        /// For how many runs.
        runs: u32,
    },
    /// The evidence did not pass.
    #[error(transparent)]
    Evidence(#[from] Refused),
    /// The job is not one the enclave waits with.
    #[error("the host says that job {job} waits for its start, and the enclave does not say so")]
    NotWaiting {
        /// The job's digest.
        job: Digest,
    },
}

/// The head somebody noted is not the ledger's.
#[derive(Debug, thiserror::Error)]
#[error(
    "the ledger's head is {found} after {lines} lines, and you noted {noted}{}. Look at \
     `mc2 broker log`: if what stands there is all there was, resume with the head it has",
    if *within { ", which is a line of it: more was written after you noted it" } else {
        ", which is no line of it: the ledger was rolled back or replaced"
    }
)]
pub struct OtherHead {
    /// The ledger's.
    pub found: Digest,
    /// How many lines it has.
    pub lines: u64,
    /// What was noted.
    pub noted: Digest,
    /// Whether what was noted is one of its lines.
    pub within: bool,
}

/// The ledger does not go as far as this broker went since the machine was started.
#[derive(Debug, thiserror::Error)]
#[error(
    "the ledger was put back: since this machine was started it went as far as {} lines, with the \
     head {}, and now it has {} lines, with the head {}. What was released meanwhile would be released \
     again. Find the ledger that goes as far; where it is lost, withdraw the policies whose runs \
     matter, and say --although-rolled-back",
    marked.lines, marked.last, found.lines, found.last
)]
pub struct RolledBack {
    /// As far as it went.
    pub marked: Head,
    /// As far as the ledger goes.
    pub found: Head,
}

impl BrokerError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            Self::Simulator(error) => error.exit(),
            Self::Party(error) => error.exit(),
            Self::Evidence(_) => Exit::AttestationRefused,
            Self::Key(error) => error.exit(),
            Self::Policy(_)
            | Self::Untrusted(_)
            | Self::NotNamed { .. }
            | Self::Ended { .. }
            | Self::NotAccepted { .. }
            | Self::NoVersion { .. }
            | Self::OlderVersion { .. } => Exit::PolicyRefused,
            Self::Ledger(LedgerError::Spent { .. } | LedgerError::OlderVersion { .. }) => {
                Exit::PolicyRefused
            }
            Self::File(_)
            | Self::Ledger(_)
            | Self::Record { .. }
            | Self::Misplaced { .. }
            | Self::Identity
            | Self::BootId { .. }
            | Self::NoPlace
            | Self::NotResumed
            | Self::RolledBack(_)
            | Self::OtherHead(_) => Exit::StateBroken,
            Self::Broken(_) | Self::Custody(_) | Self::NoReceipt { .. } => Exit::ResultTampered,
            Self::Session(_) | Self::NotWaiting { .. } | Self::Serving { .. } => Exit::Failed,
            _ => Exit::BadInput,
        }
    }

    /// The word that its refusal stands in the ledger under.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAccepted { .. } => "policy-not-accepted",
            Self::NotNamed { .. } => "not-named",
            Self::Ended { .. } => "policy-expired",
            Self::Untrusted(_) | Self::Party(_) => "unknown-card",
            Self::Evidence(_) => "evidence-refused",
            Self::NoVersion { .. } => "no-version",
            Self::OlderVersion { .. } => "older-version",
            Self::State(StateError::Revoked(_)) => "revoked",
            Self::Unacknowledged { .. } => "unacknowledged",
            Self::Ledger(LedgerError::Spent { .. }) => "runs-spent",
            Self::NotWaiting { .. } => "not-waiting",
            Self::Broken(_) | Self::Custody(_) => "receipt-refused",
            Self::Session(SessionError::Refused { .. }) => "enclave-refused",
            Self::Session(_) => "session",
            _ => "not-able",
        }
    }
}

fn why(object: Option<&Digest>) -> String {
    match object {
        Some(object) => format!(": it is to be object {object}"),
        None => ": add one with `mc2 broker add`".to_owned(),
    }
}

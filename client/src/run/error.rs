//! Everything that keeps a run from its result, with its exit code.

use std::path::PathBuf;

use mc2_attestation::{Refused as AttestationRefused, releases::ReleaseListError};
use mc2_host::HostError;
use mc2_protocol::{Digest, Name, encoding::JsonError, policy::Refusal};

use super::{lacking::Lacking, options::InputError};
use crate::{
    collateral::BundleError,
    custody::CustodyError,
    exit::Exit,
    files::FileError,
    http::{AddressError, ConnectError},
    open::OpenError,
    party::{PartyError, Untrusted},
    policy::PolicyFileError,
    remote::RemoteError,
    results::KeepError,
    session::SessionError,
    simulator::SimulatorError,
    state::StateError,
    verbs::VerbError,
    verify::BrokenLink,
    workload::WorkloadError,
};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Arguments or files that cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The collateral at hand.
    #[error(transparent)]
    Collateral(#[from] BundleError),
    /// No component.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The policy is not one, or not one this release enforces.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
    /// The policy does not allow this run.
    #[error("{}: {reason}", path.display())]
    NotAllowed {
        /// The policy's file.
        path: PathBuf,
        /// What it does not allow, and what to do.
        reason: String,
    },
    /// The policy names cards that are not known.
    #[error("the policy {}: {source}", path.display())]
    Untrusted {
        /// The policy's file.
        path: PathBuf,
        /// Which, and what to do.
        source: Untrusted,
    },
    /// The known cards cannot be read.
    #[error(transparent)]
    Parties(#[from] PartyError),
    /// A job of this program's own that is none.
    #[error("cannot show what would be approved")]
    Approval(#[from] JsonError),
    /// A key that the enclave gave into this party's custody does not open.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The policy does not allow the job.
    #[error("the policy does not allow it: {0}")]
    Refusal(#[from] Refusal),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Which simulators are believed is not known.
    #[error(transparent)]
    Simulator(#[from] SimulatorError),
    /// The policy ended before the others had given what is theirs.
    #[error("the policy ended while the run waited for {missing}; nothing was submitted")]
    Waited {
        /// What was missing, and from whom.
        missing: String,
    },
    /// The others had not given what is theirs for as long as they were waited for.
    #[error(
        "nothing was submitted: its session waits for {}. Ask them for it, and run it again; or wait \
         longer",
        missing.words
    )]
    Lacking {
        /// What is missing, and from whom.
        missing: Box<Lacking>,
    },
    /// What a party of a session does was not done.
    #[error(transparent)]
    Verb(Box<VerbError>),
    /// The session to join has other data of this party's.
    #[error(
        "session {session} has another version of {dataset}, object {object}, than what is given now, \
         and takes no second one: leave --session out for a new session, or give the same files"
    )]
    OtherVersion {
        /// The session.
        session: Digest,
        /// The dataset.
        dataset: Name,
        /// The version it has.
        object: Digest,
    },
    /// Its release list is not good.
    #[error(transparent)]
    Releases(#[from] ReleaseListError),
    /// The folder of the embedded host cannot be made.
    #[error("cannot start a host")]
    HostFolder(#[source] FileError),
    /// The embedded host, or the runtime, does not start.
    #[error("cannot start the runtime")]
    Host(#[from] HostError),
    /// The client cannot connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A runtime that cannot be measured.
    #[error("cannot measure the runtime")]
    Measure(#[source] FileError),
    /// The host did not answer well.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The evidence was refused.
    #[error(transparent)]
    Attestation(#[from] AttestationRefused),
    /// The session did not do what it was asked.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The receipt does not verify.
    #[error(transparent)]
    Broken(#[from] BrokenLink),
    /// The receipt lacks something it must have.
    #[error("the result is not complete: {0}")]
    Incomplete(String),
    /// A result does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A result could not be kept sealed.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// A result could not be written.
    #[error(transparent)]
    Write(FileError),
    /// Asked to end.
    #[error("{}", .0.meaning())]
    Stopped(Exit),
    /// Asked to end while the job was with the host, which may pass it on yet.
    #[error(
        "{}; job {job} is with the host still, which may pass it on to the enclave yet: {advice}",
        exit.meaning()
    )]
    LeftBehind {
        /// How the process ends.
        exit: Exit,
        /// The job.
        job: Digest,
        /// What to do about it.
        advice: String,
    },
}

impl RunError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Input(_) | Self::Address(_) | Self::Collateral(_) => Exit::BadInput,
            Self::Workload(error) => error.exit(),
            Self::Policy(error) => error.exit(),
            Self::NotAllowed { .. }
            | Self::Untrusted { .. }
            | Self::Refusal(_)
            | Self::OtherVersion { .. }
            | Self::Waited { .. }
            | Self::Lacking { .. } => Exit::PolicyRefused,
            Self::Verb(error) => error.exit(),
            Self::Parties(error) => error.exit(),
            Self::State(error) => error.exit(),
            Self::Simulator(error) => error.exit(),
            Self::Releases(_) => Exit::StateBroken,
            Self::HostFolder(_) | Self::Host(_) | Self::Measure(_) => Exit::RuntimeFailed,
            Self::Connect(error) => error.exit(),
            Self::Remote(error) => error.exit(),
            Self::Attestation(_) => Exit::AttestationRefused,
            Self::Session(error) => error.exit(),
            Self::Approval(_) => Exit::Failed,
            Self::Broken(_) | Self::Custody(_) | Self::Incomplete(_) => Exit::ResultTampered,
            Self::Open(error) => error.exit(),
            Self::Keep(error) => error.exit(),
            Self::Write(_) => Exit::CannotWrite,
            Self::Stopped(exit) | Self::LeftBehind { exit, .. } => *exit,
        }
    }
}

impl From<VerbError> for RunError {
    fn from(error: VerbError) -> Self {
        match error {
            VerbError::Attestation(refused) => Self::Attestation(refused),
            VerbError::Session(error) => Self::Session(error),
            VerbError::Stopped(exit) => Self::Stopped(exit),
            error => Self::Verb(Box::new(error)),
        }
    }
}

//! Everything that keeps a run from its result, with its exit code.

use std::path::PathBuf;

use mc2_attestation::{Refused as AttestationRefused, releases::ReleaseListError};
use mc2_host::HostError;
use mc2_protocol::{
    encoding::JsonError,
    policy::{PolicyError, Refusal},
};

use super::options::InputError;
use crate::{
    exit::Exit,
    files::FileError,
    http::{AddressError, ConnectError, HttpError},
    open::OpenError,
    party::{PartyError, Untrusted},
    remote::RemoteError,
    results::KeepError,
    seal::{SealError, object::ObjectError},
    session::SessionError,
    state::{StateError, ledger::LedgerError},
    verify::BrokenLink,
    workload::WorkloadError,
};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Arguments or files that cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// No component.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The policy's file cannot be read.
    #[error(transparent)]
    PolicyFile(FileError),
    /// The policy is not one, or not one this release enforces.
    #[error("{}: {source}", path.display())]
    Policy {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<PolicyError>,
    },
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
    /// The policy does not allow the job.
    #[error("the policy does not allow it: {0}")]
    Refusal(#[from] Refusal),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
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
}

impl RunError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Input(_) | Self::Address(_) | Self::PolicyFile(_) => Exit::BadInput,
            Self::Workload(error) => error.exit(),
            Self::Policy { .. }
            | Self::NotAllowed { .. }
            | Self::Untrusted { .. }
            | Self::Refusal(_) => Exit::PolicyRefused,
            Self::Parties(error) => error.exit(),
            Self::State(error) => error.exit(),
            Self::Releases(_) => Exit::StateBroken,
            Self::HostFolder(_) | Self::Host(_) | Self::Measure(_) => Exit::RuntimeFailed,
            Self::Connect(error) => of_connect(error),
            Self::Remote(error) => of_remote(error),
            Self::Attestation(_) => Exit::AttestationRefused,
            Self::Session(error) => of_session(error),
            Self::Approval(_) => Exit::Failed,
            Self::Broken(_) | Self::Incomplete(_) => Exit::ResultTampered,
            Self::Open(error) => of_result(error),
            Self::Keep(KeepError::Remote(error)) => of_remote(error),
            Self::Keep(KeepError::File(_)) | Self::Write(_) => Exit::CannotWrite,
            Self::Stopped(exit) => *exit,
        }
    }
}

/// The exit code of a connection that is none.
pub(crate) fn of_connect(error: &ConnectError) -> Exit {
    match error {
        ConnectError::Roots { .. } | ConnectError::Name { .. } => Exit::BadInput,
        _ => Exit::HostUnreachable,
    }
}

fn of_http(error: &HttpError) -> Exit {
    match error {
        HttpError::Connect(error) => of_connect(error),
        HttpError::Broken { .. } | HttpError::Timeout { .. } => Exit::HostUnreachable,
        HttpError::Hostile { .. } => Exit::ResultTampered,
        HttpError::Refused { problem, .. } => match problem.code.as_str() {
            "component-refused" => Exit::BadWorkload,
            "policy-refused" => Exit::PolicyRefused,
            "runtime-failed" | "runtime-gone" | "session-over" | "no-runtime" | "no-evidence" => {
                Exit::RuntimeFailed
            }
            _ => Exit::Failed,
        },
    }
}

fn of_remote(error: &RemoteError) -> Exit {
    match error {
        RemoteError::Http(error) => of_http(error),
        RemoteError::Seal(SealError::Source(_) | SealError::Read { .. }) => Exit::BadInput,
        RemoteError::Seal(_) | RemoteError::Ended => Exit::Failed,
        RemoteError::Object(error) => of_object(error),
        _ => Exit::ResultTampered,
    }
}

fn of_object(error: &ObjectError) -> Exit {
    match error {
        ObjectError::File(_) | ObjectError::Seal(_) => Exit::BadInput,
        ObjectError::Manifest { .. } => Exit::DataTampered,
    }
}

fn of_session(error: &SessionError) -> Exit {
    match error {
        SessionError::Remote(error) => of_remote(error),
        SessionError::Answer { .. } | SessionError::Mismatch { .. } | SessionError::Receipt(_) => {
            Exit::ResultTampered
        }
        SessionError::Refused { refused, .. } => match refused.code.as_str() {
            "busy" | "receipts-waiting" | "internal" | "replayed" => Exit::Failed,
            _ => Exit::PolicyRefused,
        },
        SessionError::Ledger(LedgerError::Spent { .. }) | SessionError::Policy(_) => {
            Exit::PolicyRefused
        }
        SessionError::Ledger(_) => Exit::StateBroken,
        SessionError::Lost { .. } => Exit::RuntimeFailed,
        SessionError::Unheard { .. } => Exit::HostUnreachable,
        SessionError::WaitedOut { .. } => Exit::Failed,
    }
}

/// The exit code of a result that does not open.
fn of_result(error: &OpenError) -> Exit {
    match error {
        OpenError::File(_) => Exit::CannotWrite,
        OpenError::Fetch { source, .. } => of_http(source),
        _ => Exit::ResultTampered,
    }
}

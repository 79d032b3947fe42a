//! Why the state folder could not be used.

use std::path::PathBuf;

use mc2_attestation::trust::TrustStoreError;
use mc2_protocol::Digest;

use super::{identity::IdentityFileError, revoked::KeyRevoked};
use crate::{exit::Exit, files::FileError};

/// Why the state folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// No folder is named and there is no home.
    #[error("there is no folder for keys and receipts: set MC2_HOME to one")]
    NoHome,
    /// The folder is somebody else's.
    #[error(
        "the state folder {} belongs to user {found}, expected you, user {own}: its owner could \
         be you to everybody. Set MC2_HOME to a folder of your own; or, where it is meant to be \
         yours, `{mend}`",
        path.display()
    )]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: u32,
        /// This user.
        own: u32,
        /// The line that mends it.
        mend: String,
    },
    /// Others can enter the folder.
    #[error(
        "the state folder {} has mode {found:o}, expected 700: others on this machine can enter \
         it. If nobody did, `{mend}` mends it; if somebody may have, make new identities",
        path.display()
    )]
    Mode {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        found: u32,
        /// The line that mends it.
        mend: String,
    },
    /// The folder is something else.
    #[error("{} is in the state folder's place and is no folder: set MC2_HOME to one", path.display())]
    NotAFolder {
        /// What is there.
        path: PathBuf,
    },
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// An identity file that is none.
    #[error(transparent)]
    Identity(#[from] IdentityFileError),
    /// No identity of that name.
    #[error(
        "there is no identity called {name} in {}; make it with `mc2 keygen {name}`",
        folder.display()
    )]
    NoIdentity {
        /// The name asked for.
        name: String,
        /// Where identities are.
        folder: PathBuf,
    },
    /// An identity of that name is there already.
    #[error("the identity {} exists already; delete it yourself if it is not needed", path.display())]
    IdentityExists {
        /// Its file.
        path: PathBuf,
    },
    /// A record of this folder's that is none.
    #[error("{} is no {what}: {reason}. Put back a copy of it, or remove it", path.display())]
    Record {
        /// Its file.
        path: PathBuf,
        /// What it is to be.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A submission that another process hands over.
    #[error(
        "the job {job} is being submitted by another process, or was and its answer was not heard: \
         wait for that process, or go on with `mc2 submit --again {job}`"
    )]
    OnItsWay {
        /// The job.
        job: Digest,
    },
    /// A submission that was handed over before.
    #[error("the job {job} was submitted from here before, as number {number}: `mc2 watch` it")]
    HandedOver {
        /// The job.
        job: Digest,
        /// Its number in the session.
        number: u64,
    },
    /// Something that was revoked here.
    #[error(transparent)]
    Revoked(#[from] Box<KeyRevoked>),
    /// A stored data key that is none.
    #[error("{} is not a stored data key: {reason}", path.display())]
    DataKey {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The trust store is not one.
    #[error("the trust store {} is not valid", path.display())]
    Trust {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<TrustStoreError>,
    },
}

impl StateError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NoIdentity { .. } | Self::Identity(_) | Self::IdentityExists { .. } => {
                Exit::BadInput
            }
            Self::OnItsWay { .. } | Self::HandedOver { .. } => Exit::BadInput,
            Self::Revoked(_) => Exit::PolicyRefused,
            _ => Exit::StateBroken,
        }
    }
}

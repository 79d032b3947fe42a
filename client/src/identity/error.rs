//! Why an identity was not carried or replaced.

use std::path::PathBuf;

use mc2_protocol::{PartyName, documents::replacement::ReplacementError};

use crate::{exit::Exit, files::FileError, keys::KeyError, party::PartyError, state::StateError};

/// Why an identity was not carried or replaced.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The known cards.
    #[error(transparent)]
    Party(#[from] PartyError),
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The passphrase, or what it opens.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not an exported identity. The error holds nothing of the file.
    #[error("{} is not an exported identity: {reason}", path.display())]
    Export {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The card in the file is not that of the identity in it.
    #[error(
        "{} says it holds the identity with the fingerprint {stated}, and holds another: it was \
         altered, and nothing was taken from it",
        path.display()
    )]
    OtherCard {
        /// The file.
        path: PathBuf,
        /// What it states.
        stated: String,
    },
    /// The old card does not sign such a new one.
    #[error("the new card of {name} cannot be signed by the old one")]
    Replacement {
        /// The identity.
        name: PartyName,
        /// Why not.
        source: ReplacementError,
    },
}

impl IdentityError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            Self::Party(error) => error.exit(),
            Self::File(_) => Exit::CannotWrite,
            Self::Key(error) => error.exit(),
            Self::Export { .. } => Exit::BadInput,
            Self::OtherCard { .. } => Exit::DataTampered,
            Self::Replacement { .. } => Exit::Failed,
        }
    }
}

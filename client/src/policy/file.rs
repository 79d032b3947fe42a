//! A policy in a file.

use std::path::{Path, PathBuf};

use mc2_protocol::policy::{self, Policy, PolicyError};

use crate::{
    exit::Exit,
    files::{FileError, read_capped},
};

/// Why a file is no policy that can be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is none, or not one that this release enforces.
    #[error("{}: {source}", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<PolicyError>,
    },
}

impl PolicyFileError {
    /// A policy that was read elsewhere than from a file of its own.
    pub fn of(path: impl Into<PathBuf>) -> impl FnOnce(PolicyError) -> Self {
        move |source| Self::Policy {
            path: path.into(),
            source: Box::new(source),
        }
    }

    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::File(_) => Exit::BadInput,
            Self::Policy { .. } => Exit::PolicyRefused,
        }
    }
}

/// Reads a policy, whether this release enforces all of it or not.
///
/// # Errors
/// [`PolicyFileError`].
pub fn read_policy(path: &Path) -> Result<Policy, PolicyFileError> {
    let bytes = read_capped(path, policy::MAX_LEN)?;
    Policy::parse(&bytes).map_err(PolicyFileError::of(path))
}

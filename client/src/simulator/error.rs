//! Why a host's file with its simulators' key is not believed.

use std::path::PathBuf;

use mc2_protocol::encoding::JsonError;

use crate::{exit::Exit, files::FileError, state::StateError};

/// Why it is not known which simulators are believed.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The trust store.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody else's.
    #[error(
        "{}, where a host of yours leaves its simulators' key, belongs to user {found}, expected \
         you, user {own}: whoever wrote it chooses whom you believe. Remove it and start the host \
         again as yourself",
        path.display()
    )]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// Whose it is.
        found: u32,
        /// This user.
        own: u32,
    },
    /// Others can write or read it.
    #[error(
        "{}, where a host of yours leaves its simulators' key, has mode {found:o}, expected \
         {expected:o}: others on this machine can get at it. Remove it and start the host again",
        path.display()
    )]
    Mode {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        found: u32,
        /// What it should be.
        expected: u32,
    },
    /// Not what a host writes.
    #[error(
        "{} is not what a host leaves of its simulators' key. Remove it and start the host again",
        path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: JsonError,
    },
    /// A key that is none.
    #[error(
        "{} names a key that is none. Remove it and start the host again",
        path.display()
    )]
    Key {
        /// The file.
        path: PathBuf,
    },
}

impl SimulatorError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            _ => Exit::StateBroken,
        }
    }
}

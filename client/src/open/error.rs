//! Why an object was not opened.

use mc2_protocol::sealed::{SealedError, paths::PathTableError};

use crate::{exit::Exit, files::FileError, http::HttpError};

/// Why an object was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A check of the sealed bytes failed.
    #[error("{what} was tampered with or does not belong together: {source}")]
    Sealed {
        /// The dataset or output, and the file in it.
        what: String,
        /// The check that failed.
        source: SealedError,
    },
    /// Bytes are missing or left over.
    #[error("{what} has {found} bytes, expected {expected}: it was cut off or added to")]
    Length {
        /// The dataset or output, and the file in it.
        what: String,
        /// How many there are.
        found: u64,
        /// How many there must be.
        expected: u64,
    },
    /// The key is not this object's.
    #[error("the key is not the one {what} was sealed with")]
    WrongKey {
        /// The dataset or output.
        what: String,
    },
    /// A folder's table of paths is not a good one.
    #[error("the folder {what} does not open: {source}")]
    Paths {
        /// The dataset or output.
        what: String,
        /// What is wrong with the table.
        source: PathTableError,
    },
    /// The plaintext is not the one the receipt tells of.
    #[error("{what} is not what the job left: its plaintext has another SHA-256 than its receipt")]
    Plaintext {
        /// The output.
        what: String,
    },
    /// It is a folder, and one file was wanted.
    #[error("{what} is a folder, expected one file")]
    Folder {
        /// The dataset or output.
        what: String,
    },
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The host did not give the bytes.
    #[error("cannot fetch the sealed bytes of {what}")]
    Fetch {
        /// The dataset or output.
        what: String,
        /// What went wrong.
        source: HttpError,
    },
}

impl OpenError {
    /// How the process ends for it, where the result of a run is opened.
    pub fn exit(&self) -> Exit {
        match self {
            Self::File(_) => Exit::CannotWrite,
            Self::Fetch { source, .. } => source.exit(),
            _ => Exit::ResultTampered,
        }
    }
}

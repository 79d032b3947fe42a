//! Why an input could not be read.

use mc2_protocol::sealed::{SealedError, paths::PathTableError};

use crate::storage::StorageError;

/// Why an input could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The host did not deliver.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What it delivered is not what was sealed.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// A folder's table of paths is not a good one.
    #[error(transparent)]
    Paths(#[from] PathTableError),
    /// It ends before what it should hold.
    #[error("it is shorter than what it should hold")]
    Short,
    /// Its list of segment digests has more pages than the enclave keeps account of.
    #[error(
        "the inputs have more segments than an enclave keeps account of; seal them in larger ones"
    )]
    TooManySegments,
}

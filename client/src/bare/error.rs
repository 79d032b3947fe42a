//! Why a bare run did not take place.

use std::path::PathBuf;

use mc2_sandbox::{EngineError, MeasureError};

use crate::{files::FileError, seal::source::SourceError, workload::WorkloadError};

/// Why a run did not take place, or its results could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BareError {
    /// An input or output that cannot be given to a guest.
    #[error("{0}")]
    Invalid(String),
    /// An input that cannot be read.
    #[error("--in {name}")]
    Input {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: SourceError,
    },
    /// A file that could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no component.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The sandbox refuses the component.
    #[error("{} cannot be started: {source}", path.display())]
    Refused {
        /// The component's file.
        path: PathBuf,
        /// What is wrong with it.
        source: MeasureError,
    },
    /// The sandbox could not be set up.
    #[error("cannot set up the sandbox: {0}")]
    Engine(String),
}

impl From<EngineError> for BareError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error.to_string())
    }
}

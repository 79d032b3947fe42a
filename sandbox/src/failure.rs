//! Why a run did not succeed: one typed reason, never a guest's own bytes but
//! where a field says so.

use std::fmt;

/// The reason a run failed. A run that failed releases no outputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The guest executed an instruction that traps.
    #[error("the guest trapped: {0}")]
    Trap(String),
    /// The guest ended with a code other than 0. WASI 0.2's own `exit` carries
    /// only success and failure, which reads as 1.
    #[error("the guest exited with code {0}")]
    Exit(u8),
    /// Memories and tables would have exceeded this many bytes.
    #[error("the guest needed more memory than the {limit} bytes allowed")]
    MemoryLimit {
        /// The limit of the run.
        limit: u64,
    },
    /// The run took longer than allowed.
    #[error("the guest ran longer than the {milliseconds} ms allowed")]
    TimeLimit {
        /// The limit of the run.
        milliseconds: u64,
    },
    /// Outputs, streams and messages together exceeded this many bytes.
    #[error("the guest wrote more than the {limit} bytes of output allowed")]
    OutputLimit {
        /// The limit of the run.
        limit: u64,
    },
    /// Scratch files would have exceeded this many bytes.
    #[error("the guest needed more than the {limit} bytes of scratch space allowed")]
    ScratchLimit {
        /// The limit of the run.
        limit: u64,
    },
    /// Too many files, streams, directory entries or other resources at once.
    #[error("the guest held more {what} than the {limit} allowed")]
    HandleLimit {
        /// What there were too many of.
        what: &'static str,
        /// The cap.
        limit: u64,
    },
    /// The fuel given to a metered run is used up.
    #[error("the guest used up its fuel")]
    FuelLimit,
    /// The guest recursed too deeply.
    #[error("the guest overflowed its stack")]
    StackOverflow,
    /// An input could not be fetched.
    #[error("input `{name}` could not be fetched: {reason}")]
    InputUnavailable {
        /// Its name, below `/in`.
        name: String,
        /// What the storage said.
        reason: String,
    },
    /// An input's bytes are not those that were sealed.
    #[error("input `{name}` is corrupt: {reason}")]
    InputCorrupt {
        /// Its name, below `/in`.
        name: String,
        /// Which check failed.
        reason: String,
    },
    /// Spilled scratch pages could not be stored or fetched.
    #[error("spilled scratch space is unavailable: {0}")]
    SpillUnavailable(String),
    /// The host returned other bytes for a spilled page than were last given to it.
    #[error("a spilled page came back altered, moved or out of date")]
    SpillCorrupt,
    /// The guest created an output the job does not declare. The name is the guest's.
    #[error("the guest wrote to `/out/{0}`, which the job does not declare")]
    UndeclaredOutput(String),
    /// The guest succeeded without writing an output the job declares.
    #[error("the guest left no `/out/{0}`, which the job declares")]
    MissingOutput(String),
    /// More than one instance left the same output, or the same file of a folder.
    #[error("more than one instance left `/out/{0}`")]
    RepeatedOutput(String),
    /// An output could not be sealed or stored.
    #[error("an output could not be kept: {0}")]
    OutputUnavailable(String),
    /// Every instance that had not ended waited for another.
    #[error("the instances all waited for each other")]
    Deadlock,
    /// The run was cancelled.
    #[error("the run was cancelled")]
    Cancelled,
    /// A fault of the runtime itself.
    #[error("the runtime failed: {0}")]
    Internal(String),
}

impl Failure {
    /// A short name for the kind of failure, the same in every version.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::Exit(_) => "exit",
            Self::MemoryLimit { .. } => "memory-limit",
            Self::TimeLimit { .. } => "time-limit",
            Self::OutputLimit { .. } => "output-limit",
            Self::ScratchLimit { .. } => "scratch-limit",
            Self::HandleLimit { .. } => "handle-limit",
            Self::FuelLimit => "fuel-limit",
            Self::StackOverflow => "stack-overflow",
            Self::InputUnavailable { .. } => "input-unavailable",
            Self::InputCorrupt { .. } => "input-corrupt",
            Self::SpillUnavailable(_) => "spill-unavailable",
            Self::SpillCorrupt => "spill-corrupt",
            Self::UndeclaredOutput(_) => "undeclared-output",
            Self::MissingOutput(_) => "missing-output",
            Self::RepeatedOutput(_) => "repeated-output",
            Self::OutputUnavailable(_) => "output-unavailable",
            Self::Deadlock => "deadlock",
            Self::Cancelled => "cancelled",
            Self::Internal(_) => "internal",
        }
    }

    /// Whether a guest that is told of it in a write may go on: it can make room.
    pub(crate) fn is_soft(&self) -> bool {
        matches!(self, Self::ScratchLimit { .. } | Self::MemoryLimit { .. })
    }

    /// The error that ends the guest at once with this failure.
    pub(crate) fn stop(self) -> wasmtime::Error {
        wasmtime::Error::from(Stop(self))
    }
}

/// A [`Failure`] on its way up through Wasmtime.
#[derive(Debug)]
pub(crate) struct Stop(pub(crate) Failure);

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Stop {}

/// The guest called `exit`.
#[derive(Debug)]
pub(crate) struct Exited(pub(crate) u8);

impl fmt::Display for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest called exit with code {}", self.0)
    }
}

impl std::error::Error for Exited {}

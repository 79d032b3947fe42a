//! The state of one running guest, and the types that the bindings are generated over.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{ResourceTable, ResourceTableError};

pub(crate) use super::bindings::wasi::filesystem::types::ErrorCode;
use super::notes::Notes;
use crate::failure::Failure;
use crate::files::{File, Vfs};
use crate::limits::{Budget, HANDLES, Limiter, PENDING_BYTES};
use crate::peers::Polls;

/// The state of one running guest: everything its host calls reach.
pub(crate) struct Guest {
    pub(crate) table: ResourceTable,
    pub(crate) limiter: Limiter,
    pub(crate) vfs: Vfs,
    pub(crate) notes: Notes,
    /// What all writing streams may have accepted that is in no file yet.
    pub(crate) pending: Budget,
    /// Where there are peers it can wait for.
    pub(crate) polls: Option<Polls>,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) stdin: Arc<dyn File>,
    pub(crate) stdout: Arc<dyn File>,
    pub(crate) stderr: Arc<dyn File>,
    pub(crate) start: Instant,
    /// Seconds since 1970 at the start, by the host's clock.
    pub(crate) start_seconds: u64,
}

impl Guest {
    /// Room for what the streams of one guest accept.
    pub(crate) fn pending() -> Budget {
        Budget::new(PENDING_BYTES)
    }

    /// A resource table with its cap.
    pub(crate) fn table() -> ResourceTable {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        table
    }
}

/// A network to bind to, which answers nothing.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Network;

/// There are no terminals, so there is no value of this type.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum NoTerminal {}

/// A file operation's answer that is not success.
#[derive(Debug)]
pub(crate) enum FsError {
    /// For the guest.
    Code(ErrorCode),
    /// The end of the run.
    Trap(wasmtime::Error),
}

impl From<ErrorCode> for FsError {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

impl From<ResourceTableError> for FsError {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl From<Failure> for FsError {
    fn from(failure: Failure) -> Self {
        Self::Trap(failure.stop())
    }
}

/// What a failed file stream holds for `filesystem-error-code`.
#[derive(Debug)]
pub(crate) struct FileFault(pub(crate) ErrorCode);

impl std::fmt::Display for FileFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.message())
    }
}

impl std::error::Error for FileFault {}

//! Standard output and error that somebody sees while the guest writes them.

use std::io;
use std::sync::Arc;

use super::file::{File, Place, WriteError};
use super::space::Space;

/// Takes what a guest prints, as it prints it. Nothing of it is kept.
pub trait Print: Send + Sync {
    /// The bytes that come next.
    ///
    /// # Errors
    ///
    /// The system's: the guest's stream then breaks as a pipe does.
    fn print(&self, bytes: &[u8]) -> io::Result<()>;
}

/// A standard stream that goes to a [`Print`].
pub(crate) struct Printed {
    space: Arc<Space>,
    to: Arc<dyn Print>,
}

impl Printed {
    pub(crate) fn new(space: Arc<Space>, to: Arc<dyn Print>) -> Self {
        Self { space, to }
    }
}

impl File for Printed {
    fn is_writable(&self) -> bool {
        true
    }

    fn try_write(&self, _place: Place, data: &[u8]) -> Result<usize, WriteError> {
        self.space.charge_output(data.len() as u64)?;
        self.to.print(data).map_err(|_| WriteError::Gone)?;
        Ok(data.len())
    }
}

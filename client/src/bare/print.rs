//! Where a guest's standard streams go while it writes them.

use std::{
    fs::File,
    io::{self, Write as _},
    sync::Arc,
};

use mc2_sandbox::Print;

use super::{error::BareError, options::BareStdout};
use crate::files::failed;

/// An opened [`BareStdout`].
pub(super) enum Sink {
    /// The sandbox keeps it.
    Kept,
    /// It is shown.
    Shown(Arc<dyn Print>),
}

impl Sink {
    pub(super) fn open(to: &BareStdout, stream: Stream) -> Result<Self, BareError> {
        Ok(match to {
            BareStdout::Capture => Self::Kept,
            BareStdout::Inherit => Self::Shown(Arc::new(stream)),
            BareStdout::File(path) => {
                let file = File::create(path).map_err(failed("write", path))?;
                Self::Shown(Arc::new(ToFile(file)))
            }
        })
    }

    /// As an instance's specification has it.
    pub(super) fn shown(&self) -> Option<Arc<dyn Print>> {
        match self {
            Self::Kept => None,
            Self::Shown(to) => Some(Arc::clone(to)),
        }
    }
}

/// One of this process's own streams.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Print for Stream {
    fn print(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::Stderr => io::stderr().lock().write_all(bytes),
        }
    }
}

struct ToFile(File);

impl Print for ToFile {
    fn print(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)
    }
}

/// What instances but the first print to standard output.
pub(super) struct Nowhere;

impl Print for Nowhere {
    fn print(&self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

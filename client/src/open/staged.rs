//! Plaintext on its way to the disk: it has a name only once all of it was checked.

use std::io::{self, Write};

use mc2_protocol::crypto::digest::Hasher;

use crate::files::{FileError, Staged, StagedFolder};

/// Plaintext that was checked to its end and has no name yet.
pub struct StagedOutput {
    pub(super) length: u64,
    pub(super) staged: StagedKind,
}

pub(super) enum StagedKind {
    File(Staged),
    Folder(StagedFolder),
}

impl StagedOutput {
    /// Bytes of the file, or of all files of the folder.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// The system's; nothing is left behind then.
    pub fn publish(self) -> Result<(), FileError> {
        match self.staged {
            StagedKind::File(staged) => staged.publish(),
            StagedKind::Folder(staged) => staged.publish(),
        }
    }
}

/// Hashes what goes through.
pub(super) struct Hashing<'a, S> {
    pub(super) sink: &'a mut S,
    pub(super) sha256: Hasher,
}

impl<S: Write> Write for Hashing<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

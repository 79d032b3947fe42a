//! Reading and writing files that a kernel plays: capped, and each write one call.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

/// All of a file, at most `limit` bytes.
///
/// # Errors
/// [`FileError`].
pub(super) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() > limit {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// Writes all of `bytes` in one call into a file that is there, and closes it, for that is when
/// some of them take what was written.
///
/// # Errors
/// [`FileError`].
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError::Write {
        path: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new().write(true).open(path).map_err(failed)?;
    let written = file.write(bytes).map_err(failed)?;
    if written != bytes.len() {
        return Err(failed(io::Error::other(format!(
            "it took {written} of {} bytes",
            bytes.len()
        ))));
    }
    Ok(())
}

/// What went wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It could not be read.
    #[error("reading {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be written.
    #[error("writing {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has more bytes than it may.
    #[error("{} holds more than the {limit} bytes expected", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most it may have.
        limit: usize,
    },
}

impl FileError {
    /// Why the system refused, where it did.
    pub(super) fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => Some(source.kind()),
            Self::TooLarge { .. } => None,
        }
    }
}

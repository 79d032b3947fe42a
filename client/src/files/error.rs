//! What the system refused, and what was being done.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Something the system refused to do with a file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub struct FileError {
    /// What was being done: `read`, `write`, ….
    pub doing: &'static str,
    /// The file it was done to.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Wraps what the system said with what was being done.
pub fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError {
        doing,
        path,
        source,
    }
}

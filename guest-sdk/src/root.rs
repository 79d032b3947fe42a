//! Where a job's files are, and those of them that the runtime reads while the job writes.

use std::env;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Where all paths start.
pub(crate) fn root() -> PathBuf {
    env::var_os("MC2_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// Opens one of the runtime's files for writing; made where only its folder exists.
pub(crate) fn open_sink(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path).or_else(|_| {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
    })
}

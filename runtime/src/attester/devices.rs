//! Where the devices of a machine are.

use std::path::{Path, PathBuf};

/// The folder below which devices and the kernel's own files are looked for.
#[derive(Clone, Debug)]
pub struct Devices {
    root: PathBuf,
}

impl Devices {
    /// Those of this machine.
    pub fn of_this_machine() -> Self {
        Self::below("/")
    }

    /// Those below another folder: somebody emulates them there.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where this one is, from its path without the first slash.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }
}

//! Sealed objects, read-only once they are there: `objects/ID/{manifest,files/N,digests/N}`.

use std::{fs::File, path::PathBuf};

use mc2_protocol::Digest;

use super::{Store, open};
use crate::refusal::Refusal;

/// The two lists of parts an object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// The sealed bytes of a file.
    File,
    /// The BLAKE3 digests of its segments.
    Digests,
}

impl Part {
    /// The folder such parts lie in.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::File => "files",
            Self::Digests => "digests",
        }
    }
}

impl Store {
    /// Opens an object's manifest.
    pub(crate) fn open_manifest(&self, object: &Digest) -> Result<File, Refusal> {
        let path = self.object(object).join("manifest");
        open(&path, || format!("no object {object} is stored here"))
    }

    /// Opens a part of an object.
    pub(crate) fn open_part(
        &self,
        object: &Digest,
        part: Part,
        index: usize,
    ) -> Result<File, Refusal> {
        let path = self
            .object(object)
            .join(part.folder())
            .join(index.to_string());
        open(&path, || {
            format!("no object {object} with a file {index} is stored here")
        })
    }

    pub(super) fn object(&self, object: &Digest) -> PathBuf {
        self.objects.join(object.to_string())
    }
}

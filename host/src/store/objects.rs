//! Sealed objects, read-only once they are there: `objects/ID/{manifest,files/N,digests/N}`.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use mc2_protocol::Digest;

use super::files::open;
use crate::refusal::{Refusal, blocking};

/// All objects.
#[derive(Clone)]
pub(crate) struct Objects {
    folder: PathBuf,
}

impl Objects {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder they are in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens an object's manifest.
    pub(crate) fn open_manifest(&self, object: &Digest) -> Result<File, Refusal> {
        let path = self.path(object).join("manifest");
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
            .path(object)
            .join(part.folder())
            .join(index.to_string());
        open(&path, || {
            format!("no object {object} with a file {index} is stored here")
        })
    }

    /// The length of an object's manifest, and of each of its streams and its digests.
    pub(crate) async fn streams(&self, object: &Digest) -> Result<(u64, Vec<[u64; 2]>), Refusal> {
        let manifest = self.open_manifest(object)?;
        let path = self.path(object);
        blocking(move || {
            let mut streams = Vec::new();
            loop {
                let name = streams.len().to_string();
                let length = |part: Part| fs::metadata(path.join(part.folder()).join(&name));
                let file = match length(Part::File) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    file => file?.len(),
                };
                streams.push([file, length(Part::Digests)?.len()]);
            }
            Ok((manifest.metadata()?.len(), streams))
        })
        .await
    }

    pub(super) fn path(&self, object: &Digest) -> PathBuf {
        self.folder.join(object.to_string())
    }
}

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

//! Sealed objects, read-only once they are there: `objects/ID/{manifest,files/N,digests/N}`.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use mc2_protocol::{Digest, Manifest, sealed::DIGEST_LEN};
use mc2_wire::bulk::Part;

use super::blobs::{Blob, Blobs};
use crate::refusal::{Refusal, blocking};

/// All objects.
#[derive(Clone)]
pub(crate) struct Objects {
    blobs: Blobs,
}

impl Objects {
    pub(super) fn new(blobs: Blobs) -> Self {
        Self { blobs }
    }

    /// An object's manifest.
    pub(crate) fn open_manifest(&self, object: &Digest) -> Result<Blob, Refusal> {
        let manifest = self.blobs.get(&manifest_of(object))?;
        manifest.ok_or_else(|| missing(object))
    }

    /// A part of an object.
    pub(crate) fn open_part(
        &self,
        object: &Digest,
        part: Part,
        index: usize,
    ) -> Result<Blob, Refusal> {
        let found = self.blobs.get(&part_of(object, part, index))?;
        found.ok_or_else(|| missing(object))
    }

    /// The length of an object's manifest, and of each of its streams and its digests.
    pub(crate) async fn streams(&self, object: &Digest) -> Result<(u64, Vec<[u64; 2]>), Refusal> {
        let (blobs, object) = (self.blobs.clone(), *object);
        blocking(move || {
            let bytes = blobs.read(&manifest_of(&object))?;
            let bytes = bytes.ok_or_else(|| missing(&object))?;
            let manifest = Manifest::parse(&bytes).map_err(io::Error::other)?;
            let streams = (0..manifest.stream_count()).map(|index| {
                [Part::File, Part::Digests].map(|part| length_of(part, &manifest, index))
            });
            Ok((bytes.len() as u64, streams.collect()))
        })
        .await
    }

    /// Whether an object is there. May block.
    pub(super) fn exists(&self, object: &Digest) -> Result<bool, Refusal> {
        self.blobs.exists(&manifest_of(object))
    }

    /// Makes an object of a folder that has its parts and its manifest; the folder is gone then. May
    /// block.
    pub(super) fn keep(
        &self,
        object: &Digest,
        from: &Path,
        streams: usize,
        durable: bool,
    ) -> Result<(), Refusal> {
        match &self.blobs {
            Blobs::Folder(folder) => {
                let objects = folder.join("objects");
                match fs::rename(from, objects.join(object.to_string())) {
                    Ok(()) if durable => File::open(objects)?.sync_all()?,
                    Ok(()) => {}
                    // It is there already, from another upload of the same bytes.
                    Err(_) if self.exists(object)? => fs::remove_dir_all(from)?,
                    Err(error) => return Err(error.into()),
                }
            }
            Blobs::Bucket(bucket) => {
                if !self.exists(object)? {
                    for part in [Part::File, Part::Digests] {
                        for index in 0..streams {
                            let path = from.join(part.name()).join(index.to_string());
                            let name = part_of(object, part, index);
                            bucket.put_file(&name, &mut File::open(path)?)?;
                        }
                    }
                    let mut manifest = File::open(from.join("manifest"))?;
                    bucket.put_file(&manifest_of(object), &mut manifest)?;
                }
                fs::remove_dir_all(from)?;
            }
        }
        Ok(())
    }
}

fn manifest_of(object: &Digest) -> String {
    format!("objects/{object}/manifest")
}

fn part_of(object: &Digest, part: Part, index: usize) -> String {
    format!("objects/{object}/{}/{index}", part.name())
}

fn missing(object: &Digest) -> Refusal {
    Refusal::not_found(
        "not-found",
        format!("no object {object} with this part is stored here"),
    )
}

/// How long a part of a manifest's stream is.
pub(super) fn length_of(part: Part, manifest: &Manifest, index: usize) -> u64 {
    let layout = manifest.layout(index);
    match part {
        Part::File => layout.sealed_length(),
        Part::Digests => u64::from(layout.segments()) * DIGEST_LEN as u64,
    }
}

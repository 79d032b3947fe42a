//! Sealed objects, read-only once they are there: `objects/ID/{manifest,files/N,digests/N}`.
//!
//! A small object that a runtime stores in one piece is a record instead, where it is not in a bucket:
//! as files it would be six new files and folders for some hundred bytes.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use mc2_protocol::{
    Digest, Manifest,
    sealed::{
        DIGEST_LEN,
        small::{SmallObject, Stream},
    },
};
use mc2_wire::bulk::Part;

use super::{
    blobs::{Blob, Blobs},
    kept::{Content, Keeping, Kept, Payer},
    records::{Change, Records, Table},
};
use crate::{
    clock::now,
    refusal::{Refusal, blocking},
    transfer::Side,
};

/// How long a small object waits where the disk does not keep up.
const PATIENCE: Duration = Duration::from_secs(10);

/// All objects.
#[derive(Clone)]
pub(crate) struct Objects {
    blobs: Blobs,
    kept: Keeping,
    records: Arc<Records>,
    /// Where what is removed lies until it is gone.
    removing: PathBuf,
}

impl Objects {
    pub(super) fn new(
        blobs: Blobs,
        kept: Keeping,
        records: Arc<Records>,
        removing: PathBuf,
    ) -> Self {
        Self {
            blobs,
            kept,
            records,
            removing,
        }
    }

    /// Stores a small object in one piece; where it is there already it stays as it is, which is no
    /// error.
    ///
    /// # Errors
    /// 400 `object` for bytes that are none, 422 `digest` for those of another, 503 `busy` where the
    /// disk does not keep up.
    pub(crate) async fn put_small(
        &self,
        object: Digest,
        payer: Payer,
        bytes: Bytes,
    ) -> Result<(), Refusal> {
        let this = self.clone();
        blocking(move || {
            let small = SmallObject::parse(&bytes);
            let small = small.map_err(|error| Refusal::bad("object", error.to_string()))?;
            let found = Digest::of(small.manifest_bytes());
            if found != object {
                let message = format!("the object that was sent is {found}, expected {object}");
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return Err(Refusal::new(status, "digest", message));
            }
            let new = kept_of(
                small.manifest(),
                payer.side == Side::Runtime,
                payer.holder(),
            );
            match &this.blobs {
                Blobs::Folder(_) => {
                    if !this.records.room(PATIENCE) {
                        let message = "records wait for the disk; send the object again";
                        return Err(Refusal::busy("busy", message));
                    }
                    // All of it is the record's: of a small object most is its manifest.
                    let new = Kept {
                        bytes: bytes.len() as u64,
                        ..new
                    };
                    let content = Change::put(Table::Small, object.as_bytes(), bytes.clone());
                    let there = || this.exists(&object);
                    let content = Content {
                        change: content,
                        there: &there,
                    };
                    let storing =
                        this.kept
                            .storing_with(Table::Objects, &object, new, Some(content))?;
                    storing.stored();
                }
                Blobs::Bucket(bucket) => {
                    let storing = this.kept.storing(Table::Objects, &object, new)?;
                    let there = this.exists(&object)?;
                    // What is put there takes room, and goes by age where it does not become whole.
                    storing.stored();
                    if there {
                        return Ok(());
                    }
                    for (index, stream) in small.streams().iter().enumerate() {
                        let parts = [(Part::File, stream.file), (Part::Digests, stream.digests)];
                        for (part, content) in parts {
                            bucket.put(&part_of(&object, part, index), bytes.slice_ref(content))?;
                        }
                    }
                    let manifest = bytes.slice_ref(small.manifest_bytes());
                    bucket.put(&manifest_of(&object), manifest)?;
                }
            }
            Ok(())
        })
        .await
    }

    /// A small object in one piece; who reads it uses the object.
    ///
    /// # Errors
    /// 404 `not-small` where it has too many bytes for that.
    pub(crate) async fn small(&self, object: Digest) -> Result<Bytes, Refusal> {
        // One that was stored just now was used then.
        if matches!(self.blobs, Blobs::Folder(_))
            && let Some(Some(bytes)) = self.records.recent(Table::Small, object.as_bytes())
        {
            return Ok(bytes);
        }
        let this = self.clone();
        blocking(move || {
            this.kept.touch(Table::Objects, &object)?;
            if let Some(bytes) = this.record_of(&object)? {
                return Ok(bytes);
            }
            let manifest_bytes = this.blobs.read(&manifest_of(&object))?;
            let manifest_bytes = manifest_bytes.ok_or_else(|| missing(&object))?;
            let manifest = Manifest::parse(&manifest_bytes).map_err(io::Error::other)?;
            let large = || {
                let message = format!("object {object} is not small: read it in parts");
                Refusal::not_found("not-small", message)
            };
            if !SmallObject::is_small(&manifest, manifest_bytes.len()) {
                return Err(large());
            }
            let mut streams = Vec::new();
            for index in 0..manifest.stream_count() {
                let read = |part| -> Result<Bytes, Refusal> {
                    let found = this.blobs.read(&part_of(&object, part, index))?;
                    found.ok_or_else(|| missing(&object))
                };
                streams.push((read(Part::Digests)?, read(Part::File)?));
            }
            let streams = streams
                .iter()
                .map(|(digests, file)| Stream { digests, file });
            let whole = SmallObject::encode(&manifest_bytes, streams);
            // Its files may have been altered meanwhile.
            whole.map(Bytes::from).ok_or_else(large)
        })
        .await
    }

    /// An object's manifest; who reads it uses the object.
    pub(crate) async fn open_manifest(&self, object: Digest) -> Result<Blob, Refusal> {
        let this = self.clone();
        blocking(move || {
            this.kept.touch(Table::Objects, &object)?;
            if let Some(bytes) = this.record_of(&object)? {
                let small = SmallObject::parse(&bytes).map_err(io::Error::other)?;
                return Ok(Blob::Bytes(bytes.slice_ref(small.manifest_bytes())));
            }
            let manifest = this.blobs.get(&manifest_of(&object))?;
            manifest.ok_or_else(|| missing(&object))
        })
        .await
    }

    /// A part of an object.
    pub(crate) async fn open_part(
        &self,
        object: Digest,
        part: Part,
        index: usize,
    ) -> Result<Blob, Refusal> {
        let this = self.clone();
        blocking(move || this.part(&object, part, index)).await
    }

    /// A part of an object. May block.
    pub(crate) fn part(&self, object: &Digest, part: Part, index: usize) -> Result<Blob, Refusal> {
        // What is large is asked for most.
        if let Some(found) = self.blobs.get(&part_of(object, part, index))? {
            return Ok(found);
        }
        let bytes = self.record_of(object)?.ok_or_else(|| missing(object))?;
        let small = SmallObject::parse(&bytes).map_err(io::Error::other)?;
        let stream = small.streams().get(index).ok_or_else(|| missing(object))?;
        Ok(Blob::Bytes(bytes.slice_ref(match part {
            Part::File => stream.file,
            Part::Digests => stream.digests,
        })))
    }

    /// An object that is a record. May block.
    fn record_of(&self, object: &Digest) -> io::Result<Option<Bytes>> {
        match &self.blobs {
            Blobs::Folder(_) => self.records.get(Table::Small, object.as_bytes()),
            Blobs::Bucket(_) => Ok(None),
        }
    }

    /// The length of an object's manifest, and of each of its streams and its digests; who asks is
    /// about to use the object.
    pub(crate) async fn streams(&self, object: &Digest) -> Result<(u64, Vec<[u64; 2]>), Refusal> {
        let (this, object) = (self.clone(), *object);
        blocking(move || {
            this.kept.touch(Table::Objects, &object)?;
            let record = this.record_of(&object)?;
            let small = record.as_deref().map(SmallObject::parse).transpose();
            let (length, manifest) = match small.map_err(io::Error::other)? {
                Some(small) => (small.manifest_bytes().len(), small.manifest().clone()),
                None => {
                    let bytes = this.blobs.read(&manifest_of(&object))?;
                    let bytes = bytes.ok_or_else(|| missing(&object))?;
                    let manifest = Manifest::parse(&bytes).map_err(io::Error::other)?;
                    (bytes.len(), manifest)
                }
            };
            let streams = (0..manifest.stream_count()).map(|index| {
                [Part::File, Part::Digests].map(|part| length_of(part, &manifest, index))
            });
            Ok((length as u64, streams.collect()))
        })
        .await
    }

    /// Whether an object is there. May block.
    pub(super) fn exists(&self, object: &Digest) -> Result<bool, Refusal> {
        Ok(self.record_of(object)?.is_some() || self.blobs.exists(&manifest_of(object))?)
    }

    /// Makes an object of a folder that has its parts and its manifest; the folder is gone then. May
    /// block.
    pub(super) fn keep(
        &self,
        object: &Digest,
        from: &Path,
        manifest: &Manifest,
        side: Side,
        holder: Option<String>,
        durable: bool,
    ) -> Result<(), Refusal> {
        let streams = manifest.stream_count();
        let new = kept_of(manifest, side == Side::Runtime, holder);
        // It is not removed meanwhile, so what is there already stays.
        let storing = self.kept.storing(Table::Objects, object, new)?;
        match &self.blobs {
            Blobs::Folder(folder) => {
                let objects = folder.join("objects");
                let path = objects.join(object.to_string());
                // What is a record already stays, whatever is sent in its place.
                let renamed = storing.alone(|| match self.record_of(object)? {
                    Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
                    None => fs::rename(from, &path),
                });
                if let Err(error) = renamed {
                    if self.exists(object)? {
                        // From another upload of the same bytes.
                        storing.stored();
                        return Ok(fs::remove_dir_all(from)?);
                    }
                    // What a power cut left of it.
                    if !path.exists() {
                        return Err(error.into());
                    }
                    self.remove(object)?;
                    fs::rename(from, &path)?;
                }
                // It counts from here on, whatever fails yet.
                storing.stored();
                if durable {
                    File::open(objects)?.sync_all()?;
                }
            }
            Blobs::Bucket(bucket) => {
                let there = self.exists(object)?;
                // What is put there takes room, and goes by age where it does not become whole.
                storing.stored();
                if !there {
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

    /// Counts the objects that are there though nothing is recorded of them, until `stop` says so; how
    /// many. A power cut may take a record that was not flushed, and not the object, which was. May
    /// block.
    pub(super) fn count_unknown(&self, stop: &dyn Fn() -> bool) -> Result<usize, Refusal> {
        let mut counted = 0;
        for name in self.blobs.names("objects")? {
            let Ok(object) = name.parse::<Digest>() else {
                continue;
            };
            if stop() {
                break;
            }
            if self.kept.is_known(Table::Objects, &object)? {
                continue;
            }
            let manifest = self.blobs.read(&manifest_of(&object))?;
            let manifest = manifest.and_then(|bytes| Manifest::parse(&bytes).ok());
            if let Some(manifest) = manifest {
                // Who stored it is not known: a session that is open may need it.
                let found = kept_of(&manifest, true, None);
                let new = self.kept.found_stored(Table::Objects, &object, &found)?;
                counted += usize::from(new);
            }
        }
        Ok(counted)
    }

    /// The files an object is made of, and the folder they are in; none where they are in a bucket,
    /// which has stored what it took.
    pub(super) fn files_of(&self, object: &Digest, streams: usize) -> Vec<PathBuf> {
        let Blobs::Folder(folder) = &self.blobs else {
            return Vec::new();
        };
        let object_folder = format!("objects/{object}");
        let parts = [Part::File, Part::Digests].into_iter();
        let parts =
            parts.flat_map(|part| (0..streams).map(move |index| part_of(object, part, index)));
        let names = [object_folder, manifest_of(object)]
            .into_iter()
            .chain(parts);
        names.map(|name| folder.join(name)).collect()
    }

    /// Removes an object: first what it is found by. May block.
    pub(super) fn remove(&self, object: &Digest) -> Result<(), Refusal> {
        if self.record_of(object)?.is_some() {
            let gone = Change::remove(Table::Small, object.as_bytes());
            self.records.write(vec![gone])?;
        }
        match &self.blobs {
            Blobs::Folder(folder) => {
                let path = folder.join("objects").join(object.to_string());
                let removing = self.removing.join(format!("removed-{object}"));
                // What an earlier failure left.
                let _ = fs::remove_dir_all(&removing);
                match fs::rename(path, &removing) {
                    // Only its record was there.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    // What is left of it is removed at the next start.
                    other => Ok(other.and_then(|()| fs::remove_dir_all(removing))?),
                }
            }
            Blobs::Bucket(bucket) => {
                bucket.remove(&manifest_of(object))?;
                bucket.remove(&format!("objects/{object}"))
            }
        }
    }
}

/// What is known of an object that is stored now.
fn kept_of(manifest: &Manifest, output: bool, holder: Option<String>) -> Kept {
    let parts = [Part::File, Part::Digests].into_iter();
    let lengths = parts.flat_map(|part| {
        (0..manifest.stream_count()).map(move |index| length_of(part, manifest, index))
    });
    let now = now();
    Kept {
        bytes: lengths.sum(),
        stored: now,
        used: now,
        dataset: manifest.dataset().to_string(),
        output,
        holder,
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

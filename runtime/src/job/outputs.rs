//! Sealing what a job leaves: each output becomes an object under a key of its own.
//!
//! The bytes leave the enclave sealed while they are read, those of a small output in one request; the
//! object exists on the host only once its manifest is committed, and its key exists only here until a
//! receipt wraps it.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    mem,
    sync::Arc,
};

use bytes::Bytes;
use mc2_protocol::{
    DataKey, Digest, Manifest, Name, SecretKey,
    crypto::digest::Hasher,
    documents::storage::{Committed, UploadId},
    encoding::Hex,
    policy::Padding,
    sealed::{
        PartSink, SEGMENT_SIZE, Sealer, Writer, associated_data,
        manifest::{Content, ManifestError, MediaType, SealedStream},
        packed_folder_associated_data,
        small::{SmallObject, Stream},
    },
};
use mc2_wire::routes::{
    object_path, upload_commit_path, upload_digests_path, upload_file_path, upload_path,
};

use super::uploader::Uploader;
use crate::{random, storage::StorageError};

/// Sealed bytes that are sent at once.
const PART: usize = 1024 * 1024;

/// Why an output could not be sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// The host did not take it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A size that no object can have.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The host answered the commit with something else than the object's id.
    #[error("the host committed an output under another id than its manifest's")]
    Committed,
    /// The output is larger than its fixed padding.
    #[error("an output is longer than the {limit} bytes it is padded to")]
    Padding {
        /// What it is padded to, in bytes.
        limit: u64,
    },
}

/// An output that is sealed and stored.
pub(crate) struct SealedOutput {
    /// The object and its data key.
    pub(crate) key: DataKey,
    /// Its manifest.
    pub(crate) manifest: Manifest,
    /// Its plaintext length in bytes before padding.
    pub(crate) length: u64,
    /// SHA-256 of that plaintext.
    pub(crate) sha256: Digest,
}

/// What an output is; either way the host sees one stream of one padded length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One file.
    File,
    /// A folder: the table of its paths, then its files.
    Packed,
}

/// Seals one output while it is read.
pub(crate) struct OutputWriter {
    storage: Arc<Uploader>,
    upload: UploadId,
    name: Name,
    form: Form,
    key: SecretKey,
    padding: Padding,
    writer: Writer<Pending>,
    length: u64,
    sha256: Hasher,
}

impl OutputWriter {
    /// Starts the object of the output called `name` under a fresh key.
    pub(crate) fn new(storage: Arc<Uploader>, name: Name, form: Form, padding: Padding) -> Self {
        let key = SecretKey::generate(&mut random::rng());
        let associated_data = match form {
            Form::File => associated_data(&name),
            Form::Packed => packed_folder_associated_data(&name),
        };
        let sealer = Sealer::new(&key, &associated_data, SEGMENT_SIZE, &mut random::rng());
        Self {
            storage,
            upload: Hex(random::bytes()),
            name,
            form,
            key,
            padding,
            writer: Writer::new(sealer, PART, Pending::default()),
            length: 0,
            sha256: Hasher::default(),
        }
    }

    /// Seals the next plaintext.
    ///
    /// # Errors
    /// [`OutputError::Storage`].
    pub(crate) async fn write(&mut self, plaintext: &[u8]) -> Result<(), OutputError> {
        self.length += plaintext.len() as u64;
        self.sha256.update(plaintext);
        self.seal(plaintext).await
    }

    /// Pads the stream, ends it and stores the manifest: the object exists from here on.
    ///
    /// # Errors
    /// [`OutputError`].
    pub(crate) async fn commit(
        mut self,
        media_type: MediaType,
    ) -> Result<SealedOutput, OutputError> {
        self.pad().await?;
        let Self {
            storage,
            upload,
            name,
            form,
            key,
            writer,
            length,
            sha256,
            ..
        } = self;
        let (file, mut pending) = writer.finish().unwrap_or_else(too_long);
        let content = match form {
            Form::File => Content::File(SealedStream::new(&file)),
            Form::Packed => Content::Packed(SealedStream::new(&file)),
        };
        let manifest = Manifest::new(name.clone(), media_type, SEGMENT_SIZE, content, None)?;
        let bytes = manifest.to_bytes();
        let object = Digest::of(&bytes);
        let small = pending.whole().and_then(|sealed| {
            let stream = Stream {
                digests: &file.digests,
                file: sealed,
            };
            SmallObject::encode(&bytes, [stream])
        });
        match small {
            Some(small) => storage.put(&object_path(&object), small.into()).await?,
            None => {
                pending.send(&storage, &upload).await?;
                commit(&storage, &upload, &file.digests, bytes, &object).await?;
            }
        }
        Ok(SealedOutput {
            key: DataKey {
                dataset: name,
                object,
                secret: key,
            },
            manifest,
            length,
            sha256: sha256.finish(),
        })
    }

    /// Asks the host to drop what was sent of an output that will not be released.
    pub(crate) async fn discard(self) {
        // The host keeps only ciphertext whose key is gone; whether it tidies up is its own affair.
        let _ = self.storage.delete(&upload_path(&self.upload)).await;
    }

    async fn pad(&mut self) -> Result<(), OutputError> {
        let length = self.length;
        let limit = self.padding.most();
        let padded = self.padding.padded(length);
        let padded = padded.ok_or(OutputError::Padding { limit })?;
        let zeros = [0; 64 * 1024];
        let mut missing = padded - length;
        while missing > 0 {
            let now = missing.min(zeros.len() as u64) as usize;
            self.seal(&zeros[..now]).await?;
            missing -= now as u64;
        }
        Ok(())
    }

    async fn seal(&mut self, plaintext: &[u8]) -> Result<(), OutputError> {
        for piece in plaintext.chunks(PART) {
            self.writer.write_all(piece).unwrap_or_else(too_long);
            self.writer.sink().send(&self.storage, &self.upload).await?;
        }
        Ok(())
    }
}

/// Ends an upload whose sealed bytes were sent: the host has the object from here on.
async fn commit(
    storage: &Uploader,
    upload: &UploadId,
    digests: &[u8],
    manifest: Vec<u8>,
    object: &Digest,
) -> Result<(), OutputError> {
    for (part, bytes) in digests.chunks(PART).enumerate() {
        let target = upload_digests_path(upload, 0, (part * PART) as u64);
        storage.put(&target, Bytes::copy_from_slice(bytes)).await?;
    }
    let path = upload_commit_path(upload);
    let answer = storage.post(&path, manifest.into()).await?;
    let committed: Committed =
        serde_json::from_slice(&answer).map_err(|_| OutputError::Committed)?;
    if committed.object != *object {
        return Err(OutputError::Committed);
    }
    Ok(())
}

/// Sealed parts that wait to be sent.
#[derive(Default)]
struct Pending(VecDeque<(u64, Bytes)>);

impl PartSink for Pending {
    fn part(&mut self, offset: u64, part: &mut Vec<u8>) -> io::Result<()> {
        self.0.push_back((offset, mem::take(part).into()));
        Ok(())
    }
}

impl Pending {
    /// All of the file, where it is one part and nothing of it was sent.
    fn whole(&self) -> Option<&[u8]> {
        match self.0.front() {
            Some((0, part)) if self.0.len() == 1 => Some(part),
            _ => None,
        }
    }

    async fn send(&mut self, storage: &Uploader, upload: &UploadId) -> Result<(), OutputError> {
        while let Some((offset, part)) = self.0.pop_front() {
            storage
                .put(&upload_file_path(upload, 0, offset), part)
                .await?;
        }
        Ok(())
    }
}

/// Sealing into memory fails only after 2³² segments, which are 256 TiB: no output limit allows them.
fn too_long<T>(error: io::Error) -> T {
    unreachable!("{error}")
}

//! Sealing what a job leaves: each output becomes an object under a key of its own.
//!
//! The bytes leave the enclave sealed while they are read; the object exists on the host only once
//! its manifest is committed, and its key exists only here until a receipt wraps it.

use std::{convert::Infallible, sync::Arc};

use bytes::{Bytes, BytesMut};
use mc2_protocol::{
    Digest, Manifest, Name, SecretKey,
    encoding::Hex,
    manifest::{FileEntry, ManifestError, MediaType},
    policy::Padding,
    sealed::{SEGMENT_SIZE, Sealer, associated_data},
    storage::{
        Committed, UploadId, upload_commit_path, upload_digests_path, upload_file_path, upload_path,
    },
};

use crate::{
    random,
    storage::{Storage, StorageError},
};

/// Sealed bytes that are sent at once.
const PART: usize = 1024 * 1024;

/// Why an output could not be sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// The host did not take it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Paths or sizes that no object can have.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The host answered the commit with something else than the object's id.
    #[error("the host committed an output under another id than its manifest's")]
    Committed,
    /// The output is larger than its fixed padding.
    #[error("an output has {length} bytes, more than its fixed padding allows")]
    Padding {
        /// Its length in bytes.
        length: u64,
    },
}

/// An output that is sealed and stored.
pub(crate) struct SealedOutput {
    /// The object's id.
    pub(crate) object: Digest,
    /// Its manifest.
    pub(crate) manifest: Manifest,
    /// Its data key.
    pub(crate) key: SecretKey,
    /// Plaintext length of each file before padding, in the manifest's order.
    pub(crate) lengths: Vec<u64>,
}

/// Seals the files of one output, one after the other.
pub(crate) struct ObjectWriter {
    storage: Arc<Storage>,
    upload: UploadId,
    name: Name,
    key: SecretKey,
    padding: Padding,
    files: Vec<FileEntry>,
    lengths: Vec<u64>,
}

/// One file of an output while it is written.
pub(crate) struct FileWriter<'a> {
    object: &'a mut ObjectWriter,
    path: String,
    sealer: Sealer,
    pending: BytesMut,
    sent: u64,
    length: u64,
}

impl ObjectWriter {
    /// Starts the object of the output called `name` under a fresh key.
    pub(crate) fn new(storage: Arc<Storage>, name: Name, padding: Padding) -> Self {
        Self {
            storage,
            upload: Hex(random::bytes()),
            name,
            key: SecretKey::generate(&mut random::rng()),
            padding,
            files: Vec::new(),
            lengths: Vec::new(),
        }
    }

    /// Starts the next file; paths must come in order of their bytes.
    pub(crate) fn file(&mut self, path: String) -> FileWriter<'_> {
        let ad = associated_data(&self.name);
        let sealer = Sealer::new(&self.key, &ad, SEGMENT_SIZE, &mut random::rng());
        let pending = BytesMut::with_capacity(PART + 2 * SEGMENT_SIZE as usize);
        FileWriter {
            object: self,
            path,
            sealer,
            pending,
            sent: 0,
            length: 0,
        }
    }

    /// Stores the manifest: the object exists from here on.
    ///
    /// # Errors
    /// [`OutputError`].
    pub(crate) async fn commit(
        self,
        folder: bool,
        media_type: MediaType,
    ) -> Result<SealedOutput, OutputError> {
        let manifest = Manifest::new(
            self.name,
            media_type,
            folder,
            SEGMENT_SIZE,
            self.files,
            None,
        )?;
        let bytes = manifest.to_bytes();
        let object = Digest::of(&bytes);
        let answer = self
            .storage
            .post(&upload_commit_path(&self.upload), bytes.into())
            .await?;
        let committed: Committed =
            serde_json::from_slice(&answer).map_err(|_| OutputError::Committed)?;
        if committed.object != object {
            return Err(OutputError::Committed);
        }
        Ok(SealedOutput {
            object,
            manifest,
            key: self.key,
            lengths: self.lengths,
        })
    }

    /// Asks the host to drop what was sent of an output that will not be released.
    pub(crate) async fn discard(self) {
        // The host keeps only ciphertext whose key is gone; whether it tidies up is its own affair.
        let _ = self.storage.delete(&upload_path(&self.upload)).await;
    }
}

impl FileWriter<'_> {
    /// Seals the next plaintext.
    ///
    /// # Errors
    /// [`OutputError::Storage`].
    pub(crate) async fn write(&mut self, plaintext: &[u8]) -> Result<(), OutputError> {
        self.length += plaintext.len() as u64;
        self.seal(plaintext).await
    }

    /// Pads and ends the file.
    ///
    /// # Errors
    /// [`OutputError`].
    pub(crate) async fn finish(mut self) -> Result<(), OutputError> {
        let length = self.length;
        let padded = self
            .object
            .padding
            .padded(length)
            .ok_or(OutputError::Padding { length })?;
        let zeros = [0; 64 * 1024];
        let mut missing = padded - length;
        while missing > 0 {
            let now = missing.min(zeros.len() as u64) as usize;
            self.seal(&zeros[..now]).await?;
            missing -= now as u64;
        }
        let Self {
            object,
            path,
            sealer,
            mut pending,
            sent,
            ..
        } = self;
        let index = object.files.len();
        let Ok(file) = sealer.finish(|bytes| append(&mut pending, bytes));
        let storage = Arc::clone(&object.storage);
        let target = upload_file_path(&object.upload, index, sent);
        storage.put(&target, pending.freeze()).await?;
        for (part, bytes) in file.digests.chunks(PART).enumerate() {
            let target = upload_digests_path(&object.upload, index, (part * PART) as u64);
            storage.put(&target, Bytes::copy_from_slice(bytes)).await?;
        }
        object.files.push(FileEntry::new(path, &file));
        object.lengths.push(length);
        Ok(())
    }

    async fn seal(&mut self, plaintext: &[u8]) -> Result<(), OutputError> {
        for piece in plaintext.chunks(PART) {
            let pending = &mut self.pending;
            let Ok(()) = self.sealer.write(piece, |bytes| append(pending, bytes));
            if self.pending.len() >= PART {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), OutputError> {
        let index = self.object.files.len();
        let bytes = self.pending.split().freeze();
        let target = upload_file_path(&self.object.upload, index, self.sent);
        self.sent += bytes.len() as u64;
        self.object.storage.put(&target, bytes).await?;
        Ok(())
    }
}

fn append(pending: &mut BytesMut, bytes: &[u8]) -> Result<(), Infallible> {
    pending.extend_from_slice(bytes);
    Ok(())
}

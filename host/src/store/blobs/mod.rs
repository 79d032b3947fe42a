//! Whole files under names: objects, components and receipts, in the host's folder or in a bucket.
//!
//! A name appears when all its bytes are there. In the folder that is a rename, and reads are reads
//! of a file; in a bucket it is the end of an upload, and what an object is made of is there before
//! its manifest, without which nobody finds it.

mod bucket;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use tempfile::NamedTempFile;

pub use bucket::BucketError;
use bucket::{Bucket, BucketBlob};

use super::files::{persist, private_folder, write_through};
use crate::{
    config::Storage,
    refusal::Refusal,
    transfer::outgoing::{Buffers, send_bytes, send_file},
};

/// Where files are kept; a clone is the same place.
#[derive(Clone)]
pub(crate) enum Blobs {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket.
    Bucket(Bucket),
}

/// A file that was found, or may be found in a bucket when it is sent.
pub(crate) enum Blob {
    /// Of this machine.
    File(File),
    /// Of a bucket.
    Bucket(BucketBlob),
    /// All its bytes.
    Bytes(Bytes),
}

impl Blobs {
    /// The bucket, where one is stated, or else the folder. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`BucketError`].
    pub(crate) fn open(folder: &Path, storage: Option<&Storage>) -> Result<Self, BucketError> {
        match storage {
            None => Ok(Self::Folder(folder.to_owned())),
            Some(storage) => Bucket::open(storage).map(Self::Bucket),
        }
    }

    /// The file of this name; `None` where there is none for certain.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Blob>, Refusal> {
        match self {
            Self::Folder(folder) => Ok(found(File::open(folder.join(name)))?.map(Blob::File)),
            Self::Bucket(bucket) => Ok(Some(Blob::Bucket(bucket.blob(name)))),
        }
    }

    /// Whether there is a file of this name. May block.
    pub(crate) fn exists(&self, name: &str) -> Result<bool, Refusal> {
        match self {
            Self::Folder(folder) => Ok(fs::exists(folder.join(name))?),
            Self::Bucket(bucket) => Ok(bucket.length(name)?.is_some()),
        }
    }

    /// The names of what lies in a folder. May block.
    pub(crate) fn names(&self, folder: &str) -> Result<Vec<String>, Refusal> {
        match self {
            Self::Folder(root) => {
                let mut names = Vec::new();
                for entry in found(fs::read_dir(root.join(folder)))?
                    .into_iter()
                    .flatten()
                {
                    names.extend(entry?.file_name().into_string().ok());
                }
                Ok(names)
            }
            Self::Bucket(bucket) => bucket.names(folder),
        }
    }

    /// How many bytes the file of this name has; `None` where there is none. May block.
    pub(crate) fn length(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self {
            Self::Folder(folder) => {
                Ok(found(fs::metadata(folder.join(name)))?.map(|metadata| metadata.len()))
            }
            Self::Bucket(bucket) => bucket.length(name),
        }
    }

    /// All bytes of a small file. May block.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Bytes>, Refusal> {
        match self {
            Self::Folder(folder) => Ok(found(fs::read(folder.join(name)))?.map(Bytes::from)),
            Self::Bucket(bucket) => bucket.read(name),
        }
    }

    /// Stores a small file, which in a folder is not flushed: its path is said, for the one who
    /// does. May block.
    pub(crate) fn put(&self, name: &str, bytes: Bytes) -> Result<Option<PathBuf>, Refusal> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let parent = path.parent().unwrap_or(folder);
                match write_through(folder, &path, &bytes) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        private_folder(parent)?;
                        write_through(folder, &path, &bytes)?;
                    }
                    other => other?,
                }
                Ok(Some(path))
            }
            Self::Bucket(bucket) => bucket.put(name, bytes).map(|()| None),
        }
    }

    /// Stores a file that was received. May block.
    pub(crate) fn keep(
        &self,
        name: &str,
        file: NamedTempFile,
        durable: bool,
    ) -> Result<(), Refusal> {
        match self {
            Self::Folder(folder) => Ok(persist(file, &folder.join(name), durable)?),
            Self::Bucket(bucket) => bucket.put_file(name, &mut file.reopen()?),
        }
    }

    /// Removes the file of this name, or all below it. May block.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Refusal> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let removed = match fs::remove_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                        fs::remove_dir_all(&path)
                    }
                    other => other,
                };
                Ok(found(removed).map(drop)?)
            }
            Self::Bucket(bucket) => bucket.remove(name),
        }
    }
}

impl Blob {
    /// The file as an answer, or the one range of it that was asked for.
    ///
    /// # Errors
    /// 404 with what `missing` says, 416, or the file cannot be read.
    pub(crate) async fn send(
        self,
        headers: &HeaderMap,
        buffers: &Buffers,
        longest: u64,
        missing: impl FnOnce() -> String,
    ) -> Result<Response, Refusal> {
        match self {
            Self::File(file) => send_file(file, headers, buffers, longest),
            Self::Bytes(bytes) => Ok(send_bytes(&bytes, headers, longest)),
            Self::Bucket(blob) => blob
                .send(headers, longest)
                .await?
                .ok_or_else(|| Refusal::not_found("not-found", missing())),
        }
    }
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

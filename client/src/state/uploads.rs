//! The versions of datasets that were uploaded from here, and those that are on their way.

use std::{fs, io, path::PathBuf};

use mc2_protocol::{Digest, Name, documents::storage::UploadId, encoding::to_json};
use serde::{Deserialize, Serialize};

use super::{State, error::StateError, submissions::read_record};
use crate::files::{failed, write_private};

const WHAT: &str = "record of an upload";
const MAX_LEN: usize = 4096;

/// A version of a dataset at a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    version: u32,
    /// SHA-256 of its manifest.
    pub object: Digest,
    /// The dataset it is a version of.
    pub dataset: Name,
    /// Digest of the card it was sealed for.
    pub owner: Digest,
    /// The host, as it was named here.
    pub host: String,
    /// Bytes of plaintext.
    pub length: u64,
    /// When it was stored there, in milliseconds since 1970 by this machine's clock.
    pub time: u64,
}

/// An upload that was begun and of which nobody heard that it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    version: u32,
    /// SHA-256 of the object's manifest.
    pub object: Digest,
    /// The host, as it was named here.
    pub host: String,
    /// By which the host knows it.
    pub upload: UploadId,
}

impl Begun {
    /// The upload of `object` to `host` under this id.
    pub const fn new(object: Digest, host: String, upload: UploadId) -> Self {
        Self {
            version: mc2_protocol::VERSION,
            object,
            host,
            upload,
        }
    }
}

impl Upload {
    /// A version of `dataset` that was stored at `host`.
    pub const fn new(
        object: Digest,
        dataset: Name,
        owner: Digest,
        host: String,
        length: u64,
        time: u64,
    ) -> Self {
        Self {
            version: mc2_protocol::VERSION,
            object,
            dataset,
            owner,
            host,
            length,
            time,
        }
    }
}

impl State {
    /// Notes that an object is at a host.
    ///
    /// # Errors
    /// The system's.
    pub fn store_upload(&self, upload: &Upload) -> Result<(), StateError> {
        let folder = self.folder("uploads")?;
        let path = folder.join(format!("{}.json", upload.object));
        Ok(write_private(&path, &to_json(upload))?)
    }

    /// Keeps an upload before its first part leaves, in place of one of the same object to another
    /// host.
    ///
    /// # Errors
    /// The system's.
    pub fn store_begun(&self, begun: &Begun) -> Result<(), StateError> {
        self.folder("begun")?;
        Ok(write_private(
            &self.begun_path(&begun.object),
            &to_json(begun),
        )?)
    }

    /// The upload of an object to this host that did not end, if one was begun.
    ///
    /// # Errors
    /// The system's, or a file that is no such thing.
    pub fn begun(&self, object: &Digest, host: &str) -> Result<Option<UploadId>, StateError> {
        let begun: Option<Begun> = read_record(&self.begun_path(object), WHAT, MAX_LEN)?;
        let own = begun.filter(|begun| begun.object == *object && begun.host == host);
        Ok(own.map(|begun| begun.upload))
    }

    /// An upload has ended.
    ///
    /// # Errors
    /// The system's.
    pub fn forget_begun(&self, object: &Digest) -> Result<(), StateError> {
        let path = self.begun_path(object);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path)(error).into())
            }
            _ => Ok(()),
        }
    }

    fn begun_path(&self, object: &Digest) -> PathBuf {
        self.root.join("begun").join(format!("{object}.json"))
    }

    /// Every version that was uploaded from here, the newest first.
    ///
    /// # Errors
    /// The system's, or a file that is no record of an upload.
    pub fn uploads(&self) -> Result<Vec<Upload>, StateError> {
        let mut all: Vec<Upload> = Vec::new();
        for name in self.names_in("uploads")? {
            let path = self.root.join("uploads").join(name);
            all.extend(read_record(&path, WHAT, MAX_LEN)?);
        }
        all.sort_by_key(|upload| std::cmp::Reverse(upload.time));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_listed_the_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        let upload = |text: &str, time| {
            let (object, owner) = (Digest::of(text.as_bytes()), Digest::of(b"me"));
            let dataset = "data".parse().unwrap();
            Upload::new(object, dataset, owner, "unix:/x".to_owned(), 3, time)
        };
        let (old, new) = (upload("old", 1), upload("new", 2));
        state.store_upload(&new).unwrap();
        state.store_upload(&old).unwrap();
        assert_eq!(state.uploads().unwrap(), [new, old]);
    }
}

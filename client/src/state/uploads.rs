//! The versions of datasets that were uploaded from here.

use mc2_protocol::{Digest, Name, encoding::to_json};
use serde::{Deserialize, Serialize};

use super::{State, error::StateError, submissions::read_record};
use crate::files::write_private;

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

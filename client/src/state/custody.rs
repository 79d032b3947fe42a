//! The keys in this person's custody, apart from those of own data: nothing that opens looks here.

use std::{io, path::PathBuf};

use mc2_protocol::Digest;
use zeroize::Zeroizing;

use super::{State, error::StateError};
use crate::{
    custody::CustodyKey,
    files::{read_capped, write_private},
};

const MAX_LEN: usize = 64 * 1024;

impl State {
    /// Keeps a key in custody, and returns when it is stored.
    ///
    /// # Errors
    /// The system's.
    pub fn store_custody_key(&self, key: &CustodyKey) -> Result<(), StateError> {
        self.folder("custody")?;
        let path = self.custody_path(&key.object);
        Ok(write_private(&path, &key.to_bytes())?)
    }

    /// The key of `object`, where it is in this person's custody.
    ///
    /// # Errors
    /// The system's, or a file that is no such key.
    pub fn custody_key(&self, object: &Digest) -> Result<Option<CustodyKey>, StateError> {
        let path = self.custody_path(object);
        let bytes = match read_capped(&path, MAX_LEN) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => Zeroizing::new(bytes?),
        };
        let broken = |reason: String| StateError::Record {
            path: path.clone(),
            what: "key in custody",
            reason,
        };
        let key = CustodyKey::parse(&bytes).map_err(|error| broken(error.to_string()))?;
        if key.object != *object {
            return Err(broken("it is another object's".to_owned()));
        }
        Ok(Some(key))
    }

    fn custody_path(&self, object: &Digest) -> PathBuf {
        self.root.join("custody").join(format!("{object}.json"))
    }
}

//! The keys in this person's custody, apart from those of own data: nothing that opens looks here.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use mc2_protocol::{
    Digest, Name,
    documents::{
        dsse::Envelope,
        receipt::{self, Statement},
    },
};
use zeroize::Zeroizing;

use super::{
    State,
    error::StateError,
    submissions::{broken, read_record},
};
use crate::{
    custody::CustodyKey,
    files::{read_capped, write_private},
};

const MAX_LEN: usize = 64 * 1024;
const WHAT: &str = "key in custody";
const ENDING: &str = ".json";

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
        let key = CustodyKey::parse(&bytes);
        let key = key.map_err(|error| broken(path.clone(), WHAT, &error.to_string()))?;
        if key.object != *object {
            return Err(broken(path, WHAT, "it is another object's"));
        }
        Ok(Some(key))
    }

    /// Every key in this person's custody.
    ///
    /// # Errors
    /// The system's, or a file that is no such key.
    pub fn custody_keys(&self) -> Result<Vec<CustodyKey>, StateError> {
        let mut keys = Vec::new();
        for name in self.stems_in("custody", ENDING)? {
            if let Ok(object) = name.parse() {
                keys.extend(self.custody_key(&object)?);
            }
        }
        keys.sort_by(|a, b| (&a.policy, &a.output).cmp(&(&b.policy, &b.output)));
        Ok(keys)
    }

    /// The versions of an output in custody that are known here: those whose keys are kept, and
    /// those that receipts name which are kept here of jobs of the same policy. Those receipts were
    /// verified before they were kept.
    ///
    /// # Errors
    /// The system's, or a file that is no key or receipt.
    pub fn versions_in_custody(
        &self,
        policy: &Digest,
        output: &Name,
    ) -> Result<BTreeSet<Digest>, StateError> {
        let keys = self.custody_keys()?.into_iter();
        let own = keys.filter(|key| key.policy == *policy && key.output == *output);
        let mut versions: BTreeSet<Digest> = own.map(|key| key.object).collect();
        for name in self.stems_in("receipts", ENDING)? {
            let path = self.root.join("receipts").join(format!("{name}{ENDING}"));
            versions.extend(left_in_custody(&path, policy, output)?);
        }
        Ok(versions)
    }

    fn custody_path(&self, object: &Digest) -> PathBuf {
        self.root.join("custody").join(format!("{object}{ENDING}"))
    }
}

/// The object that a kept receipt names as left in custody under this name, if it is of this policy.
fn left_in_custody(
    path: &Path,
    policy: &Digest,
    output: &Name,
) -> Result<Option<Digest>, StateError> {
    let envelope: Option<Envelope> = read_record(path, "receipt", 2 * receipt::MAX_LEN)?;
    let Some(envelope) = envelope else {
        return Ok(None);
    };
    let receipt = Statement::claimed(&envelope)
        .map_err(|error| broken(path.to_owned(), "receipt", &error.to_string()))?
        .predicate;
    if Digest::of(receipt.policy.as_slice()) != *policy {
        return Ok(None);
    }
    let mut left = receipt.custody.iter().filter(|one| one.name == *output);
    Ok(left.next().map(|one| one.object))
}

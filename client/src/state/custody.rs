//! The keys in this person's custody, apart from those of own data: nothing that opens looks here.

use std::{collections::BTreeSet, io, path::PathBuf};

use mc2_protocol::{Digest, Name, encoding::to_json};
use serde::{Deserialize, Serialize};

use super::{
    State,
    error::StateError,
    submissions::{broken, read_record},
};
use crate::{
    custody::CustodyKey,
    files::{read_secret, write_private},
};

const MAX_LEN: usize = 64 * 1024;
const WHAT: &str = "key in custody";
const ENDING: &str = ".json";
/// Where it is noted what is in custody of whomever.
const NOTES: &str = "in-custody";

/// A version of an output in custody.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    version: u32,
    policy: Digest,
    output: Name,
    object: Digest,
}

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
        let bytes = match read_secret(&path, MAX_LEN) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
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

    /// Notes that a job under this policy left an object in custody by this name: what a verified
    /// receipt says, whoever keeps the key.
    ///
    /// # Errors
    /// The system's.
    pub fn note_in_custody(
        &self,
        policy: &Digest,
        output: &Name,
        object: &Digest,
    ) -> Result<(), StateError> {
        let note = Note {
            version: mc2_protocol::VERSION,
            policy: *policy,
            output: output.clone(),
            object: *object,
        };
        let folder = self.folder(NOTES)?;
        let path = folder.join(format!("{object}{ENDING}"));
        Ok(write_private(&path, &to_json(&note))?)
    }

    /// The versions of an output in custody that receipts named which were kept here.
    ///
    /// # Errors
    /// The system's, or a file that is no such note.
    pub fn versions_in_custody(
        &self,
        policy: &Digest,
        output: &Name,
    ) -> Result<BTreeSet<Digest>, StateError> {
        let mut versions = BTreeSet::new();
        for name in self.stems_in(NOTES, ENDING)? {
            let path = self.root.join(NOTES).join(format!("{name}{ENDING}"));
            let note: Option<Note> = read_record(&path, "note of an output in custody", MAX_LEN)?;
            let note = note.filter(|note| note.policy == *policy && note.output == *output);
            versions.extend(note.map(|note| note.object));
        }
        Ok(versions)
    }

    fn custody_path(&self, object: &Digest) -> PathBuf {
        self.root.join("custody").join(format!("{object}{ENDING}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_in_custody_is_known_under_its_policy_and_name_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        let [policy, other, one, two] = [b"p", b"q", b"1", b"2"].map(|text| Digest::of(text));
        let (model, scores): (Name, Name) = ("model".parse().unwrap(), "scores".parse().unwrap());
        let known = |policy, output| state.versions_in_custody(policy, output).unwrap();
        assert_eq!(known(&policy, &model), BTreeSet::new());
        for object in [&one, &two, &one] {
            state.note_in_custody(&policy, &model, object).unwrap();
        }
        assert_eq!(known(&policy, &model), BTreeSet::from([one, two]));
        assert_eq!(known(&other, &model), BTreeSet::new());
        assert_eq!(known(&policy, &scores), BTreeSet::new());
    }
}

//! What no further key is released of from this folder.
//!
//! A key that was released cannot be called back: the session that has it keeps it until it ends.

use std::fmt;

use mc2_protocol::{Digest, Name, encoding::to_json};
use serde::{Deserialize, Serialize};

use super::{State, error::StateError, submissions::read_record};
use crate::files::write_private;

const WHAT: &str = "note of a revocation";
const MAX_LEN: usize = 4096;

/// Something that is revoked: a dataset in all its versions, one object, or a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Revoked {
    /// Every version of the dataset of this name.
    Dataset(Name),
    /// The object of this id.
    Object(Digest),
    /// Whatever is asked for by the session of this digest.
    Session(Digest),
}

/// When something was revoked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    version: u32,
    revoked: Revoked,
    /// Seconds since 1970 by this machine's clock.
    time: u64,
}

impl State {
    /// Releases no further key of this from here, from when it is stored on.
    ///
    /// # Errors
    /// The system's.
    pub fn revoke(&self, what: &Revoked, time: u64) -> Result<(), StateError> {
        let folder = self.folder("revoked")?;
        let note = Note {
            version: mc2_protocol::VERSION,
            revoked: what.clone(),
            time,
        };
        Ok(write_private(&folder.join(what.file()), &to_json(&note))?)
    }

    /// What keeps a key from going to a session: it is revoked, or its dataset or object is.
    ///
    /// # Errors
    /// The system's, or a note that is none.
    pub fn revoked(
        &self,
        session: &Digest,
        dataset: &Name,
        object: &Digest,
    ) -> Result<Option<Revoked>, StateError> {
        let asked = [
            Revoked::Session(*session),
            Revoked::Dataset(dataset.clone()),
            Revoked::Object(*object),
        ];
        for what in asked {
            let path = self.root.join("revoked").join(what.file());
            let note: Option<Note> = read_record(&path, WHAT, MAX_LEN)?;
            if note.is_some() {
                return Ok(Some(what));
            }
        }
        Ok(None)
    }

    /// Everything that was revoked here, with when.
    ///
    /// # Errors
    /// The system's, or a note that is none.
    pub fn revocations(&self) -> Result<Vec<(Revoked, u64)>, StateError> {
        let mut all = Vec::new();
        for name in self.names_in("revoked")? {
            let path = self.root.join("revoked").join(name);
            let note: Option<Note> = read_record(&path, WHAT, MAX_LEN)?;
            all.extend(note.map(|note| (note.revoked, note.time)));
        }
        all.sort_by_key(|(_, time)| *time);
        Ok(all)
    }
}

impl Revoked {
    fn file(&self) -> String {
        match self {
            Self::Dataset(name) => format!("dataset-{name}.json"),
            Self::Object(object) => format!("object-{object}.json"),
            Self::Session(session) => format!("session-{session}.json"),
        }
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset(name) => write!(f, "the dataset {name}"),
            Self::Object(object) => write!(f, "the object {object}"),
            Self::Session(session) => write!(f, "the session {session}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_revoked_is_found_by_session_dataset_or_object() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        let (session, object) = (Digest::of(b"session"), Digest::of(b"object"));
        let other = Digest::of(b"other");
        let (data, more): (Name, Name) = ("data".parse().unwrap(), "more".parse().unwrap());
        assert_eq!(state.revoked(&session, &data, &object).unwrap(), None);
        for (what, session, dataset, object) in [
            (Revoked::Dataset(data.clone()), &other, &data, &other),
            (Revoked::Object(object), &other, &more, &object),
            (Revoked::Session(session), &session, &more, &other),
        ] {
            assert_eq!(state.revoked(session, dataset, object).unwrap(), None);
            state.revoke(&what, 5).unwrap();
            let found = state.revoked(session, dataset, object).unwrap();
            assert_eq!(found, Some(what));
        }
        assert_eq!(state.revoked(&other, &more, &other).unwrap(), None);
        assert_eq!(state.revocations().unwrap().len(), 3);
    }
}

//! What no further key is released of from this folder.
//!
//! A key that was released cannot be called back: the session that has it keeps it until it ends.

use std::fs::File;

use mc2_protocol::{Digest, Name, encoding::to_json};
use serde::{Deserialize, Serialize};

use super::{
    State,
    error::StateError,
    revoked::{KeyRevoked, Revoked},
    submissions::read_record,
};
use crate::files::{lock, lock_shared, write_private};

const WHAT: &str = "note of a revocation";
const MAX_LEN: usize = 4096;
/// Held by all who release, together, and by who revokes alone.
const LOCK: &str = "lock";

/// Keys are being released: nothing is revoked before this is dropped.
pub struct Releasing {
    /// The lock is the open file's.
    _lock: File,
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
    /// Releases no further key of this from here. It holds from when it is stored, and what was being
    /// released then has left, or has failed, when this returns.
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
        write_private(&folder.join(what.file()), &to_json(&note))?;
        self.await_releases()
    }

    /// Waits until what is being released now has left, or has failed.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn await_releases(&self) -> Result<(), StateError> {
        lock(&self.folder("revoked")?.join(LOCK))?;
        Ok(())
    }

    /// Lets keys of these versions of datasets go to a session while nothing of them is revoked: who
    /// revokes some meanwhile waits until what is returned is dropped. Any number may have it at once,
    /// in one process too, and hold it while they wait for a host.
    ///
    /// # Errors
    /// [`StateError::Revoked`], or the system's.
    pub fn releasing<'k>(
        &self,
        session: &Digest,
        keys: impl IntoIterator<Item = (&'k Name, &'k Digest)>,
    ) -> Result<Releasing, StateError> {
        let held = lock_shared(&self.folder("revoked")?.join(LOCK))?;
        for (dataset, object) in keys {
            self.refuse_revoked(session, dataset, object)?;
        }
        Ok(Releasing { _lock: held })
    }

    /// Refuses the release of a key to a session where something of it was revoked.
    ///
    /// # Errors
    /// [`StateError::Revoked`], or the system's.
    pub fn refuse_revoked(
        &self,
        session: &Digest,
        dataset: &Name,
        object: &Digest,
    ) -> Result<(), StateError> {
        self.revoked(session, dataset, object)?
            .map_or(Ok(()), |what| {
                let (dataset, session, object) = (dataset.clone(), *session, *object);
                Err(StateError::Revoked(Box::new(KeyRevoked {
                    session,
                    dataset,
                    object,
                    what,
                })))
            })
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
            if name == LOCK {
                continue;
            }
            let path = self.root.join("revoked").join(name);
            let note: Option<Note> = read_record(&path, WHAT, MAX_LEN)?;
            all.extend(note.map(|note| (note.revoked, note.time)));
        }
        all.sort_by_key(|(_, time)| *time);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_release_at_once_and_who_revokes_waits_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        let (session, object) = (Digest::of(b"session"), Digest::of(b"object"));
        let data: Name = "data".parse().unwrap();
        let releasing = || state.releasing(&session, [(&data, &object)]);
        let held = [releasing().unwrap(), releasing().unwrap()];
        let other = State::at(folder.path().join("mc2"));
        let what = Revoked::Object(object);
        let (sender, revoked) = std::sync::mpsc::channel();
        let revoking = std::thread::spawn(move || sender.send(other.revoke(&what, 5)));
        while state.revoked(&session, &data, &object).unwrap().is_none() {
            std::thread::yield_now();
        }
        // It holds for all who come from now on.
        assert!(matches!(releasing(), Err(StateError::Revoked(_))));
        // Longer than it would take, had it nothing to wait for.
        let early = revoked.recv_timeout(std::time::Duration::from_millis(300));
        assert!(early.is_err(), "it did not wait");
        drop(held);
        revoked.recv().unwrap().unwrap();
        revoking.join().unwrap().unwrap();
    }

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
            let refused = state.refuse_revoked(session, dataset, object);
            assert!(matches!(refused, Err(StateError::Revoked(_))));
            let found = state.revoked(session, dataset, object).unwrap();
            assert_eq!(found, Some(what));
        }
        assert_eq!(state.revoked(&other, &more, &other).unwrap(), None);
        assert_eq!(state.revocations().unwrap().len(), 3);
    }
}

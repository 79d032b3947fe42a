//! Which version of a dataset was given to a session, and of which files it was made: a run that joins
//! the session again gives it no other while these are the same.

use mc2_protocol::{Digest, Name, encoding::to_json};
use serde::{Deserialize, Serialize};

use super::{State, error::StateError, submissions::read_record};
use crate::files::write_private;

const WHAT: &str = "note of a version given to a session";
const MAX_LEN: usize = 4096;

/// A version of a dataset that was given to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    version: u32,
    /// The object.
    pub object: Digest,
    /// The files it was made of, as [`Source::mark`](crate::seal::source::Source::mark) tells them
    /// from what they become.
    pub mark: Digest,
}

impl Given {
    /// This object, made of these files.
    pub const fn new(object: Digest, mark: Digest) -> Self {
        Self {
            version: mc2_protocol::VERSION,
            object,
            mark,
        }
    }
}

impl State {
    /// Notes what is about to be given to a session, in place of what was noted of this dataset.
    ///
    /// # Errors
    /// The system's.
    pub fn store_given(
        &self,
        session: &Digest,
        dataset: &Name,
        given: &Given,
    ) -> Result<(), StateError> {
        let path = self.session_folder(session)?.join(file_of(dataset));
        Ok(write_private(&path, &to_json(given))?)
    }

    /// What was noted of a dataset and a session, if anything.
    ///
    /// # Errors
    /// The system's, or a file that is no such thing.
    pub fn given(&self, session: &Digest, dataset: &Name) -> Result<Option<Given>, StateError> {
        let path = self.session_path(session).join(file_of(dataset));
        read_record(&path, WHAT, MAX_LEN)
    }
}

fn file_of(dataset: &Name) -> String {
    format!("given-{}.json", Digest::of(dataset.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_found_by_session_and_dataset_and_the_last_counts() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        let [one, other] = [b"one  ", b"other"].map(|name| Digest::of(name));
        let (data, more): (Name, Name) = ("data".parse().unwrap(), "more".parse().unwrap());
        assert_eq!(state.given(&one, &data).unwrap(), None);
        let given = |text: &[u8]| Given::new(Digest::of(text), Digest::of(b"mark"));
        for last in [given(b"first"), given(b"second")] {
            state.store_given(&one, &data, &last).unwrap();
            assert_eq!(state.given(&one, &data).unwrap(), Some(last));
        }
        assert_eq!(state.given(&one, &more).unwrap(), None);
        assert_eq!(state.given(&other, &data).unwrap(), None);
    }
}

//! Something of which no further key is released.

use std::fmt;

use mc2_protocol::{Digest, Name};
use serde::{Deserialize, Serialize};

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

impl Revoked {
    /// The name of the file that notes it.
    pub(super) fn file(&self) -> String {
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

/// A key that does not go to a session.
#[derive(Debug, thiserror::Error)]
#[error(
    "no key of object {object} of {dataset} was released to session {session}: {what} was revoked \
     here"
)]
pub struct KeyRevoked {
    /// The session that would get it.
    pub session: Digest,
    /// The dataset.
    pub dataset: Name,
    /// Its version.
    pub object: Digest,
    /// What was revoked.
    pub what: Revoked,
}

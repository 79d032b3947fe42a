//! The versions of datasets a broker holds the keys of, and how an owner gives it one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use mc2_protocol::{
    Card, DataKey, Digest, Identity, Name, SecretKey,
    encoding::{parse_json, to_json},
    policy::Policy,
};
use serde::{Deserialize, Serialize};

use super::{
    error::BrokerError,
    folder::{Broker, Folder, record},
    handover::{self, Handover, Version},
};
use crate::{
    files::{failed, read_capped, write_private},
    keys::Wrapped,
    party::Parties,
    seal::object::{LocalObject, key_for},
    state::{
        State,
        ledger::{Added, Entry, Removed},
    },
};

const VERSIONS: &str = "versions";
const ENDING: &str = ".json";
const MAX_LEN: usize = 32 * 1024;
const PURPOSE: &str = "a broker's data key";

/// A version of a dataset, without its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The dataset.
    pub dataset: Name,
    /// Digest of the owner's card.
    pub owner: Digest,
    /// Which version it is.
    pub number: u64,
    /// The object.
    pub object: Digest,
}

/// As it lies in the folder.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    dataset: Name,
    owner: Digest,
    number: u64,
    object: Digest,
    key: Wrapped,
}

/// Signs a sealed object as version `number` of its dataset and seals its key to a broker: the file
/// [`handover::FILE`] in the object's folder, whose path is returned.
///
/// # Errors
/// The owner has no key to it, or the system's.
pub fn give(
    state: &State,
    owner: &Identity,
    sealed: &Path,
    broker: &Card,
    number: u64,
) -> Result<PathBuf, BrokerError> {
    if number == 0 {
        return Err(BrokerError::NoNumber);
    }
    let object = LocalObject::read(sealed)?;
    let key = key_for(&object, state, owner)?.ok_or_else(|| BrokerError::NoKey {
        identity: owner.card().name().clone(),
        object: *object.id(),
    })?;
    let made = Handover::new(owner, broker, *object.id(), object.manifest(), number, &key);
    let path = sealed.join(handover::FILE);
    write_private(&path, &made.to_bytes())?;
    Ok(path)
}

impl Broker {
    /// Takes the version that an owner gave: of a sealed object's folder its manifest and its
    /// handover are read, nothing else.
    ///
    /// # Errors
    /// Its owner is not known here or did not sign it, the key is another, or a newer version was
    /// taken before.
    pub fn add(&self, sealed: &Path, now: SystemTime) -> Result<Held, BrokerError> {
        self.folder.check_marked()?;
        let object = LocalObject::read(sealed)?;
        let bytes = read_capped(&sealed.join(handover::FILE), handover::MAX_LEN)?;
        let handover = Handover::parse(&bytes)?;
        let parties = Parties::load(self.folder.state())?;
        let mut known = parties.others().iter();
        let owner = known
            .find(|card| card.digest() == handover.owner())
            .ok_or_else(|| BrokerError::UnknownOwner {
                owner: *handover.owner(),
            })?;
        let version = handover.open(object.id(), object.manifest(), owner, &self.identity)?;
        let added = Added {
            owner: version.owner,
            dataset: version.dataset.clone(),
            object: version.object,
            number: version.number,
        };
        // First: of a version that is refused no key is kept.
        self.folder.ledger()?.note(Entry::Added(added), now)?;
        self.keep(&version)?;
        let Version {
            dataset,
            owner,
            object,
            number,
            ..
        } = version;
        Ok(Held {
            dataset,
            owner,
            number,
            object,
        })
    }

    /// The key that may be released for `dataset` under `policy`: of the version that the policy
    /// pins, or of the newest there ever was.
    ///
    /// # Errors
    /// There is none, or [`BrokerError`].
    pub(super) fn key_for(&self, policy: &Policy, dataset: &Name) -> Result<DataKey, BrokerError> {
        let none = |object| BrokerError::NoVersion {
            dataset: dataset.clone(),
            object,
        };
        let rule = policy.dataset(dataset).ok_or_else(|| none(None))?;
        let object = match rule.object {
            Some(pinned) => pinned,
            None => {
                let ledger = self.folder.ledger()?;
                let newest = ledger.newest(rule.owner.digest(), dataset)?;
                newest.ok_or_else(|| none(None))?.object
            }
        };
        let Some(stored) = self.folder.stored(&object)? else {
            return Err(none(Some(object)));
        };
        if stored.dataset != *dataset || stored.owner != *rule.owner.digest() {
            return Err(none(Some(object)));
        }
        let purpose = purpose(&stored.dataset, &stored.owner, &object);
        let secret = self.keeper.unwrap(&purpose, &stored.key)?;
        let secret = SecretKey::from_slice(&secret).ok_or_else(|| none(Some(object)))?;
        Ok(DataKey {
            dataset: dataset.clone(),
            object,
            secret,
        })
    }

    fn keep(&self, version: &Version) -> Result<(), BrokerError> {
        let Version {
            dataset,
            owner,
            object,
            number,
            secret,
        } = version;
        let purpose = purpose(dataset, owner, object);
        let stored = Stored {
            version: mc2_protocol::VERSION,
            dataset: dataset.clone(),
            owner: *owner,
            number: *number,
            object: *object,
            key: self.keeper.wrap(&purpose, secret.expose())?,
        };
        self.folder.state().folder(VERSIONS)?;
        Ok(write_private(
            &self.folder.version_path(object),
            &to_json(&stored),
        )?)
    }
}

impl Folder {
    /// The versions whose keys are held.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn versions(&self) -> Result<Vec<Held>, BrokerError> {
        let names = self.state().stems_in(VERSIONS, ENDING)?;
        let objects = names.iter().filter_map(|name| name.parse().ok());
        let mut held = Vec::new();
        for object in objects {
            held.extend(self.stored(&object)?.map(|stored| Held {
                dataset: stored.dataset,
                owner: stored.owner,
                number: stored.number,
                object: stored.object,
            }));
        }
        held.sort_by(|a, b| (&a.dataset, a.number).cmp(&(&b.dataset, b.number)));
        Ok(held)
    }

    /// Forgets the key of an object, be it a dataset's or in custody. That there was this version of a
    /// dataset is not forgotten: none that is older is released in its place.
    ///
    /// # Errors
    /// It is not held.
    pub fn remove(&self, object: &Digest, now: SystemTime) -> Result<(), BrokerError> {
        let path = self.version_path(object);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !self.forget_custody(object)? {
                    return Err(BrokerError::NotHeld { object: *object });
                }
            }
            removed => removed.map_err(failed("remove", &path))?,
        }
        let removed = Entry::Removed(Removed { object: *object });
        self.ledger()?.note(removed, now)?;
        Ok(())
    }

    fn stored(&self, object: &Digest) -> Result<Option<Stored>, BrokerError> {
        let path = self.version_path(object);
        let bytes = match read_capped(&path, MAX_LEN) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let stored: Stored = parse_json("the version", &bytes, MAX_LEN)
            .map_err(record(&path, "version of a dataset"))?;
        if stored.object != *object {
            return Err(BrokerError::Misplaced {
                path,
                what: "version of a dataset",
            });
        }
        Ok(Some(stored))
    }

    fn version_path(&self, object: &Digest) -> PathBuf {
        let folder = self.state().root().join(VERSIONS);
        folder.join(format!("{object}{ENDING}"))
    }
}

/// What a data key is wrapped for: a file with another's name does not open.
fn purpose(dataset: &Name, owner: &Digest, object: &Digest) -> Vec<u8> {
    let parts = [PURPOSE.as_bytes(), owner.as_bytes(), object.as_bytes()];
    [&parts.concat(), dataset.as_str().as_bytes()].concat()
}

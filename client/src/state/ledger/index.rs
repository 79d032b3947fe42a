//! Sums over the lines up to some place, so that counting does not read them all.
//!
//! A B-tree in a file of its own (redb), made from the ledger and never believed over it: it states
//! the last line it knows, and where that is not the ledger's the whole is made anew.

use std::{collections::BTreeMap, fs, io, path::Path};

use mc2_protocol::{Digest, Name, crypto::digest::Hasher};
use redb::{
    Database, ReadOnlyDatabase, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    backends::FileBackend,
};

use super::{
    chain::{Head, Place},
    entry::{Entry, Release},
    error::LedgerError,
};
use crate::files::{failed, open_private};

/// Runs released, by dataset of a policy.
const RUNS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("runs");
/// The newest version of an owner's dataset: its number and object.
const NEWEST: TableDefinition<'_, &[u8; 32], (u64, &[u8; 32])> = TableDefinition::new("newest");
/// The place the sums are up to: lines, the last line's digest, where it begins and ends.
const PLACE: TableDefinition<'_, (), (u64, &[u8; 32], u64, u64)> = TableDefinition::new("place");

const CACHE: usize = 4 << 20;

/// What runs are counted by: SHA-256 of a policy's digest, an owner's card's and a dataset's name.
/// Versions are counted under no policy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key([u8; 32]);

/// Sums that are up to one place, on the disk.
pub(super) struct Index {
    database: ReadOnlyDatabase,
    place: Place,
}

/// Sums over some lines, in memory.
#[derive(Default)]
pub(super) struct Sums {
    runs: BTreeMap<Key, u64>,
    newest: BTreeMap<Key, Newest>,
}

/// The newest version of a dataset that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Which version it is.
    pub number: u64,
    /// The object.
    pub object: Digest,
}

impl Key {
    pub(super) fn of(policy: &Digest, owner: &Digest, dataset: &Name) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(policy.as_bytes());
        hasher.update(owner.as_bytes());
        hasher.update(dataset.as_str().as_bytes());
        Self(*hasher.finish().as_bytes())
    }

    pub(super) fn of_version(owner: &Digest, dataset: &Name) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(owner.as_bytes());
        hasher.update(dataset.as_str().as_bytes());
        Self(*hasher.finish().as_bytes())
    }

    pub(super) fn of_release(release: &Release) -> Self {
        Self::of(&release.policy, &release.owner, &release.dataset)
    }
}

impl Index {
    /// The index in the file `path`, where there is one that can be read.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let read = || -> Result<Self, redb::Error> {
            let database = Database::builder()
                .set_cache_size(CACHE)
                .open_read_only(path)?;
            let place = {
                let table = database.begin_read()?.open_table(PLACE)?;
                let found = table.get(())?;
                let found = found.ok_or_else(|| corrupt("no place"))?;
                let (lines, last, last_begins, end) = found.value();
                Place {
                    head: Head {
                        lines,
                        last: Digest::from_bytes(*last),
                    },
                    last_begins,
                    end,
                }
            };
            Ok(Self { database, place })
        };
        // Whatever is wrong with it, the ledger is there to make it from.
        read().ok()
    }

    /// Up to where it is.
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// Runs released; `path` is for messages.
    pub(super) fn runs(&self, path: &Path, key: &Key) -> Result<u64, LedgerError> {
        let read = || -> Result<u64, redb::Error> {
            let table = self.database.begin_read()?.open_table(RUNS)?;
            let found = table.get(&key.0)?;
            Ok(found.map_or(0, |sum| sum.value()))
        };
        read().map_err(index_error("read", path))
    }

    /// The newest version; `path` is for messages.
    pub(super) fn newest(&self, path: &Path, key: &Key) -> Result<Option<Newest>, LedgerError> {
        let read = || -> Result<Option<Newest>, redb::Error> {
            let table = self.database.begin_read()?.open_table(NEWEST)?;
            let found = table.get(&key.0)?;
            Ok(found.map(|found| {
                let (number, object) = found.value();
                let object = Digest::from_bytes(*object);
                Newest { number, object }
            }))
        };
        read().map_err(index_error("read", path))
    }

    /// Adds the sums of the lines up to `place` to the file `path`, and returns when they will
    /// survive a power cut.
    pub(super) fn fold(path: &Path, sums: &Sums, place: &Place) -> Result<(), LedgerError> {
        let file = open_private(path)?;
        let write = || -> Result<(), redb::Error> {
            let database = Database::builder()
                .set_cache_size(CACHE)
                .create_with_backend(FileBackend::new(file)?)?;
            let mut transaction = database.begin_write()?;
            // What is here after a crash is then found without reading all of it.
            transaction.set_quick_repair(true);
            {
                let mut runs = transaction.open_table(RUNS)?;
                for (key, more) in &sums.runs {
                    let sum = runs.get(&key.0)?.map_or(0, |sum| sum.value());
                    runs.insert(&key.0, sum.saturating_add(*more))?;
                }
                let mut newest = transaction.open_table(NEWEST)?;
                for (key, version) in &sums.newest {
                    newest.insert(&key.0, (version.number, version.object.as_bytes()))?;
                }
                let head = place.head;
                let stated = (
                    head.lines,
                    head.last.as_bytes(),
                    place.last_begins,
                    place.end,
                );
                transaction.open_table(PLACE)?.insert((), stated)?;
            }
            transaction.commit()?;
            Ok(())
        };
        write().map_err(index_error("write", path))
    }

    /// Forgets the index in the file `path`.
    pub(super) fn remove(path: &Path) -> Result<(), LedgerError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => Ok(removed.map_err(failed("remove", path))?),
        }
    }
}

impl Sums {
    /// Counts an entry.
    pub(super) fn count(&mut self, entry: &Entry) {
        match entry {
            Entry::Release(release) => {
                let sum = self.runs.entry(Key::of_release(release)).or_default();
                *sum = sum.saturating_add(u64::from(release.runs));
            }
            Entry::Added(added) => {
                let newest = Newest {
                    number: added.number,
                    object: added.object,
                };
                let key = Key::of_version(&added.owner, &added.dataset);
                self.newest.insert(key, newest);
            }
            _ => {}
        }
    }

    /// The newest version.
    pub(super) fn newest(&self, key: &Key) -> Option<Newest> {
        self.newest.get(key).copied()
    }

    /// Runs released.
    pub(super) fn runs(&self, key: &Key) -> u64 {
        self.runs.get(key).copied().unwrap_or(0)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.runs.len() + self.newest.len()
    }
}

/// An index that was just written cannot be read.
pub(super) fn unreadable(path: &Path) -> LedgerError {
    index_error("read", path)(corrupt("what was just written is not there"))
}

fn corrupt(what: &str) -> redb::Error {
    redb::Error::Corrupted(what.to_owned())
}

fn index_error(doing: &'static str, path: &Path) -> impl FnOnce(redb::Error) -> LedgerError {
    let path = path.to_owned();
    move |source| LedgerError::Index {
        doing,
        path,
        source: Box::new(source),
    }
}

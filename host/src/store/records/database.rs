//! The database (redb): a table for each kind of record, and up to which journal it holds all.

use std::{
    fs::{self, OpenOptions},
    io,
    ops::Bound,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use redb::{
    BackendError, DatabaseError, ReadableDatabase as _, StorageBackend, TableDefinition,
    TableError, backends::FileBackend,
};

use super::{Layer, Table, compaction};

/// Bytes of the database kept in memory. What is asked for most is in the layers before it, or in the
/// system's page cache; more would be filled, too, within an hour or so, and never be given back.
const CACHE: usize = 2 * 1024 * 1024;
/// How long the database is waited for where another has it open.
const PATIENCE: Duration = Duration::from_secs(10);
const APPLIED: TableDefinition<'static, (), u64> = TableDefinition::new("applied");

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

const fn definition(table: Table) -> Definition {
    TableDefinition::new(match table {
        Table::Sessions => "sessions",
        Table::Policies => "policies",
        Table::Running => "running",
        Table::Ended => "ended",
        Table::Notes => "notes",
        Table::Tickets => "tickets",
        Table::Objects => "objects",
        Table::Components => "components",
        Table::Over => "over",
        Table::Numbers => "numbers",
        Table::Small => "small",
        Table::Receipts => "receipts",
    })
}

/// The database. Once the disk failed it, under a change or a read, redb does nothing more until it
/// is opened anew, which happens at the next use.
pub(super) struct Database {
    opener: Opener,
    open: RwLock<Option<redb::Database>>,
}

type Opener = Box<dyn Fn() -> io::Result<redb::Database> + Send + Sync>;

impl Database {
    /// Opens the file, or makes it. Where it is not `durable` nothing is flushed.
    pub(super) fn open(path: &Path, durable: bool) -> io::Result<Self> {
        let path = path.to_owned();
        Self::opened_by(Box::new(move || open(&path, durable)))
    }

    fn opened_by(opener: Opener) -> io::Result<Self> {
        Ok(Self {
            open: RwLock::new(Some(opener()?)),
            opener,
        })
    }

    /// Gives back what is free in the file of this path, where that is [much](compaction); whether it
    /// was.
    pub(super) fn compact(&self, path: &Path, from: u64) -> io::Result<bool> {
        let bytes = fs::metadata(path)?.len();
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let database = match &mut *open {
            Some(database) => database,
            none => none.insert((self.opener)()?),
        };
        let compacted = compaction::compact(database, bytes, from);
        if compacted.is_err() {
            *open = None;
        }
        compacted
    }

    /// The number of the last journal that the database holds all of; 0 before the first.
    pub(super) fn applied(&self) -> io::Result<u64> {
        self.with(|database| {
            let transaction = database.begin_read().map_err(io::Error::other)?;
            let table = match transaction.open_table(APPLIED) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(0),
                other => other.map_err(io::Error::other)?,
            };
            let applied = table.get(()).map_err(io::Error::other)?;
            Ok(applied.map_or(0, |applied| applied.value()))
        })
    }

    /// Makes the changes of the journals up to number `last`, all or none, and flushes. What was half
    /// done is undone when it is opened again.
    pub(super) fn apply(&self, layer: &Layer, last: u64) -> io::Result<()> {
        self.with(|database| apply(database, layer, last))
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<Bytes>> {
        self.with(|database| {
            let transaction = database.begin_read().map_err(io::Error::other)?;
            let open = match transaction.open_table(definition(table)) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                other => other.map_err(io::Error::other)?,
            };
            let value = open.get(key).map_err(io::Error::other)?;
            Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
        })
    }

    /// The records of a table from `first` on, as they are now.
    pub(super) fn range(
        &self,
        table: Table,
        first: &[u8],
    ) -> io::Result<impl Iterator<Item = io::Result<(Vec<u8>, Bytes)>> + use<'_>> {
        let range = self.with(|database| {
            let transaction = database.begin_read().map_err(io::Error::other)?;
            match transaction.open_table(definition(table)) {
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                other => {
                    let bounds = (Bound::Included(first), Bound::<&[u8]>::Unbounded);
                    let open = other.map_err(io::Error::other)?;
                    let range = open.range::<&[u8]>(bounds);
                    Ok(Some(range.map_err(io::Error::other)?))
                }
            }
        })?;
        Ok(range.into_iter().flatten().map(|record| {
            let (key, value) = record.map_err(|error| {
                self.close();
                io::Error::other(error)
            })?;
            Ok((key.value().to_vec(), Bytes::copy_from_slice(value.value())))
        }))
    }

    fn with<T>(&self, work: impl Fn(&redb::Database) -> io::Result<T>) -> io::Result<T> {
        let done = self.with_open(work);
        if done.is_err() {
            self.close();
        }
        done
    }

    /// Has it be opened anew at the next use.
    fn close(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn with_open<T>(&self, work: impl Fn(&redb::Database) -> io::Result<T>) -> io::Result<T> {
        let shared = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*shared {
            return work(database);
        }
        drop(shared);
        let mut alone = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let database = match &mut *alone {
            Some(database) => database,
            none => none.insert((self.opener)()?),
        };
        work(database)
    }
}

fn open(path: &Path, durable: bool) -> io::Result<redb::Database> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let options = options.mode(0o600);
    // A host of this process that was shut down has it until the last that it began has ended; one
    // that runs is refused before by its lock of the folder.
    let given_up = Instant::now() + PATIENCE;
    loop {
        let opened = FileBackend::new(options.open(path)?).and_then(|file| {
            let mut builder = redb::Builder::new();
            builder.set_cache_size(CACHE);
            builder.create_with_backend(Backend { file, durable })
        });
        match opened {
            Err(DatabaseError::DatabaseAlreadyOpen) if Instant::now() < given_up => {
                std::thread::sleep(Duration::from_millis(20));
            }
            opened => return opened.map_err(io::Error::other),
        }
    }
}

fn apply(database: &redb::Database, layer: &Layer, last: u64) -> io::Result<()> {
    let mut transaction = database.begin_write().map_err(io::Error::other)?;
    // A database that was not closed is opened at once.
    transaction.set_quick_repair(true);
    for table in Table::ALL {
        let mut open = transaction
            .open_table(definition(table))
            .map_err(io::Error::other)?;
        let own = layer.range((table, Vec::new())..);
        for ((_, key), value) in own.take_while(|((of, _), _)| *of == table) {
            match value {
                Some(value) => open.insert(key.as_slice(), value.as_ref()).map(drop),
                None => open.remove(key.as_slice()).map(drop),
            }
            .map_err(io::Error::other)?;
        }
    }
    transaction
        .open_table(APPLIED)
        .map_err(io::Error::other)?
        .insert((), last)
        .map_err(io::Error::other)?;
    transaction.commit().map_err(io::Error::other)
}

/// A file that is flushed or not.
#[derive(Debug)]
struct Backend {
    file: FileBackend,
    durable: bool,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.durable {
            self.file.sync_data()
        } else {
            Ok(())
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use super::*;

    #[test]
    fn a_database_that_is_about_to_be_closed_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.redb");
        let first = open(&path, false).unwrap();
        let closing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            drop(first);
        });
        assert!(open(&path, false).is_ok());
        closing.join().unwrap();
    }

    /// A file that can be made to fail.
    #[derive(Debug)]
    struct Failing(Backend, Arc<AtomicBool>);

    impl StorageBackend for Failing {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            if self.1.load(Ordering::SeqCst) {
                return Err(io::Error::other("the disk does not read"));
            }
            self.0.read(offset, out)
        }

        fn set_len(&self, length: u64) -> io::Result<()> {
            self.0.set_len(length)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }

        fn close(&self) -> io::Result<()> {
            self.0.close()
        }
    }

    #[test]
    fn a_read_that_failed_does_not_end_all_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.redb");
        let fails = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&fails);
        let opener = move || {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(false);
            let file = FileBackend::new(options.open(&path)?).map_err(io::Error::other)?;
            let backend = Backend {
                file,
                durable: false,
            };
            let mut builder = redb::Builder::new();
            // Nothing is answered from memory.
            builder.set_cache_size(0);
            let database = builder.create_with_backend(Failing(backend, Arc::clone(&flag)));
            database.map_err(io::Error::other)
        };
        let database = Database::opened_by(Box::new(opener)).unwrap();
        let layer: Layer = (0..1000_u32)
            .map(|key| {
                let value = Bytes::from(vec![7; 1000]);
                ((Table::Ended, key.to_be_bytes().to_vec()), Some(value))
            })
            .collect();
        database.apply(&layer, 1).unwrap();
        let all = || {
            let found = database.range(Table::Ended, &[])?;
            Ok::<_, io::Error>(found.collect::<io::Result<Vec<_>>>()?.len())
        };
        let one = || database.get(Table::Ended, &9_u32.to_be_bytes());
        assert_eq!(all().unwrap(), 1000);
        fails.store(true, Ordering::SeqCst);
        assert!(one().is_err() && all().is_err());
        fails.store(false, Ordering::SeqCst);
        assert!(one().unwrap().is_some());
        let mut begun = database.range(Table::Ended, &[]).unwrap();
        assert!(begun.next().unwrap().is_ok());
        fails.store(true, Ordering::SeqCst);
        assert!(begun.any(|record| record.is_err()));
        drop(begun);
        fails.store(false, Ordering::SeqCst);
        assert_eq!(all().unwrap(), 1000);
        assert!(database.apply(&layer, 2).is_ok() && database.applied().unwrap() == 2);
    }

    /// A file whose process is killed after so many writes.
    #[derive(Debug)]
    struct Killed(Backend, Arc<AtomicUsize>);

    impl Killed {
        fn step(&self) -> io::Result<()> {
            let left = self.1.load(Ordering::SeqCst);
            let left = left.checked_sub(1);
            let left = left.ok_or_else(|| io::Error::other("the process was killed"))?;
            self.1.store(left, Ordering::SeqCst);
            Ok(())
        }
    }

    impl StorageBackend for Killed {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }

        fn set_len(&self, length: u64) -> io::Result<()> {
            self.step()?;
            self.0.set_len(length)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.step()?;
            self.0.write(offset, data)
        }

        fn close(&self) -> io::Result<()> {
            self.0.close()
        }
    }

    /// A database of a thousand records, of which all but every tenth were removed, and how long it is.
    fn mostly_free(path: &Path) -> u64 {
        let database = Database::open(path, false).unwrap();
        let layer = |value: Option<Bytes>, of: fn(u32) -> bool| -> Layer {
            (0..1000_u32)
                .filter(|key| of(*key))
                .map(|key| ((Table::Small, key.to_be_bytes().to_vec()), value.clone()))
                .collect()
        };
        let all = layer(Some(Bytes::from(vec![7; 4000])), |_| true);
        database.apply(&all, 1).unwrap();
        let most = layer(None, |key| !key.is_multiple_of(10));
        for journal in 2..6 {
            database.apply(&most, journal).unwrap();
        }
        drop(database);
        fs::metadata(path).unwrap().len()
    }

    /// That the records of such a database are there.
    fn check(path: &Path) {
        let database = Database::open(path, false).unwrap();
        assert_eq!(database.applied().unwrap(), 5);
        let left = database.range(Table::Small, &[]).unwrap();
        let left: Vec<_> = left.map(Result::unwrap).collect();
        let keys: Vec<_> = (0..100).map(|key| (key * 10_u32).to_be_bytes()).collect();
        assert!(
            left.iter()
                .map(|(key, _)| &key[..])
                .eq(keys.iter().map(|key| &key[..]))
        );
        assert!(left.iter().all(|(_, value)| value[..] == [7; 4000]));
    }

    #[test]
    fn a_database_half_of_which_is_free_gives_that_back_and_another_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.redb");
        let before = mostly_free(&path);
        let compacts = |from| {
            let database = Database::open(&path, false).unwrap();
            database.compact(&path, from).unwrap()
        };
        assert!(!compacts(before + 1));
        assert!(compacts(before));
        let after = fs::metadata(&path).unwrap().len();
        assert!(after < before / 2, "{before} -> {after}");
        check(&path);
        assert!(!compacts(1));
    }

    #[test]
    fn a_compaction_that_is_killed_at_any_step_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let full = folder.path().join("full.redb");
        mostly_free(&full);
        let path = folder.path().join("records.redb");
        let mut whole = false;
        for steps in (0..40).chain((40..).step_by(10)) {
            fs::copy(&full, &path).unwrap();
            let left = Arc::new(AtomicUsize::new(usize::MAX));
            let (file, flag) = (path.clone(), Arc::clone(&left));
            let opener = move || {
                let options = OpenOptions::new().read(true).write(true).open(&file)?;
                let file = FileBackend::new(options).map_err(io::Error::other)?;
                let backend = Backend {
                    file,
                    durable: false,
                };
                let backend = Killed(backend, Arc::clone(&flag));
                let database = redb::Builder::new().create_with_backend(backend);
                database.map_err(io::Error::other)
            };
            let database = Database::opened_by(Box::new(opener)).unwrap();
            left.store(steps, Ordering::SeqCst);
            whole = matches!(database.compact(&path, 1), Ok(true));
            drop(database);
            check(&path);
            if whole {
                break;
            }
        }
        assert!(whole);
    }
}

//! The database (redb): a table for each kind of record, and up to which journal it holds all.

use std::{
    fs::OpenOptions,
    io,
    ops::Bound,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use bytes::Bytes;
use redb::{
    BackendError, ReadTransaction, ReadableDatabase as _, StorageBackend, TableDefinition,
    TableError, backends::FileBackend,
};

use super::{Layer, Table};

/// Bytes of the database kept in memory.
const CACHE: usize = 32 * 1024 * 1024;
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
    })
}

/// The database. Once the disk failed it under a change it does nothing more until it is opened
/// anew, which happens at the next use.
pub(super) struct Database {
    path: PathBuf,
    durable: bool,
    open: RwLock<Option<redb::Database>>,
}

impl Database {
    /// Opens the file, or makes it. Where it is not `durable` nothing is flushed.
    pub(super) fn open(path: &Path, durable: bool) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            durable,
            open: RwLock::new(Some(open(path, durable)?)),
        })
    }

    /// The number of the last journal that the database holds all of; 0 before the first.
    pub(super) fn applied(&self) -> io::Result<u64> {
        let transaction = self.read()?;
        let table = match transaction.open_table(APPLIED) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(0),
            other => other.map_err(io::Error::other)?,
        };
        let applied = table.get(()).map_err(io::Error::other)?;
        Ok(applied.map_or(0, |applied| applied.value()))
    }

    /// Makes the changes of the journals up to number `last`, all or none, and flushes.
    pub(super) fn apply(&self, layer: &Layer, last: u64) -> io::Result<()> {
        let applied = self.with(|database| apply(database, layer, last));
        if applied.is_err() {
            // What was half done is undone when it is opened again.
            *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        applied
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<Bytes>> {
        let transaction = self.read()?;
        let open = match transaction.open_table(definition(table)) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            other => other.map_err(io::Error::other)?,
        };
        let value = open.get(key).map_err(io::Error::other)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    /// The records of a table from `first` on, as they are now.
    pub(super) fn range(
        &self,
        table: Table,
        first: &[u8],
    ) -> io::Result<impl Iterator<Item = io::Result<(Vec<u8>, Bytes)>> + use<>> {
        let transaction = self.read()?;
        let range = match transaction.open_table(definition(table)) {
            Err(TableError::TableDoesNotExist(_)) => None,
            other => {
                let bounds = (Bound::Included(first), Bound::<&[u8]>::Unbounded);
                let open = other.map_err(io::Error::other)?;
                Some(open.range::<&[u8]>(bounds).map_err(io::Error::other)?)
            }
        };
        Ok(range.into_iter().flatten().map(|record| {
            let (key, value) = record.map_err(io::Error::other)?;
            Ok((key.value().to_vec(), Bytes::copy_from_slice(value.value())))
        }))
    }

    fn read(&self) -> io::Result<ReadTransaction> {
        self.with(|database| database.begin_read().map_err(io::Error::other))
    }

    fn with<T>(&self, work: impl Fn(&redb::Database) -> io::Result<T>) -> io::Result<T> {
        let shared = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*shared {
            return work(database);
        }
        drop(shared);
        let mut alone = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let database = match &mut *alone {
            Some(database) => database,
            none => none.insert(open(&self.path, self.durable)?),
        };
        work(database)
    }
}

fn open(path: &Path, durable: bool) -> io::Result<redb::Database> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o600).open(path)?;
    let file = FileBackend::new(file).map_err(io::Error::other)?;
    let mut builder = redb::Builder::new();
    builder.set_cache_size(CACHE);
    let database = builder.create_with_backend(Backend { file, durable });
    database.map_err(io::Error::other)
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

//! What must survive the host's end, as keys and values.
//!
//! A change is acknowledged once it stands in a journal, which takes one write to the page cache:
//! it survives the end of this process, by SIGKILL too. About once a second a thread moves what
//! gathered to a database (redb) in one transaction and flushes that, so what was acknowledged
//! longer ago than that survives a power cut as well. Waiting for the disk with each change would
//! cost a tenth of a second on some disks.
//!
//! `records/journal-N` are the journals, `records/records.redb` is the database, which knows up to
//! which journal it holds everything. At a start the journals after that are moved first; where a
//! power cut tore one, what stands after the tear is dropped, later journals too, so that nothing
//! is there without what went before it.

mod compaction;
mod database;
mod journal;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError},
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;

use database::Database;
use journal::Journal;

use super::files::private_folder;
use crate::waiting::lock;

/// How long changes gather before they are moved to the database.
const GATHER: Duration = Duration::from_secs(1);
/// How long the thread sleeps that has nothing to flush.
const SELDOM: Duration = Duration::from_secs(3600);
/// Bytes of changes that are moved at once, however young.
const MOVE_AT: usize = 16 * 1024 * 1024;
/// Bytes of changes that wait for the database, from which on what can wait does.
const FULL: usize = 4 * MOVE_AT;
/// From this many files on, one flush of the file system is cheaper than one a file.
const FLUSH_ALL: usize = 32;

/// What kinds of records there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Table {
    /// Sessions that were opened, by their digests.
    Sessions = 1,
    /// Policies of sessions, by their digests.
    Policies = 2,
    /// Jobs that have not ended, by session and number.
    Running = 3,
    /// Jobs that have ended, by session and number.
    Ended = 4,
    /// Notes, by session, whom they are to, and number.
    Notes = 6,
    /// Messages in the queue, and the answers to those that were, by their tickets.
    Tickets = 5,
    /// Objects, by their digests.
    Objects = 7,
    /// Components, by their digests.
    Components = 8,
    /// Since when sessions are over, by their digests.
    Over = 9,
    /// The highest numbers that were ever given, by what they number.
    Numbers = 10,
    /// Small objects in one piece, by their digests.
    Small = 11,
    /// Small receipts, by session and number of their jobs.
    Receipts = 12,
}

impl Table {
    /// All of them.
    const ALL: [Self; 12] = [
        Self::Sessions,
        Self::Policies,
        Self::Running,
        Self::Ended,
        Self::Notes,
        Self::Tickets,
        Self::Objects,
        Self::Components,
        Self::Over,
        Self::Numbers,
        Self::Small,
        Self::Receipts,
    ];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }
}

/// A change of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    table: Table,
    key: Vec<u8>,
    /// `None` removes the record.
    value: Option<Bytes>,
}

impl Change {
    /// A record is there from now on.
    pub(crate) fn put(table: Table, key: impl Into<Vec<u8>>, value: impl Into<Bytes>) -> Self {
        Self {
            table,
            key: key.into(),
            value: Some(value.into()),
        }
    }

    /// A record is there no more.
    pub(crate) fn remove(table: Table, key: impl Into<Vec<u8>>) -> Self {
        Self {
            table,
            key: key.into(),
            value: None,
        }
    }

    fn size(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// Changes on their way to the database, newest of each key.
type Layer = BTreeMap<(Table, Vec<u8>), Option<Bytes>>;

/// All records.
pub(crate) struct Records {
    shared: Arc<Shared>,
    mover: Option<JoinHandle<()>>,
    /// Whether every change fails, as on a full disk.
    #[cfg(test)]
    full: std::sync::atomic::AtomicBool,
}

impl Records {
    /// Opens the records in `folder`. Where they are not `durable` nothing is ever flushed.
    pub(crate) fn open(folder: &Path, durable: bool) -> io::Result<Self> {
        private_folder(folder)?;
        let path = folder.join("records.redb");
        let database = Database::open(&path, durable)?;
        // Before the journals are moved: on a full disk that may be what they lack.
        match database.compact(&path, compaction::FROM) {
            Ok(true) => tracing::info!("the records' database gave back what was free in it"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "the records' database is not compacted, and used as it is");
            }
        }
        let applied = database.applied()?;
        let last = catch_up(folder, durable, applied, |layer, last| {
            database.apply(layer, last)
        })?;
        journal::remove_after(folder, 0)?;
        let journal = Journal::begin(folder, last + 1)?;
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            durable,
            database,
            state: Mutex::new(State {
                journal,
                fresh: Layer::new(),
                size: 0,
                moving: None,
                unflushed: Vec::new(),
                ending: false,
            }),
            wake: Condvar::new(),
            moved: Condvar::new(),
            moving: Mutex::new(()),
        });
        let moved = Arc::clone(&shared);
        let mover = std::thread::Builder::new()
            .name("mc2-host-records".into())
            .spawn(move || moved.run())?;
        Ok(Self {
            shared,
            mover: Some(mover),
            #[cfg(test)]
            full: Default::default(),
        })
    }

    /// Makes these changes, all or none. When this comes back they survive the end of the process.
    pub(crate) fn write(&self, changes: Vec<Change>) -> io::Result<()> {
        #[cfg(test)]
        if self.full.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut state = self.shared.state();
        state.journal.append(&changes)?;
        for change in changes {
            state.size += change.size();
            state.fresh.insert((change.table, change.key), change.value);
        }
        if state.size >= MOVE_AT {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    /// Has files that were written be flushed with the next changes.
    pub(crate) fn flush_later(&self, written: impl IntoIterator<Item = PathBuf>) {
        if self.shared.durable {
            self.shared.state().unflushed.extend(written);
        }
    }

    /// Waits so long at most until few enough changes wait for the database; whether that is so. May
    /// block.
    pub(crate) fn room(&self, patience: Duration) -> bool {
        let state = self.shared.state();
        let full = |state: &mut State| state.size >= FULL;
        let waited = self.shared.moved.wait_timeout_while(state, patience, full);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !full(&mut state)
    }

    /// One record, or that it is not there, where that is in memory and nobody else just now looks or
    /// writes: this waits for nothing.
    pub(crate) fn recent(&self, table: Table, key: &[u8]) -> Option<Option<Bytes>> {
        let state = match self.shared.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        state.recent(&(table, key.to_vec()))
    }

    /// One record.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<Bytes>> {
        let state = self.shared.state();
        if let Some(recent) = state.recent(&(table, key.to_vec())) {
            return Ok(recent);
        }
        drop(state);
        // What is moved meanwhile is in the database before it leaves the layers.
        self.shared.database.get(table, key)
    }

    /// The first `most` records of a table whose keys are at least `from` and begin with `prefix`.
    pub(crate) fn range(
        &self,
        table: Table,
        prefix: &[u8],
        from: &[u8],
        most: usize,
    ) -> io::Result<Vec<(Vec<u8>, Bytes)>> {
        let state = self.shared.state();
        let first = (table, from.max(prefix).to_vec());
        let mut changed = Layer::new();
        for layer in [state.moving.as_deref(), Some(&state.fresh)] {
            let own = layer
                .into_iter()
                .flat_map(|layer| layer.range(first.clone()..));
            let own = own.take_while(|((of, key), _)| *of == table && key.starts_with(prefix));
            changed.extend(own.map(|(key, value)| (key.clone(), value.clone())));
        }
        // Looked at under the lock, so that nothing leaves the layers in between.
        let mut stored = self.shared.database.range(table, &first.1)?.peekable();
        drop(state);
        let mut changed = changed.into_iter().peekable();
        let mut found = Vec::new();
        while found.len() < most {
            let next = match stored.peek() {
                Some(Ok((key, _))) if key.starts_with(prefix) => Some(key.clone()),
                Some(Err(_)) => {
                    stored.next().transpose()?;
                    continue;
                }
                _ => None,
            };
            let newer = changed.peek().map(|((_, key), _)| key.clone());
            match (next, newer) {
                (None, None) => break,
                (Some(key), newer) if newer.as_ref().is_none_or(|newer| key < *newer) => {
                    if let Some(record) = stored.next().transpose()? {
                        found.push(record);
                    }
                }
                (stale, Some(newer)) => {
                    if stale == Some(newer) {
                        stored.next();
                    }
                    if let Some(((_, key), Some(value))) = changed.next() {
                        found.push((key, value));
                    }
                }
                // The second arm takes every other one that has no newer.
                (Some(_), None) => unreachable!("a stored record with nothing newer"),
            }
        }
        Ok(found)
    }

    /// Has every change fail from now on, or none.
    #[cfg(test)]
    pub(crate) fn fill_disk(&self, full: bool) {
        self.full.store(full, std::sync::atomic::Ordering::SeqCst);
    }

    /// Has nothing be moved to the database until what this returns is dropped.
    #[cfg(test)]
    pub(crate) fn stall(&self) -> MutexGuard<'_, ()> {
        lock(&self.shared.moving)
    }

    /// Moves everything that was written before to the database, and flushes it.
    #[cfg(test)]
    pub(crate) fn settle(&self) -> io::Result<()> {
        self.shared.move_changes()
    }
}

/// Has the changes of the journals after number `applied` be applied, and returns the number of the
/// last.
fn catch_up(
    folder: &Path,
    durable: bool,
    applied: u64,
    apply: impl FnOnce(&Layer, u64) -> io::Result<()>,
) -> io::Result<u64> {
    let left = journal::left_over(folder, applied)?;
    if left.torn {
        tracing::warn!("the last changes before a power cut were torn, and are dropped");
    }
    let mut last = applied;
    let mut layer = Layer::new();
    for (number, changes) in left.journals {
        last = number;
        layer.extend(changes.into_iter().map(|it| ((it.table, it.key), it.value)));
    }
    // First those that do not count: were this host killed once the others are in the database, the
    // next would take them for what comes after.
    if journal::remove_after(folder, last)? && durable {
        File::open(folder)?.sync_all()?;
    }
    if last > applied {
        apply(&layer, last)?;
    }
    Ok(last)
}

impl Drop for Records {
    fn drop(&mut self) {
        self.shared.state().ending = true;
        self.shared.wake.notify_one();
        if let Some(mover) = self.mover.take() {
            // Had it panicked, the journals would have everything still.
            let _ = mover.join();
        }
    }
}

struct Shared {
    folder: PathBuf,
    durable: bool,
    database: Database,
    state: Mutex<State>,
    wake: Condvar,
    /// Told when what gathered is on its way to the database.
    moved: Condvar,
    /// Held by who moves changes.
    moving: Mutex<()>,
}

struct State {
    journal: Journal,
    fresh: Layer,
    /// Bytes that `fresh` had when it was written, at least.
    size: usize,
    moving: Option<Arc<Layer>>,
    unflushed: Vec<PathBuf>,
    ending: bool,
}

impl State {
    fn recent(&self, wanted: &(Table, Vec<u8>)) -> Option<Option<Bytes>> {
        let moving = self.moving.as_deref();
        let fresh = self.fresh.get(wanted);
        let changed = fresh.or_else(|| moving.and_then(|moving| moving.get(wanted)));
        changed.cloned()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn run(&self) {
        let mut state = self.state();
        while !state.ending {
            if state.size < MOVE_AT {
                // Nothing is gained by moving what need not survive a power cut, but room.
                let patience = if self.durable { GATHER } else { SELDOM };
                let waited = self.wake.wait_timeout(state, patience);
                state = waited.map_or_else(|error| error.into_inner().0, |(state, _)| state);
            }
            let due = state.size >= MOVE_AT || (self.durable && !state.ending);
            if !due || (state.fresh.is_empty() && state.moving.is_none()) {
                continue;
            }
            drop(state);
            if let Err(error) = self.move_changes() {
                tracing::error!(%error, "records could not be moved to the database; they are in a journal, and are tried again");
                std::thread::sleep(GATHER);
            }
            state = self.state();
        }
        drop(state);
        if self.durable
            && let Err(error) = self.move_changes()
        {
            tracing::error!(%error, "the last records are in a journal only");
        }
    }

    /// Moves what gathered to the database: first what could not be moved before.
    fn move_changes(&self) -> io::Result<()> {
        let _alone = lock(&self.moving);
        let (layer, files, last) = {
            let mut state = self.state();
            let last = state.journal.number();
            if state.moving.is_none() {
                if state.fresh.is_empty() && state.unflushed.is_empty() {
                    return Ok(());
                }
                state.journal = Journal::begin(&self.folder, last + 1)?;
                state.size = 0;
                self.moved.notify_all();
                state.moving = Some(Arc::new(std::mem::take(&mut state.fresh)));
                (
                    state.moving.clone(),
                    std::mem::take(&mut state.unflushed),
                    last,
                )
            } else {
                let files = std::mem::take(&mut state.unflushed);
                (state.moving.clone(), files, last - 1)
            }
        };
        let layer = layer.unwrap_or_default();
        // What records tell of is on the disk before they are.
        let moved = self
            .flush(&files)
            .and_then(|()| self.database.apply(&layer, last));
        let mut state = self.state();
        if let Err(error) = moved {
            state.unflushed.extend(files);
            return Err(error);
        }
        state.moving = None;
        drop(state);
        journal::remove(&self.folder, last)
    }

    fn flush(&self, files: &[PathBuf]) -> io::Result<()> {
        if files.len() >= FLUSH_ALL {
            for system in one_of_each_file_system(files)? {
                rustix::fs::syncfs(system)?;
            }
            return Ok(());
        }
        let folders = files.iter().filter_map(|file| file.parent());
        let mut folders: Vec<&Path> = folders.collect();
        folders.sort_unstable();
        folders.dedup();
        for path in files.iter().map(PathBuf::as_path).chain(folders) {
            match File::open(path) {
                Ok(file) => file.sync_all()?,
                // Removed since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// One of these files for each file system that some are on; they need not be the records' own.
fn one_of_each_file_system(files: &[PathBuf]) -> io::Result<Vec<File>> {
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for path in files {
        match std::fs::metadata(path) {
            Ok(file) if !known.insert(file.dev()) => {}
            Ok(_) => found.push(File::open(path)?),
            // Removed since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn keys(records: &Records, prefix: &[u8], from: &[u8], most: usize) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let found = records.range(Table::Ended, prefix, from, most).unwrap();
        found
            .iter()
            .map(|(key, value)| (text(key), text(value)))
            .collect()
    }

    fn put(key: &str, value: &str) -> Change {
        Change::put(Table::Ended, key, value.to_owned())
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        expected.iter().map(owned).collect()
    }

    #[test]
    fn what_was_written_is_read_alike_from_journal_and_database() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path(), false).unwrap();
        records
            .write(vec![
                put("a1", "1"),
                put("a2", "2"),
                put("b1", "3"),
                put("a0", "0"),
            ])
            .unwrap();
        records.settle().unwrap();
        let other = Change::put(Table::Running, "a3", "other");
        records
            .write(vec![put("a2", "new"), put("a4", "4"), other])
            .unwrap();
        records
            .write(vec![Change::remove(Table::Ended, "a1")])
            .unwrap();
        let expected = [("a0", "0"), ("a2", "new"), ("a4", "4")];
        for _ in 0..2 {
            assert_eq!(keys(&records, b"a", b"", 9), pairs(&expected));
            assert_eq!(keys(&records, b"a", b"a1", 9), pairs(&expected[1..]));
            assert_eq!(keys(&records, b"a", b"", 2), pairs(&expected[..2]));
            assert_eq!(keys(&records, b"b", b"", 9), pairs(&[("b1", "3")]));
            assert_eq!(records.get(Table::Ended, b"a1").unwrap(), None);
            let found = records.get(Table::Ended, b"a2").unwrap();
            assert_eq!(found.unwrap()[..], *b"new");
            records.settle().unwrap();
        }
    }

    #[test]
    fn each_file_system_that_has_files_to_flush_is_flushed() {
        let folder = tempfile::tempdir().unwrap();
        let own: Vec<PathBuf> = (0..3)
            .map(|number| folder.path().join(number.to_string()))
            .collect();
        for file in &own {
            fs::write(file, "file").unwrap();
        }
        let another = PathBuf::from("/proc/self/status");
        let gone = folder.path().join("gone");
        let files = [own, vec![gone, another]].concat();
        let found = one_of_each_file_system(&files).unwrap();
        let devices: BTreeSet<u64> = found
            .iter()
            .map(|it| it.metadata().unwrap().dev())
            .collect();
        assert_eq!((found.len(), devices.len()), (2, 2));
    }

    /// What a killed host leaves is what is on the disk at that moment: journals, and a database
    /// that knows nothing of them, or everything.
    #[test]
    fn what_was_acknowledged_is_there_after_the_process_was_killed() {
        let folder = tempfile::tempdir().unwrap();
        let left = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path(), false).unwrap();
        let look = |step: usize| {
            let copy = left.path().join(step.to_string());
            fs::create_dir(&copy).unwrap();
            for entry in fs::read_dir(folder.path()).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
            }
            keys(&Records::open(&copy, false).unwrap(), b"", b"", 99).len()
        };
        for step in 0..6 {
            let key = format!("k{step}");
            records.write(vec![put(&key, "v")]).unwrap();
            assert_eq!(look(2 * step), step + 1);
            if step % 2 == 1 {
                records.settle().unwrap();
                assert_eq!(look(2 * step + 1), step + 1);
            }
        }
    }

    #[test]
    fn a_torn_journal_loses_what_stands_after_the_tear_and_nothing_before() {
        let folder = tempfile::tempdir().unwrap();
        drop(Records::open(folder.path(), false).unwrap());
        journal::remove_after(folder.path(), 0).unwrap();
        let mut first = Journal::begin(folder.path(), 1).unwrap();
        first.append(&[put("a", "1")]).unwrap();
        first.append(&[put("b", "2"), put("c", "3")]).unwrap();
        let mut second = Journal::begin(folder.path(), 2).unwrap();
        second.append(&[put("d", "4")]).unwrap();
        let path = journal::path(folder.path(), 1);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let records = Records::open(folder.path(), false).unwrap();
        assert_eq!(keys(&records, b"", b"", 9), pairs(&[("a", "1")]));
        records.write(vec![put("e", "5")]).unwrap();
        drop(records);
        let records = Records::open(folder.path(), true).unwrap();
        assert_eq!(
            keys(&records, b"", b"", 9),
            pairs(&[("a", "1"), ("e", "5")])
        );
    }

    /// A host that is killed after it moved what stood before the tear, and before it removed the
    /// journals.
    #[test]
    fn what_stands_after_a_tear_does_not_come_back_after_a_second_end() {
        let folder = tempfile::tempdir().unwrap();
        drop(Records::open(folder.path(), false).unwrap());
        journal::remove_after(folder.path(), 0).unwrap();
        for (number, key) in [(1, "a"), (2, "b"), (3, "c")] {
            let mut journal = Journal::begin(folder.path(), number).unwrap();
            journal.append(&[put(key, "1")]).unwrap();
        }
        let torn = journal::path(folder.path(), 2);
        let whole = fs::read(&torn).unwrap();
        fs::write(&torn, &whole[..whole.len() - 1]).unwrap();
        let left = |number| journal::path(folder.path(), number).exists();
        let cut_off = catch_up(folder.path(), false, 0, |layer, last| {
            assert_eq!((layer.len(), last), (1, 2));
            assert_eq!([1, 2, 3].map(left), [true, true, false]);
            let database = Database::open(&folder.path().join("records.redb"), false)?;
            database.apply(layer, last)?;
            Err(io::Error::other("killed"))
        });
        assert_eq!(cut_off.unwrap_err().to_string(), "killed");
        let records = Records::open(folder.path(), false).unwrap();
        assert_eq!(keys(&records, b"", b"", 9), pairs(&[("a", "1")]));
    }

    #[test]
    fn what_this_host_does_not_understand_stops_its_start_and_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        drop(Records::open(folder.path(), false).unwrap());
        journal::remove_after(folder.path(), 0).unwrap();
        let mut journal = Journal::begin(folder.path(), 1).unwrap();
        journal.append(&[put("a", "1"), put("b", "2")]).unwrap();
        let path = journal::path(folder.path(), 1);
        // Of a table that there is not, with a good checksum.
        let mut bytes = fs::read(&path).unwrap();
        let second = bytes.len() - (1 + 4 + 1 + 1 + 4 + 1);
        assert_eq!(bytes[second], Table::Ended as u8);
        bytes[second] = 99;
        journal::sign(1, &mut bytes);
        fs::write(&path, &bytes).unwrap();
        let refused = Records::open(folder.path(), false).err().unwrap();
        assert!(refused.to_string().contains("journal-1"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    /// What a killed host leaves at each step of a move to the database: the next journal is begun, the
    /// changes are applied, the old journal is removed.
    #[test]
    fn a_move_that_was_cut_off_at_any_step_loses_nothing_and_repeats_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path(), false).unwrap();
        let database = folder.path().join("records.redb");
        let read = |number| fs::read(journal::path(folder.path(), number)).unwrap();
        records.write(vec![put("a", "1"), put("c", "1")]).unwrap();
        let (not_applied, first) = (fs::read(&database).unwrap(), read(1));
        records.settle().unwrap();
        assert!(!journal::path(folder.path(), 1).exists());
        records.write(vec![put("a", "2")]).unwrap();
        let gone = Change::remove(Table::Ended, "c");
        records.write(vec![gone]).unwrap();
        let (applied, second) = (fs::read(&database).unwrap(), read(2));
        let before = pairs(&[("a", "1"), ("c", "1")]);
        let after = pairs(&[("a", "2")]);
        for (database, journals, expected) in [
            (&not_applied, vec![(1, &first)], &before),
            (&not_applied, vec![(1, &first), (2, &Vec::new())], &before),
            (&not_applied, vec![(1, &first), (2, &second)], &after),
            (&applied, vec![(1, &first), (2, &second)], &after),
            (&applied, vec![(2, &second)], &after),
        ] {
            let left = tempfile::tempdir().unwrap();
            fs::write(left.path().join("records.redb"), database).unwrap();
            for (number, bytes) in journals {
                fs::write(journal::path(left.path(), number), bytes).unwrap();
            }
            // And the host that finds it is killed, too.
            for _ in 0..2 {
                let records = Records::open(left.path(), false).unwrap();
                assert_eq!(&keys(&records, b"", b"", 9), expected);
            }
        }
    }
}

//! The ledger: every release of a data key, every refusal and every answered start, one JSON line
//! each, with the digest of the line before.
//!
//! An enclave has no memory between sessions, so owners count. A line is stored before the key
//! leaves and a run is never given back. A second file, the head, holds the number of lines and
//! the digest of the last, so lines that were cut off at the end are missed too. Whoever can write
//! both files can rewrite the past: this guards against accidents and against other programs, not
//! against the owner.
//!
//! Counting does not read the whole file: a third one, the [`index`], holds the sums up to a
//! line it names, so only the lines after that are read and checked. [`Ledger::verify`] checks all.

mod chain;
mod entry;
mod error;
mod index;

use std::{
    fs::File,
    io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::SystemTime,
};

use mc2_protocol::{Digest, Name, encoding::to_json};

use crate::files::{
    self, failed, folder_of, private_folder, read_capped, sync_folder, write_private_soon,
};
use chain::{Chain, Place};
use entry::{Line, MAX_LINE};
use index::{Index, Key, Sums};

pub use chain::Head;
pub use entry::{
    Accepted, Added, Entry, Kept, Recorded, Refusal, Release, Removed, Resumed, Start, Withdrawn,
};
pub use error::LedgerError;
pub use index::Newest;

/// After so many lines or bytes beyond the index they are added to it.
const FOLD_LINES: u64 = 64;
const FOLD_BYTES: u64 = 256 * 1024;
/// So many sums are kept in memory while an index is made anew.
const FOLD_SUMS: usize = 100_000;
const MAX_HEAD: usize = 4096;

/// Where releases are recorded.
///
/// ```
/// use mc2_client::state::ledger::Ledger;
///
/// # let folder = tempfile::tempdir()?;
/// let ledger = Ledger::at(folder.path().join("state/ledger.jsonl"));
/// assert_eq!(ledger.verify()?.lines, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
    /// A second head, elsewhere.
    mark: Option<PathBuf>,
}

/// A ledger that is locked and read.
struct Open {
    file: File,
    /// Sums up to some line.
    index: Option<Index>,
    /// Sums over the lines after it.
    since: Sums,
    place: Place,
}

impl Ledger {
    /// A ledger in the file `path`, which is made when first used.
    pub fn at(path: PathBuf) -> Self {
        Self { path, mark: None }
    }

    /// The same, with a second head in the file `mark`: a place that is not put back with the
    /// ledger's folder. While it is there, a ledger that does not go as far is broken; it is made by
    /// [`mark`](Self::mark) alone.
    #[must_use]
    pub fn marked_at(self, mark: PathBuf) -> Self {
        Self {
            mark: Some(mark),
            ..self
        }
    }

    /// Whether its second head is there.
    pub fn is_marked(&self) -> bool {
        self.mark.as_ref().is_some_and(|mark| mark.exists())
    }

    /// What its second head says, where it is there and can be read.
    pub fn marked(&self) -> Option<Head> {
        let marked = self.head_in(self.mark.as_deref()).ok()?;
        (marked.lines > 0).then_some(marked)
    }

    /// Makes the second head say where the ledger is, whatever it said before.
    ///
    /// # Errors
    /// A broken chain, or the system's.
    pub fn mark(&self) -> Result<Head, LedgerError> {
        let open = Self::at(self.path.clone()).open()?;
        if let Some(mark) = &self.mark {
            write_private_soon(mark, &to_json(&open.place.head))?;
        }
        Ok(open.place.head)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records releases, all or none, and returns when they are stored.
    ///
    /// `allowed` is how many runs each release's dataset may have under its policy, earlier
    /// releases included.
    ///
    /// # Errors
    /// A broken chain, spent runs, or the system's.
    pub fn record(&self, releases: &[(Release, u64)], now: SystemTime) -> Result<(), LedgerError> {
        if releases.is_empty() {
            return Ok(());
        }
        let mut open = self.open()?;
        let mut entries = Vec::with_capacity(releases.len());
        for (release, allowed) in releases {
            let spent = self.counted(&open, &Key::of_release(release))?;
            let asked = u64::from(release.runs);
            if spent.saturating_add(asked) > *allowed {
                return Err(LedgerError::Spent {
                    dataset: release.dataset.clone(),
                    spent,
                    allowed: *allowed,
                    asked,
                });
            }
            let entry = Entry::Release(release.clone());
            open.since.count(&entry);
            entries.push(entry);
        }
        self.append(&mut open, entries, now)?;
        Ok(())
    }

    /// Records what else happened, and returns the head once it is stored.
    ///
    /// # Errors
    /// A broken chain, or the system's; a version that is older than one there was. A release is
    /// refused nothing here: [`record`](Self::record) counts.
    pub fn note(&self, entry: Entry, now: SystemTime) -> Result<Head, LedgerError> {
        let mut open = self.open()?;
        if let Entry::Added(added) = &entry {
            let key = Key::of_version(&added.owner, &added.dataset);
            let newest = self.newest_of(&open, &key)?;
            let is_older = |newest: &Newest| {
                newest.number > added.number
                    || newest.number == added.number && newest.object != added.object
            };
            if let Some(newest) = newest.filter(is_older) {
                return Err(LedgerError::OlderVersion {
                    dataset: added.dataset.clone(),
                    number: added.number,
                    object: added.object,
                    newest: newest.number,
                    newest_object: newest.object,
                });
            }
        }
        self.append(&mut open, vec![entry], now)
    }

    /// The newest version of an owner's dataset that was ever taken in.
    ///
    /// # Errors
    /// A broken chain, or the system's.
    pub fn newest(&self, owner: &Digest, dataset: &Name) -> Result<Option<Newest>, LedgerError> {
        self.newest_of(&self.open()?, &Key::of_version(owner, dataset))
    }

    /// For how many runs an owner's dataset was released under a policy so far.
    ///
    /// # Errors
    /// A broken chain, or the system's.
    pub fn spent(
        &self,
        policy: &Digest,
        owner: &Digest,
        dataset: &Name,
    ) -> Result<u64, LedgerError> {
        self.counted(&self.open()?, &Key::of(policy, owner, dataset))
    }

    /// How far it goes.
    ///
    /// # Errors
    /// A broken chain, or the system's.
    pub fn head(&self) -> Result<Head, LedgerError> {
        Ok(self.open()?.place.head)
    }

    /// Checks the whole chain, makes the index anew from it, and says how far it goes.
    ///
    /// # Errors
    /// A broken chain, or the system's.
    pub fn verify(&self) -> Result<Head, LedgerError> {
        let file = self.lock()?;
        Index::remove(&self.index_path())?;
        Ok(self.read(file)?.place.head)
    }

    /// Hands every entry on, in order, each once its place in the chain is checked. What is
    /// recorded meanwhile is not among them, and does not wait.
    ///
    /// # Errors
    /// A broken chain, or the system's.
    pub fn entries(
        &self,
        mut each: impl FnMut(Recorded) -> ControlFlow<()>,
    ) -> Result<Head, LedgerError> {
        let Open { file, place, .. } = self.open()?;
        drop(file);
        let file = File::open(&self.path).map_err(failed("open", &self.path))?;
        let mut chain = Chain::new(
            &self.path,
            BufReader::new(file.take(place.end)),
            Place::start(),
        );
        while let Some(recorded) = chain.next()? {
            if each(recorded).is_break() {
                return Ok(place.head);
            }
        }
        if chain.place() != place {
            return Err(chain.broken("lines are missing at the end"));
        }
        Ok(place.head)
    }

    fn append(
        &self,
        open: &mut Open,
        entries: Vec<Entry>,
        now: SystemTime,
    ) -> Result<Head, LedgerError> {
        let mut head = open.place.head;
        let time = crate::unix_seconds(now);
        let mut lines = Vec::new();
        for entry in entries {
            let line = Line::new(head.last, time, entry).to_bytes();
            if line.len() >= MAX_LINE {
                return Err(LedgerError::TooLong {
                    most: MAX_LINE - 1,
                    found: line.len(),
                });
            }
            head = head.after(Digest::of(&line));
            lines.extend_from_slice(&line);
            lines.push(b'\n');
        }
        open.file
            .seek(SeekFrom::Start(open.place.end))
            .and_then(|_| open.file.write_all(&lines))
            .and_then(|()| open.file.sync_data())
            .map_err(failed("write", &self.path))?;
        if open.place.end == 0 {
            // The file itself is new.
            sync_folder(folder_of(&self.path))?;
        }
        // A head that lags behind after a crash is accepted: the chain only went on.
        write_private_soon(&self.beside("head"), &to_json(&head))?;
        // Never made here: that it is gone says that this machine was started anew.
        if let Some(mark) = self.mark.as_ref().filter(|mark| mark.exists()) {
            write_private_soon(mark, &to_json(&head))?;
        }
        Ok(head)
    }

    fn newest_of(&self, open: &Open, key: &Key) -> Result<Option<Newest>, LedgerError> {
        match (open.since.newest(key), &open.index) {
            (None, Some(index)) => index.newest(&self.index_path(), key),
            (newest, _) => Ok(newest),
        }
    }

    fn counted(&self, open: &Open, key: &Key) -> Result<u64, LedgerError> {
        let indexed = match &open.index {
            Some(index) => index.runs(&self.index_path(), key)?,
            None => 0,
        };
        Ok(indexed.saturating_add(open.since.runs(key)))
    }

    fn open(&self) -> Result<Open, LedgerError> {
        self.read(self.lock()?)
    }

    fn lock(&self) -> Result<File, LedgerError> {
        private_folder(folder_of(&self.path))?;
        Ok(files::lock(&self.path)?)
    }

    /// Reads what the index does not know, and has it know that once it is much.
    fn read(&self, mut file: File) -> Result<Open, LedgerError> {
        let stated = [
            self.head_in(Some(&self.beside("head")))?,
            self.head_in(self.mark.as_deref())?,
        ];
        let path = self.index_path();
        let mut index = Index::open(&path).filter(|index| self.fits(&mut file, &index.place()));
        let known = match &index {
            Some(index) => index.place(),
            None => {
                Index::remove(&path)?;
                Place::start()
            }
        };
        let mut folded = known;
        let mut since = Sums::default();
        file.seek(SeekFrom::Start(known.end))
            .map_err(failed("read", &self.path))?;
        let mut chain = Chain::new(&self.path, BufReader::new(&mut file), known);
        self.meets(&chain.place(), &stated)?;
        while let Some(recorded) = chain.next()? {
            since.count(&recorded.entry);
            self.meets(&chain.place(), &stated)?;
            if since.len() >= FOLD_SUMS {
                drop(index.take());
                folded = chain.place();
                Index::fold(&path, &std::mem::take(&mut since), &folded)?;
            }
        }
        let (place, torn) = (chain.place(), chain.torn());
        if stated.iter().any(|stated| place.head.lines < stated.lines) {
            return Err(chain.broken("lines are missing at the end"));
        }
        if torn {
            // A crash while the line was written: its key never left.
            file.set_len(place.end)
                .map_err(failed("write", &self.path))?;
        }
        let beyond = place.head.lines - folded.head.lines;
        if beyond >= FOLD_LINES || place.end - folded.end >= FOLD_BYTES {
            drop(index.take());
            Index::fold(&path, &std::mem::take(&mut since), &place)?;
        }
        if index.is_none() && place.head.lines > 0 && path.exists() {
            index = Some(Index::open(&path).ok_or_else(|| index::unreadable(&path))?);
        }
        Ok(Open {
            file,
            index,
            since,
            place,
        })
    }

    /// Whether the last line an index knows is the one that stands there.
    fn fits(&self, file: &mut File, known: &Place) -> bool {
        let Some(length) = known.end.checked_sub(known.last_begins) else {
            return false;
        };
        if length > MAX_LINE as u64 {
            return false;
        }
        let mut line = vec![0; length as usize];
        let read = file
            .seek(SeekFrom::Start(known.last_begins))
            .and_then(|_| file.read_exact(&mut line));
        read.is_ok() && line.pop() == Some(b'\n') && Digest::of(&line) == known.head.last
    }

    /// Where as many lines are read as a head states, the last must be the one it names.
    fn meets(&self, place: &Place, stated: &[Head]) -> Result<(), LedgerError> {
        let other =
            |stated: &&Head| place.head.lines == stated.lines && place.head.last != stated.last;
        if let Some(stated) = stated.iter().find(other) {
            return Err(self.broken(stated.lines, "it is not the line the head names"));
        }
        Ok(())
    }

    fn head_in(&self, path: Option<&Path>) -> Result<Head, LedgerError> {
        let Some(path) = path else {
            return Ok(Head::start());
        };
        match read_capped(path, MAX_HEAD) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(Head::start()),
            bytes => {
                let bytes = bytes?;
                if bytes.is_empty() {
                    // A power cut before it was on the disk, which is not waited for.
                    return Ok(Head::start());
                }
                serde_json::from_slice(&bytes)
                    .map_err(|_| self.broken(0, "its head is not readable"))
            }
        }
    }

    fn index_path(&self) -> PathBuf {
        self.beside("index")
    }

    fn beside(&self, what: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".");
        path.push(what);
        path.into()
    }

    fn broken(&self, line: u64, reason: &str) -> LedgerError {
        LedgerError::Broken {
            path: self.path.clone(),
            line,
            reason: reason.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;

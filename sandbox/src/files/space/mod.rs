//! Scratch space: file pages in enclave memory first, sealed outside beyond that.
//!
//! All writable files of a run share one [`Space`]. Its pages are 64 KiB; the
//! least recently used ones leave the enclave as the [`PageStore`] seals them.
//! **Each sealing takes the next value of one counter, so no number is ever used
//! twice**, and the enclave keeps every page's latest number and tag: an altered,
//! moved or older page does not open.
//!
//! Locks are held for copying and sealing, never across a host call. A sealed
//! page stays in `outgoing` until the store has accepted it, so a call that is
//! dropped half way loses nothing.

mod file;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::sync::Semaphore;

use super::file::WriteError;
use crate::failure::Failure;
use crate::limits::{Budget, Budgets, PAGE_RECORD_BYTES};

pub(crate) use self::file::ScratchFile;

/// Bytes of a page.
pub const PAGE: usize = 64 << 10;

/// No file is longer than this, holes included.
const FILE_BYTES: u64 = 1 << 40;

/// Sealed pages that wait for the store before a writer waits for them.
const OUTGOING: usize = 8;

/// Pages fetched at once when a file is read in order.
const READ_AHEAD: u64 = 8;

/// Calls that fetch pages at the same time; a guest may wait for thousands of files at once.
const LOADS: usize = 4;

/// Numbers of pages the store need not keep, before it is told.
const DISCARDS: usize = 1024;

/// A sealed page's authentication tag.
pub type PageTag = [u8; 16];

/// Where spilled pages of one run go, and how they are sealed: for a keeper who is
/// believed in nothing.
///
/// Every page is exactly 64 KiB of ciphertext, and has a number of its own which
/// is never used again in this run.
#[async_trait]
pub trait PageStore: Send + Sync {
    /// Encrypts a page in place, under a number that was never used before.
    fn seal(&self, number: u64, page: &mut [u8]) -> PageTag;

    /// The page of this number and tag; `None` where this is another.
    fn open(&self, number: u64, tag: &PageTag, page: &[u8]) -> Option<Vec<u8>>;

    /// Keeps a page.
    async fn put(&self, number: u64, page: Bytes) -> Result<(), PageStoreError>;

    /// Gives a page back.
    async fn get(&self, number: u64) -> Result<Bytes, PageStoreError>;

    /// These pages are not needed any more.
    async fn discard(&self, numbers: &[u64]);
}

/// The store could not keep or give back a page.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PageStoreError(pub String);

/// Whose budget a file's bytes count against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// `/tmp`: whole pages, against the scratch limit.
    Scratch,
    /// Outputs and streams: their lengths, against the output limit.
    Output,
}

/// What the scratch space of a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpaceUsage {
    pub(crate) output_bytes: u64,
    pub(crate) scratch_peak: u64,
    pub(crate) spilled_bytes: u64,
}

/// The pages of all writable files of one run.
pub(crate) struct Space {
    state: Mutex<State>,
    store: Option<Arc<dyn PageStore>>,
    cache: u64,
    memory: Budget,
    scratch: Budget,
    output: Budget,
    loading: Semaphore,
    draining: tokio::sync::Mutex<()>,
}

struct State {
    files: HashMap<u64, FileState>,
    next_file: u64,
    /// Resident pages by when they were last used.
    recency: BTreeMap<u64, (u64, u64)>,
    clock: u64,
    resident: u64,
    /// The number of the page that was sealed last.
    counter: u64,
    outgoing: BTreeMap<u64, Bytes>,
    discards: Vec<u64>,
    scratch_pages: u64,
    /// What a page takes of the run's memory.
    page_cost: u64,
    usage: SpaceUsage,
}

struct FileState {
    account: Account,
    len: u64,
    pages: BTreeMap<u64, Page>,
    /// The page after the last one read, to see reading in order.
    next_read: u64,
}

/// Bytes past `valid` are zero. At least one of `resident` and `sealed` is there.
struct Page {
    valid: usize,
    resident: Option<Vec<u8>>,
    /// Its key in `State::recency` while resident.
    used: u64,
    sealed: Option<Sealed>,
}

/// What must come back, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sealed {
    number: u64,
    tag: PageTag,
}

/// What a call found it needs before it can go on.
enum Step<T> {
    Done(T),
    /// Fetch this page.
    Load(u64),
    /// Let the store catch up.
    Drain,
}

impl Space {
    /// An empty space within these budgets, `page_cache` bytes of it in memory.
    /// Without a store nothing is spilled, and every page counts as memory of the run.
    pub(crate) fn new(
        budgets: &Budgets,
        page_cache: u64,
        store: Option<Arc<dyn PageStore>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                files: HashMap::new(),
                next_file: 0,
                recency: BTreeMap::new(),
                clock: 0,
                resident: 0,
                counter: 0,
                outgoing: BTreeMap::new(),
                discards: Vec::new(),
                scratch_pages: 0,
                page_cost: match store {
                    // It leaves the enclave again.
                    Some(_) => PAGE_RECORD_BYTES,
                    None => PAGE_RECORD_BYTES + PAGE as u64,
                },
                usage: SpaceUsage::default(),
            }),
            store,
            // Room for the pages one call touches and the ones read ahead of it.
            cache: page_cache.max(4 * PAGE as u64),
            memory: budgets.memory.clone(),
            scratch: budgets.scratch.clone(),
            output: budgets.output.clone(),
            loading: Semaphore::new(LOADS),
            draining: tokio::sync::Mutex::default(),
        })
    }

    /// Where records of pages count, and names may too.
    pub(crate) fn memory(&self) -> &Budget {
        &self.memory
    }

    /// What it came to so far.
    pub(crate) fn usage(&self) -> SpaceUsage {
        self.state().usage
    }

    /// Counts bytes of output that are kept elsewhere.
    pub(crate) fn charge_output(&self, bytes: u64) -> Result<(), WriteError> {
        self.state().charge_output(bytes, &self.output)
    }

    /// A new, empty file.
    pub(crate) fn create(self: &Arc<Self>, account: Account) -> ScratchFile {
        let mut state = self.state();
        let id = state.next_file;
        state.next_file += 1;
        state.files.insert(
            id,
            FileState {
                account,
                len: 0,
                pages: BTreeMap::new(),
                next_read: 0,
            },
        );
        ScratchFile {
            space: Arc::clone(self),
            id,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it is held ends the run; nobody else uses this space.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for newly resident pages by sealing the least recently used.
    fn evict(&self, state: &mut State) {
        if let Some(store) = &self.store {
            while state.resident > self.cache && state.recency.len() > 1 {
                state.evict_oldest(store.as_ref());
            }
        }
    }

    /// Hands sealed pages to the store until few wait.
    async fn drain(&self) -> Result<(), Failure> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        // Whoever waited here finds little left to do.
        let _draining = self.draining.lock().await;
        let (batch, discards) = {
            let mut state = self.state();
            let batch: Vec<(u64, Bytes)> = state
                .outgoing
                .iter()
                .map(|(number, page)| (*number, page.clone()))
                .collect();
            (batch, std::mem::take(&mut state.discards))
        };
        let puts = batch.into_iter().map(|(number, page)| async move {
            store
                .put(number, page)
                .await
                .map_err(|error| Failure::SpillUnavailable(error.to_string()))?;
            let state = &mut *self.state();
            if state.outgoing.remove(&number).is_none() {
                // It was freed while it was on its way.
                state.discards.push(number);
            }
            Ok::<(), Failure>(())
        });
        try_join_all(puts).await?;
        if !discards.is_empty() {
            store.discard(&discards).await;
        }
        Ok(())
    }

    /// Makes a page resident, and those after it where the file is read in order.
    async fn load(&self, file: u64, page: u64) -> Result<(), Failure> {
        let _loading = self.loading.acquire().await;
        let (wanted, waiting) = {
            let state = self.state();
            (state.to_fetch(file, page, self.cache), state.outgoing.len())
        };
        if waiting >= OUTGOING {
            self.drain().await?;
        }
        let fetched = try_join_all(wanted.into_iter().map(|(page, sealed, here)| async move {
            let bytes = match here {
                Some(bytes) => bytes,
                None => self.fetch(sealed.number).await?,
            };
            Ok::<_, Failure>((page, sealed, bytes))
        }))
        .await?;
        let store = self.store()?;
        let mut state = self.state();
        for (page, sealed, bytes) in fetched {
            let plain = (bytes.len() == PAGE)
                .then(|| store.open(sealed.number, &sealed.tag, &bytes))
                .flatten()
                .ok_or(Failure::SpillCorrupt)?;
            state.install(file, page, sealed, plain);
        }
        self.evict(&mut state);
        Ok(())
    }

    fn store(&self) -> Result<&dyn PageStore, Failure> {
        self.store.as_deref().ok_or_else(|| {
            Failure::Internal("a page is missing from a space without a store".to_owned())
        })
    }

    async fn fetch(&self, number: u64) -> Result<Bytes, Failure> {
        self.store()?
            .get(number)
            .await
            .map_err(|error| Failure::SpillUnavailable(error.to_string()))
    }
}

impl State {
    fn charge_output(&mut self, bytes: u64, budget: &Budget) -> Result<(), WriteError> {
        if !budget.take(bytes) {
            let limit = budget.limit();
            return Err(WriteError::Limit(Failure::OutputLimit { limit }));
        }
        self.usage.output_bytes += bytes;
        Ok(())
    }

    fn return_output(&mut self, bytes: u64, budget: &Budget) {
        budget.give(bytes);
        self.usage.output_bytes -= bytes;
    }

    fn evict_oldest(&mut self, store: &dyn PageStore) {
        let Some((_, (file, index))) = self.recency.pop_first() else {
            return;
        };
        let page = self
            .files
            .get_mut(&file)
            .and_then(|file| file.pages.get_mut(&index));
        let Some(page) = page else { return };
        let Some(mut bytes) = page.resident.take() else {
            return;
        };
        self.resident -= PAGE as u64;
        if page.sealed.is_some() {
            return;
        }
        self.counter += 1;
        let number = self.counter;
        bytes.resize(PAGE, 0);
        let tag = store.seal(number, &mut bytes);
        page.sealed = Some(Sealed { number, tag });
        self.outgoing.insert(number, bytes.into());
        self.usage.spilled_bytes += PAGE as u64;
    }

    /// The pages to fetch for a read of `page`, each with its ciphertext where it
    /// has not left yet.
    fn to_fetch(&self, file: u64, page: u64, cache: u64) -> Vec<(u64, Sealed, Option<Bytes>)> {
        let Some(file) = self.files.get(&file) else {
            return Vec::new();
        };
        let ahead = if file.next_read == page && page > 0 {
            READ_AHEAD.min(cache / (4 * PAGE as u64)).max(1)
        } else {
            1
        };
        file.pages
            .range(page..page + ahead)
            .filter(|(_, page)| page.resident.is_none())
            .filter_map(|(index, page)| {
                let sealed = page.sealed?;
                Some((*index, sealed, self.outgoing.get(&sealed.number).cloned()))
            })
            .collect()
    }

    /// Puts a fetched page in its place, unless it was freed or rewritten meanwhile.
    fn install(&mut self, file: u64, index: u64, sealed: Sealed, mut plain: Vec<u8>) {
        let Some(page) = self
            .files
            .get_mut(&file)
            .and_then(|file| file.pages.get_mut(&index))
        else {
            return;
        };
        if page.resident.is_some() || page.sealed != Some(sealed) {
            return;
        }
        plain.truncate(page.valid);
        page.resident = Some(plain);
        self.resident += PAGE as u64;
        self.clock += 1;
        page.used = self.clock;
        self.recency.insert(self.clock, (file, index));
    }

    /// Forgets what is kept of a page, inside and outside.
    fn free(&mut self, account: Account, page: Page, scratch: &Budget, memory: &Budget) {
        memory.give(self.page_cost);
        if page.resident.is_some() {
            self.recency.remove(&page.used);
            self.resident -= PAGE as u64;
        }
        self.forget(page.sealed);
        if account == Account::Scratch {
            self.scratch_pages -= 1;
            scratch.give(PAGE as u64);
        }
    }

    fn forget(&mut self, sealed: Option<Sealed>) {
        if let Some(sealed) = sealed
            && self.outgoing.remove(&sealed.number).is_none()
        {
            // It has left. One that has not is gone with this, and its number costs nothing.
            self.discards.push(sealed.number);
        }
    }
}

#[cfg(test)]
mod tests;

//! The enclave memory that all inputs of a job share: decrypted blocks, least recently used out
//! first, and what is on its way to become one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use mc2_protocol::documents::storage::MAX_PART_LEN;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// What a request counts as at least: its connection has buffers too.
const LEAST: usize = 256 << 10;
/// Parts of lists of digests that are fetched at once.
const LISTS: usize = 4;
/// Bytes of digests of such lists' pages, for all inputs of a step: enough for 2 PiB in segments of
/// the size this release writes.
const RECORDS: usize = 64 << 20;

/// What one entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Block {
    /// Plaintext of several segments, for sequential readers.
    Chunk,
    /// Plaintext of one segment, for random readers.
    Segment,
    /// A page of the list of segment digests.
    Digests,
}

/// Names one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) file: u64,
    pub(super) block: Block,
    pub(super) index: u32,
}

/// What was fetched from the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Segments, again where they were fetched again.
    pub segments: u64,
    /// Sealed bytes, with lists of digests.
    pub bytes: u64,
}

/// A cache of at most so many bytes, with as many on their way to it.
pub struct BlockCache {
    capacity: usize,
    fetched_segments: AtomicU64,
    fetched_bytes: AtomicU64,
    files: AtomicU64,
    blocks: Mutex<Blocks>,
    arriving: Arc<Semaphore>,
    lists: Semaphore,
    records: AtomicUsize,
}

/// Room for a block that is fetched, until whoever waited for it has it.
pub(super) type Arriving = Arc<OwnedSemaphorePermit>;

#[derive(Default)]
struct Blocks {
    entries: HashMap<Key, (Bytes, u64)>,
    by_age: BTreeMap<u64, Key>,
    clock: u64,
    size: usize,
}

impl BlockCache {
    /// A cache that holds at most `capacity` bytes of plaintext and digests.
    pub fn new(capacity: usize) -> Self {
        let arriving = capacity.clamp(MAX_PART_LEN, u32::MAX as usize);
        Self {
            capacity,
            fetched_segments: AtomicU64::new(0),
            fetched_bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
            blocks: Mutex::default(),
            arriving: Arc::new(Semaphore::new(arriving)),
            lists: Semaphore::new(LISTS),
            records: AtomicUsize::new(0),
        }
    }

    /// Most bytes it holds.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// All that was fetched through it so far.
    pub fn fetched(&self) -> Fetched {
        Fetched {
            segments: self.fetched_segments.load(Ordering::Relaxed),
            bytes: self.fetched_bytes.load(Ordering::Relaxed),
        }
    }

    /// Notes what was fetched.
    pub(super) fn note_fetched(&self, segments: u32, bytes: usize) {
        self.fetched_segments
            .fetch_add(segments.into(), Ordering::Relaxed);
        self.fetched_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn next_file(&self) -> u64 {
        self.files.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until `length` bytes more may be on their way.
    pub(super) async fn reserve(&self, length: usize) -> Arriving {
        let permits = Arc::clone(&self.arriving);
        let permit = permits.acquire_many_owned(permits_of(length)).await;
        // The semaphore is never closed.
        Arc::new(permit.unwrap_or_else(|error| unreachable!("{error}")))
    }

    /// The same for what nobody waits for yet: not now where there is no room.
    pub(super) fn try_reserve(&self, length: usize) -> Option<Arriving> {
        let permits = Arc::clone(&self.arriving);
        let permit = permits.try_acquire_many_owned(permits_of(length));
        permit.ok().map(Arc::new)
    }

    /// Waits until one more part of a list may be fetched. Nothing is reserved under it.
    pub(super) async fn list_part(&self) -> SemaphorePermit<'_> {
        let permit = self.lists.acquire().await;
        // The semaphore is never closed.
        permit.unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// Room for so many bytes of page digests, until it is dropped; `None` where there is no more.
    pub(super) fn records(self: &Arc<Self>, bytes: usize) -> Option<Records> {
        let more = |used: usize| used.checked_add(bytes).filter(|total| *total <= RECORDS);
        self.records
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Records {
            cache: Arc::clone(self),
            bytes,
        })
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.blocks().entries.contains_key(key)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Bytes> {
        let mut blocks = self.blocks();
        blocks.clock += 1;
        let now = blocks.clock;
        let (bytes, age) = blocks.entries.get_mut(key)?;
        let bytes = bytes.clone();
        let before = std::mem::replace(age, now);
        blocks.by_age.remove(&before);
        blocks.by_age.insert(now, *key);
        Some(bytes)
    }

    /// Keeps `bytes`, which must be all of their allocation: a slice would keep the rest alive
    /// uncounted.
    pub(super) fn insert(&self, key: Key, bytes: Bytes) {
        let mut blocks = self.blocks();
        blocks.remove(&key);
        if bytes.len() > self.capacity {
            return;
        }
        while blocks.size + bytes.len() > self.capacity {
            let Some((_, oldest)) = blocks.by_age.first_key_value() else {
                break;
            };
            let oldest = *oldest;
            blocks.remove(&oldest);
        }
        blocks.clock += 1;
        let now = blocks.clock;
        blocks.size += bytes.len();
        blocks.by_age.insert(now, key);
        blocks.entries.insert(key, (bytes, now));
    }

    fn blocks(&self) -> std::sync::MutexGuard<'_, Blocks> {
        // No code under this lock panics halfway.
        self.blocks
            .lock()
            .unwrap_or_else(|error| error.into_inner())
    }
}

impl Blocks {
    fn remove(&mut self, key: &Key) {
        if let Some((bytes, age)) = self.entries.remove(key) {
            self.size -= bytes.len();
            self.by_age.remove(&age);
        }
    }
}

/// Bytes of page digests that are counted.
pub(super) struct Records {
    cache: Arc<BlockCache>,
    bytes: usize,
}

impl Drop for Records {
    fn drop(&mut self) {
        self.cache.records.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn permits_of(length: usize) -> u32 {
    // At most a part, which the semaphore has at least.
    length.clamp(LEAST, MAX_PART_LEN) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> Key {
        Key {
            file: 0,
            block: Block::Segment,
            index,
        }
    }

    #[test]
    fn the_least_recently_used_block_goes_first_and_the_size_holds() {
        let cache = BlockCache::new(30);
        for index in 0..3 {
            cache.insert(key(index), Bytes::from(vec![0; 10]));
        }
        assert!(cache.get(&key(0)).is_some());
        cache.insert(key(3), Bytes::from(vec![0; 10]));
        assert!(cache.contains(&key(0)) && !cache.contains(&key(1)));
        assert_eq!(cache.blocks().size, 30);
    }

    #[test]
    fn what_is_larger_than_the_cache_is_not_kept() {
        let cache = BlockCache::new(30);
        cache.insert(key(0), Bytes::from(vec![0; 10]));
        cache.insert(key(1), Bytes::from(vec![0; 31]));
        assert!(cache.contains(&key(0)) && !cache.contains(&key(1)));
    }

    #[test]
    fn no_more_is_on_its_way_than_there_is_room_for() {
        let cache = BlockCache::new(20 << 20);
        let held: Vec<_> = std::iter::from_fn(|| cache.try_reserve(1 << 20)).collect();
        assert_eq!(held.len(), 20);
        drop(held);
        // Small requests are not free.
        let small: Vec<_> = std::iter::from_fn(|| cache.try_reserve(1)).collect();
        assert!(small.len() <= 80);
        // What fits no cache is still read, one after the other.
        let none = BlockCache::new(0);
        assert!(none.try_reserve(MAX_PART_LEN).is_some());
    }

    #[test]
    fn page_digests_are_counted_and_given_back() {
        let cache = Arc::new(BlockCache::new(0));
        let first = cache.records(RECORDS - 10).expect("room");
        assert!(cache.records(11).is_none() && cache.records(usize::MAX).is_none());
        drop(first);
        assert!(cache.records(RECORDS).is_some());
    }
}

//! Decrypted blocks that all inputs of a job share, least recently used out first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

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

/// A cache of at most so many bytes.
pub struct BlockCache {
    capacity: usize,
    fetched_segments: AtomicU64,
    fetched_bytes: AtomicU64,
    files: AtomicU64,
    blocks: Mutex<Blocks>,
}

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
        Self {
            capacity,
            fetched_segments: AtomicU64::new(0),
            fetched_bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
            blocks: Mutex::default(),
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

    pub(super) fn insert(&self, key: Key, bytes: Bytes) {
        let mut blocks = self.blocks();
        blocks.remove(&key);
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
}

//! One sealed stream of an object, read at any offset.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::{Bytes, BytesMut};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use mc2_protocol::{
    DataKey, Digest, Manifest,
    sealed::{Layout, Opener, SealedError, Span},
};
use mc2_wire::bulk::{Ask, Part};
use tokio::sync::OnceCell;

use super::{
    cache::{Arriving, Block, BlockCache, Key},
    digests::DigestList,
    error::InputError,
    parts::Parts,
    readers::Readers,
};
use crate::storage::{Storage, StorageError};

/// One sealed stream of an object, opened with its key.
pub struct SealedFile {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Arc<Storage>,
    object: Digest,
    index: usize,
    opener: Opener,
    parts: Parts,
    digests: DigestList,
    ends: OnceCell<()>,
    cache: Arc<BlockCache>,
    /// This file's number in the cache.
    number: u64,
    reads: Mutex<Reads>,
}

/// Plaintext that has just come. It counts as on its way until nobody waits for it any more.
#[derive(Clone)]
struct Arrived {
    bytes: Bytes,
    _arriving: Arriving,
}

type Fetch = Shared<BoxFuture<'static, Result<Arrived, InputError>>>;

struct Reads {
    /// Chunks being fetched, by number.
    in_flight: HashMap<u32, Fetch>,
    readers: Readers,
}

impl SealedFile {
    /// Stream `index` of the object that `key` is for and `manifest` describes, if `key` is the one
    /// it was sealed with.
    ///
    /// # Errors
    /// [`SealedError::WrongKey`].
    ///
    /// # Panics
    /// When the manifest has no such stream.
    pub fn new(
        storage: Arc<Storage>,
        cache: Arc<BlockCache>,
        key: &DataKey,
        manifest: &Manifest,
        index: usize,
    ) -> Result<Self, SealedError> {
        let object = key.object;
        let opener = manifest.opener(index, &key.secret)?;
        let list = manifest.stream(index).segments.0;
        let (number, capacity) = (cache.next_file(), cache.capacity());
        let digests = DigestList::new(object, index, *opener.layout(), list, number);
        Ok(Self {
            inner: Arc::new(Inner {
                storage,
                object,
                index,
                parts: Parts::new(*opener.layout()),
                opener,
                digests,
                ends: OnceCell::new(),
                cache,
                number,
                reads: Mutex::new(Reads {
                    in_flight: HashMap::new(),
                    readers: Readers::sharing(capacity),
                }),
            }),
        })
    }

    /// Plaintext length in bytes.
    pub fn len(&self) -> u64 {
        self.inner.layout().length()
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks the list of digests and that the file ends where its manifest says.
    ///
    /// # Errors
    /// [`InputError`].
    pub async fn check_end(&self) -> Result<(), InputError> {
        self.inner.check_end().await
    }

    /// All of it, in memory: for what a manifest bounds.
    ///
    /// # Errors
    /// [`InputError`].
    pub(crate) async fn read_all(&self) -> Result<Vec<u8>, InputError> {
        self.check_end().await?;
        let length = usize::try_from(self.len()).map_err(|_| InputError::Short)?;
        self.read_exact(length).await
    }

    /// Its first `length` bytes, in memory.
    ///
    /// # Errors
    /// [`InputError`], also where it ends before.
    pub(crate) async fn read_exact(&self, length: usize) -> Result<Vec<u8>, InputError> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let more = self
                .read_at(bytes.len() as u64, length - bytes.len())
                .await?;
            if more.is_empty() {
                return Err(InputError::Short);
            }
            bytes.extend_from_slice(&more);
        }
        Ok(bytes)
    }

    /// All of it, fetched from its start to its end in parts of one size, one after the other.
    ///
    /// # Errors
    /// [`InputError`].
    pub(super) async fn read_whole(&self) -> Result<Bytes, InputError> {
        let inner = &self.inner;
        let length = usize::try_from(self.len()).map_err(|_| InputError::Short)?;
        let mut whole = BytesMut::with_capacity(length);
        for chunk in 0..inner.parts.chunks() {
            let span = inner.parts.chunk(chunk);
            let arriving = inner.reserve(span).await;
            whole.extend_from_slice(&inner.fetch(span, arriving).await?.bytes);
        }
        Ok(whole.freeze())
    }

    /// Bytes at `offset` that are decrypted already, at most `length` of them and possibly fewer;
    /// `None` where none are. Never waits.
    pub fn try_read_at(&self, offset: u64, length: usize) -> Option<Bytes> {
        if offset >= self.len() || length == 0 {
            return Some(Bytes::new());
        }
        let bytes = self.inner.cached(offset, length)?;
        self.inner.note(offset, bytes.len());
        Some(bytes)
    }

    /// At least one byte at `offset` unless it is the end or `length` is 0; at most `length`.
    ///
    /// # Errors
    /// [`InputError`].
    pub async fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, InputError> {
        if let Some(bytes) = self.try_read_at(offset, length) {
            return Ok(bytes);
        }
        self.inner.check_end().await?;
        let inner = &self.inner;
        let ahead = inner.reads().readers.ahead(offset);
        if let Some(chunks) = inner.parts.ahead(ahead) {
            let chunk = inner.parts.chunk_of(offset);
            let fetch = inner.chunk(chunk).await;
            inner.read_ahead(chunk, chunks);
            let block = fetch.await?;
            let start = inner.parts.start(inner.parts.chunk(chunk));
            let bytes = slice(&block.bytes, start, offset, length);
            inner.note(offset, bytes.len());
            return Ok(bytes);
        }
        let wanted = usize::try_from(ahead).unwrap_or(length).max(length);
        let block = inner.random(offset, wanted).await?;
        let bytes = block.slice(..length.min(block.len()));
        inner.note(offset, bytes.len());
        Ok(bytes)
    }
}

impl Inner {
    fn layout(&self) -> &Layout {
        self.opener.layout()
    }

    fn reads(&self) -> MutexGuard<'_, Reads> {
        // Nothing that holds this lock can panic halfway through a change.
        self.reads.lock().unwrap_or_else(|error| error.into_inner())
    }

    async fn check_end(&self) -> Result<(), InputError> {
        self.ends
            .get_or_try_init(|| async {
                self.digests.check(&self.storage, &self.cache).await?;
                let last = Span {
                    first: self.layout().segments() - 1,
                    count: 1,
                };
                let arriving = self.reserve(last).await;
                let block = self.fetch(last, arriving).await?;
                self.cache.insert(self.segment_key(last.first), block.bytes);
                Ok(())
            })
            .await
            .copied()
    }

    fn cached(&self, offset: u64, length: usize) -> Option<Bytes> {
        let chunk = self.parts.chunk_of(offset);
        if let Some(block) = self.cache.get(&self.chunk_key(chunk)) {
            let start = self.parts.start(self.parts.chunk(chunk));
            return Some(slice(&block, start, offset, length));
        }
        let segment = self.layout().segment_of(offset);
        let block = self.cache.get(&self.segment_key(segment))?;
        Some(slice(
            &block,
            self.layout().plaintext(segment).0,
            offset,
            length,
        ))
    }

    /// Remembers how far this reader came, and reads ahead when it enters a chunk.
    fn note(self: &Arc<Self>, offset: u64, length: usize) {
        let end = offset + length as u64;
        let ahead = self.reads().readers.note(offset, end);
        let Some(chunks) = self.parts.ahead(ahead) else {
            return;
        };
        if end >= self.layout().length() {
            return;
        }
        let (before, after) = (self.parts.chunk_of(offset), self.parts.chunk_of(end));
        if before != after {
            self.read_ahead(after, chunks);
        }
    }

    /// Starts fetching so many chunks after `chunk`, those that are neither cached nor on their
    /// way, while there is room for them.
    fn read_ahead(self: &Arc<Self>, chunk: u32, more: u32) {
        let upto = chunk.saturating_add(1 + more).min(self.parts.chunks());
        for next in chunk + 1..upto {
            if self.cache.contains(&self.chunk_key(next)) || self.in_flight(next).is_some() {
                continue;
            }
            let (_, length) = self.layout().sealed(self.parts.chunk(next));
            let Some(arriving) = self.cache.try_reserve(length) else {
                return;
            };
            drop(self.start(next, arriving));
        }
    }

    /// The fetch of one chunk: the one under way, or a new one as soon as there is room.
    async fn chunk(self: &Arc<Self>, chunk: u32) -> Fetch {
        if let Some(fetch) = self.in_flight(chunk) {
            return fetch;
        }
        let arriving = self.reserve(self.parts.chunk(chunk)).await;
        self.start(chunk, arriving)
    }

    fn in_flight(&self, chunk: u32) -> Option<Fetch> {
        self.reads().in_flight.get(&chunk).cloned()
    }

    /// Starts to fetch a chunk, unless somebody else has meanwhile.
    fn start(self: &Arc<Self>, chunk: u32, arriving: Arriving) -> Fetch {
        let mut reads = self.reads();
        if let Some(fetch) = reads.in_flight.get(&chunk) {
            return fetch.clone();
        }
        let inner = Arc::clone(self);
        let task = tokio::spawn(async move {
            let result = inner.fetch(inner.parts.chunk(chunk), arriving).await;
            if let Ok(block) = &result {
                let key = inner.chunk_key(chunk);
                inner.cache.insert(key, block.bytes.clone());
            }
            inner.reads().in_flight.remove(&chunk);
            result
        });
        let fetch: Fetch = async move {
            task.await.unwrap_or_else(|error| {
                Err(InputError::Storage(StorageError::Unreachable(
                    error.to_string(),
                )))
            })
        }
        .boxed()
        .shared();
        // The task removes itself under this same lock, so it cannot be gone before it is here.
        reads.in_flight.insert(chunk, fetch.clone());
        fetch
    }

    async fn random(&self, offset: u64, length: usize) -> Result<Bytes, InputError> {
        let span = self.parts.touched(offset, length);
        let arriving = self.reserve(span).await;
        let block = self.fetch(span, arriving).await?;
        let start = self.parts.start(span);
        for segment in span.segments() {
            let (from, len) = self.layout().plaintext(segment);
            let at = (from - start) as usize;
            let bytes = match span.count {
                1 => block.bytes.clone(),
                _ => Bytes::copy_from_slice(&block.bytes[at..at + len]),
            };
            self.cache.insert(self.segment_key(segment), bytes);
        }
        Ok(slice(&block.bytes, start, offset, length))
    }

    /// Waits until these segments may be fetched.
    async fn reserve(&self, span: Span) -> Arriving {
        self.cache.reserve(self.layout().sealed(span).1).await
    }

    /// Fetches, checks and opens segments; their plaintext stands end to end.
    async fn fetch(&self, span: Span, arriving: Arriving) -> Result<Arrived, InputError> {
        let digests = self
            .digests
            .of(span.first, span.count, &self.storage, &self.cache)
            .await?;
        let (from, length) = self.layout().sealed(span);
        let ask = Ask {
            object: self.object,
            part: Part::File,
            index: self.index as u32,
            offset: from,
            length: length as u32,
        };
        let mut buffer = self.storage.read(&ask).await?;
        self.cache.note_fetched(span.count, length);
        let length = self.opener.open_span(span, &digests, &mut buffer)?;
        buffer.truncate(length);
        Ok(Arrived {
            bytes: buffer.freeze(),
            _arriving: arriving,
        })
    }

    fn chunk_key(&self, chunk: u32) -> Key {
        Key {
            file: self.number,
            block: Block::Chunk,
            index: chunk,
        }
    }

    fn segment_key(&self, segment: u32) -> Key {
        Key {
            file: self.number,
            block: Block::Segment,
            index: segment,
        }
    }
}

/// The part of `block`, which starts at `start`, that begins at `offset` and has at most `length`
/// bytes.
fn slice(block: &Bytes, start: u64, offset: u64, length: usize) -> Bytes {
    let from = (offset - start) as usize;
    block.slice(from..(from + length).min(block.len()))
}

#[cfg(test)]
mod tests;

//! The list of a file's segment digests, without holding it.
//!
//! The list is read once from end to end and compared with the digest in the manifest; of every
//! page of it only a digest stays in enclave memory (32 bytes for each 64 MiB of input). A page
//! that is needed later and has left the cache is fetched again and compared with that.

use std::sync::Arc;

use bytes::Bytes;
use mc2_protocol::{
    Digest,
    sealed::{DIGEST_LEN, Layout, SealedError},
};
use mc2_wire::bulk::{Ask, Part};
use tokio::sync::OnceCell;

use super::{
    cache::{Block, BlockCache, Key, Records},
    error::InputError,
};
use crate::storage::Storage;

/// Digests on one page.
const PAGE_DIGESTS: u32 = 1024;
/// Bytes of the list that are fetched at once: whole pages.
const PART: usize = 32 * PAGE_DIGESTS as usize * DIGEST_LEN;

pub(super) struct DigestList {
    object: Digest,
    index: usize,
    layout: Layout,
    expected: [u8; 32],
    number: u64,
    pages: OnceCell<Pages>,
}

/// A digest of every page of the list, counted.
struct Pages {
    digests: Vec<[u8; 32]>,
    _counted: Records,
}

impl DigestList {
    pub(super) fn new(
        object: Digest,
        index: usize,
        layout: Layout,
        expected: [u8; 32],
        number: u64,
    ) -> Self {
        Self {
            object,
            index,
            layout,
            expected,
            number,
            pages: OnceCell::new(),
        }
    }

    /// Reads the whole list and compares it with the manifest, once.
    pub(super) async fn check(
        &self,
        storage: &Storage,
        cache: &Arc<BlockCache>,
    ) -> Result<&[[u8; 32]], InputError> {
        let pages = self
            .pages
            .get_or_try_init(|| self.read(storage, cache))
            .await?;
        Ok(&pages.digests)
    }

    /// The digests of `count` segments from `first`.
    pub(super) async fn of(
        &self,
        first: u32,
        count: u32,
        storage: &Storage,
        cache: &Arc<BlockCache>,
    ) -> Result<Vec<[u8; DIGEST_LEN]>, InputError> {
        let pages = self.check(storage, cache).await?;
        let mut digests = Vec::with_capacity(count as usize);
        let mut next = first;
        while next < first + count {
            let page = next / PAGE_DIGESTS;
            let bytes = self.page(page, pages, storage, cache).await?;
            let from = (next % PAGE_DIGESTS) as usize * DIGEST_LEN;
            let upto = (first + count - page * PAGE_DIGESTS).min(PAGE_DIGESTS) as usize;
            let (entries, _) = bytes[from..upto * DIGEST_LEN].as_chunks::<DIGEST_LEN>();
            digests.extend_from_slice(entries);
            next += entries.len() as u32;
        }
        Ok(digests)
    }

    async fn page(
        &self,
        page: u32,
        pages: &[[u8; 32]],
        storage: &Storage,
        cache: &Arc<BlockCache>,
    ) -> Result<Bytes, InputError> {
        let key = self.key(page);
        if let Some(bytes) = cache.get(&key) {
            return Ok(bytes);
        }
        let offset = u64::from(page) * u64::from(PAGE_DIGESTS) * DIGEST_LEN as u64;
        let full = PAGE_DIGESTS as usize * DIGEST_LEN;
        let length = full.min((self.list_len() - offset) as usize);
        let bytes = {
            let _part = cache.list_part().await;
            storage.read(&self.ask(offset, length)).await?.freeze()
        };
        cache.note_fetched(0, length);
        if blake3::hash(&bytes).as_bytes() != &pages[page as usize] {
            return Err(SealedError::DigestList.into());
        }
        cache.insert(key, bytes.clone());
        Ok(bytes)
    }

    async fn read(&self, storage: &Storage, cache: &Arc<BlockCache>) -> Result<Pages, InputError> {
        let page_len = PAGE_DIGESTS as usize * DIGEST_LEN;
        let count = self.layout.segments().div_ceil(PAGE_DIGESTS) as usize;
        let counted = cache
            .records(count * DIGEST_LEN)
            .ok_or(InputError::TooManySegments)?;
        let mut whole = blake3::Hasher::new();
        let mut digests = Vec::new();
        let mut offset = 0;
        while offset < self.list_len() {
            let length = PART.min((self.list_len() - offset) as usize);
            let _part = cache.list_part().await;
            let part = storage.read(&self.ask(offset, length)).await?.freeze();
            cache.note_fetched(0, length);
            whole.update(&part);
            for at in (0..part.len()).step_by(page_len) {
                let page = part.slice(at..(at + page_len).min(part.len()));
                let number = digests.len() as u32;
                digests.push(*blake3::hash(&page).as_bytes());
                // Before the whole is checked nothing reads it: `check` has not returned yet.
                cache.insert(self.key(number), Bytes::copy_from_slice(&page));
            }
            offset += length as u64;
        }
        if whole.finalize().as_bytes() != &self.expected {
            return Err(SealedError::DigestList.into());
        }
        Ok(Pages {
            digests,
            _counted: counted,
        })
    }

    fn ask(&self, offset: u64, length: usize) -> Ask {
        Ask {
            object: self.object,
            part: Part::Digests,
            index: self.index as u32,
            offset,
            // At most a part's length.
            length: length as u32,
        }
    }

    fn list_len(&self) -> u64 {
        u64::from(self.layout.segments()) * DIGEST_LEN as u64
    }

    fn key(&self, page: u32) -> Key {
        Key {
            file: self.number,
            block: Block::Digests,
            index: page,
        }
    }
}

//! Where pages of `/tmp` and `/out` go that are not kept in memory: sealed, in a file
//! without a name.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use mc2_protocol::sealed::PageCipher;
use mc2_sandbox::{PAGE, PageStore, PageStoreError, PageTag};

/// Pages by their numbers, in slots that are used again.
pub(super) struct Pages {
    file: File,
    cipher: PageCipher,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    taken: HashMap<u64, u64>,
    free: Vec<u64>,
    next: u64,
}

impl Pages {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            cipher: PageCipher::generate(&mut crate::random()),
            slots: Mutex::default(),
        })
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // Every change under this lock is complete before anything can panic.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl PageStore for Pages {
    fn seal(&self, number: u64, page: &mut [u8]) -> PageTag {
        self.cipher.seal(number, page)
    }

    fn open(&self, number: u64, tag: &PageTag, page: &[u8]) -> Option<Vec<u8>> {
        self.cipher.open(number, tag, page).ok()
    }

    async fn put(&self, number: u64, page: Bytes) -> Result<(), PageStoreError> {
        let slot = {
            let mut slots = self.slots();
            let slot = slots.free.pop().unwrap_or(slots.next);
            slots.next = slots.next.max(slot + 1);
            slots.taken.insert(number, slot);
            slot
        };
        self.file
            .write_all_at(&page, slot * PAGE as u64)
            .map_err(|error| PageStoreError(error.to_string()))
    }

    async fn get(&self, number: u64) -> Result<Bytes, PageStoreError> {
        let slot = self.slots().taken.get(&number).copied();
        let slot = slot.ok_or_else(|| PageStoreError(format!("there is no page {number}")))?;
        let mut page = vec![0; PAGE];
        self.file
            .read_exact_at(&mut page, slot * PAGE as u64)
            .map_err(|error| PageStoreError(error.to_string()))?;
        Ok(page.into())
    }

    async fn discard(&self, numbers: &[u64]) {
        let mut slots = self.slots();
        for number in numbers {
            if let Some(slot) = slots.taken.remove(number) {
                slots.free.push(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_comes_back_and_its_place_is_used_again() {
        let pages = Pages::new().unwrap();
        let page = |byte| Bytes::from(vec![byte; PAGE]);
        pages.put(1, page(1)).await.unwrap();
        pages.put(2, page(2)).await.unwrap();
        pages.discard(&[1]).await;
        pages.put(3, page(3)).await.unwrap();
        assert_eq!(pages.get(2).await.unwrap(), page(2));
        assert_eq!(pages.get(3).await.unwrap(), page(3));
        assert!(pages.get(1).await.is_err());
        assert_eq!(pages.file.metadata().unwrap().len(), 2 * PAGE as u64);
    }
}

//! Where scratch pages go that do not fit into enclave memory: sealed, to the host's storage.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mc2_protocol::{documents::storage::UploadId, encoding::Hex, sealed::PageCipher};
use mc2_sandbox::{PAGE, PageStore, PageStoreError, PageTag};
use mc2_wire::routes::{spill_area_path, spill_path};

use crate::{random, storage::Storage};

/// One run's area of the host's spill storage.
pub(crate) struct SpillArea {
    storage: Arc<Storage>,
    area: UploadId,
    cipher: PageCipher,
}

impl SpillArea {
    pub(crate) fn new(storage: Arc<Storage>) -> Self {
        Self {
            storage,
            area: Hex(random::bytes()),
            cipher: PageCipher::generate(&mut random::rng()),
        }
    }
}

#[async_trait]
impl PageStore for SpillArea {
    fn seal(&self, number: u64, page: &mut [u8]) -> PageTag {
        self.cipher.seal(number, page)
    }

    fn open(&self, number: u64, tag: &PageTag, page: &[u8]) -> Option<Vec<u8>> {
        self.cipher.open(number, tag, page).ok()
    }

    async fn put(&self, number: u64, page: Bytes) -> Result<(), PageStoreError> {
        self.storage
            .put(&spill_path(&self.area, number), page)
            .await
            .map_err(|error| PageStoreError(error.to_string()))
    }

    async fn get(&self, number: u64) -> Result<Bytes, PageStoreError> {
        self.storage
            .get(&spill_path(&self.area, number), PAGE)
            .await
            .map_err(|error| PageStoreError(error.to_string()))
    }

    async fn discard(&self, numbers: &[u64]) {
        for number in numbers {
            // As when the area is dropped.
            let _ = self.storage.delete(&spill_path(&self.area, *number)).await;
        }
    }
}

impl Drop for SpillArea {
    /// Tells the host that nothing of it is needed any more.
    fn drop(&mut self) {
        let (storage, area) = (Arc::clone(&self.storage), self.area);
        tokio::spawn(async move {
            // Whether the host tidies up is its own affair: the key is gone.
            let _ = storage.delete(&spill_area_path(&area)).await;
        });
    }
}

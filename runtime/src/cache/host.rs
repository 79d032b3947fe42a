//! Entries of the compilation cache on the host.

use async_trait::async_trait;
use mc2_protocol::Digest;
use mc2_sandbox::Caps;
use mc2_wire::{Address, routes::cache_path};

use super::sealed::Entries;
use crate::storage::Storage;

/// The most bytes of an entry: native code is so many times the size of its component at most.
const ENTRY_BYTES: usize = 16 * Caps::DEFAULT.component_bytes as usize;

/// Entries that the host keeps. It may lose them, swap them or write its own: an entry that is not
/// what was asked for opens under no key.
pub struct HostEntries(Storage);

impl HostEntries {
    /// Those of the host at `address`.
    pub fn of(address: Address) -> Self {
        Self(Storage::of(address))
    }
}

#[async_trait]
impl Entries for HostEntries {
    async fn get(&self, name: &Digest) -> Option<Vec<u8>> {
        let entry = self.0.get(&cache_path(name), ENTRY_BYTES).await;
        // Whatever is wrong, the component is compiled again.
        entry.ok().map(Vec::from)
    }

    async fn put(&self, name: &Digest, entry: Vec<u8>) {
        let _ = self.0.put(&cache_path(name), entry.into()).await;
    }
}

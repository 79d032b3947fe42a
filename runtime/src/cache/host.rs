//! Entries of the compilation cache on the host.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mc2_protocol::Digest;
use mc2_wire::{Address, routes::cache_path};
use tokio::{sync::Semaphore, time::timeout};

use super::sealed::Entries;
use crate::storage::Storage;

/// The most bytes of an entry: a host takes no more.
const ENTRY_BYTES: usize = 2 * 1024 * 1024 * 1024;
/// How long a host may take to give an entry: beyond that compiling is quicker.
const GET_TIME: Duration = Duration::from_secs(60);
/// How long one may take to keep an entry.
const PUT_TIME: Duration = Duration::from_secs(60);
/// Most entries at once that are on their way to the host, each of which is in memory.
const PUTS: usize = 4;

/// Entries that the host keeps. It may lose them, swap them or write its own: an entry that is not
/// what was asked for opens under no key. And it may take its time, which no job waits for long.
pub struct HostEntries {
    storage: Arc<Storage>,
    puts: Arc<Semaphore>,
}

impl HostEntries {
    /// Those of the host at `address`.
    pub fn of(address: Address) -> Self {
        Self {
            storage: Arc::new(Storage::of(address)),
            puts: Arc::new(Semaphore::new(PUTS)),
        }
    }
}

#[async_trait]
impl Entries for HostEntries {
    async fn get(&self, name: &Digest) -> Option<Vec<u8>> {
        let path = cache_path(name);
        let entry = timeout(GET_TIME, self.storage.get(&path, ENTRY_BYTES)).await;
        // Whatever is wrong, the component is compiled again.
        entry.ok()?.ok().map(Vec::from)
    }

    async fn put(&self, name: &Digest, entry: Vec<u8>) {
        // Where so many are on their way, the component is compiled again next time.
        let Ok(permit) = Arc::clone(&self.puts).try_acquire_owned() else {
            return;
        };
        let (storage, path) = (Arc::clone(&self.storage), cache_path(name));
        // The one who compiled does not wait for it.
        tokio::spawn(async move {
            let _ = timeout(PUT_TIME, storage.put(&path, entry.into())).await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A host that takes connections and never answers. Time passes by itself here, and only when all
    /// wait.
    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_answer_holds_a_compilation_up_for_a_minute_at_most() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let entries = HostEntries::of(address);
        let name = Digest::of(b"name");
        let start = tokio::time::Instant::now();
        for _ in 0..PUTS {
            entries.put(&name, vec![7; 100]).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(entries.puts.available_permits(), 0);
        // One too many is dropped, and waits for none.
        entries.put(&name, vec![7; 100]).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(entries.get(&name).await.is_none());
        assert!(start.elapsed() <= GET_TIME + Duration::from_secs(1));
        tokio::time::sleep(PUT_TIME).await;
        assert_eq!(entries.puts.available_permits(), PUTS);
    }
}

//! The simulator's compilation cache: a folder of the user's own, with its key beside it.
//!
//! That is as safe as a simulator is, which is not; a real enclave derives its key instead.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use io::{Read as _, Write as _};
use mc2_sandbox::{CompilationCache, SealedCache};
use zeroize::Zeroizing;

struct FolderCache {
    folder: PathBuf,
}

/// Opens the cache in `folder`, making folder and key where there are none.
pub(crate) fn open(folder: &Path) -> io::Result<SealedCache> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let key = key(&folder.join("key"))?;
    let folder = folder.to_path_buf();
    Ok(SealedCache::new(key, Arc::new(FolderCache { folder })))
}

#[async_trait::async_trait]
impl CompilationCache for FolderCache {
    async fn get(&self, name: &str, max_bytes: u64) -> Option<Bytes> {
        let path = self.folder.join(name);
        let read = move || {
            let file = fs::File::open(path).ok()?;
            let length = file.metadata().ok()?.len();
            if length > max_bytes {
                return None;
            }
            let mut bytes = Vec::with_capacity(length as usize + 1);
            file.take(max_bytes).read_to_end(&mut bytes).ok()?;
            Some(bytes.into())
        };
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    async fn put(&self, name: &str, entry: Bytes) {
        let target = self.folder.join(name);
        let write = move || write_atomically(&target, &entry);
        // Without the entry the next start compiles again, and that is all.
        let _ = tokio::task::spawn_blocking(write).await;
    }
}

fn key(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    if let Ok(bytes) = fs::read(path).map(Zeroizing::new)
        && let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice())
    {
        return Ok(Zeroizing::new(key));
    }
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(io::Error::other)?;
    write_atomically(path, key.as_slice())?;
    // Another process may have been faster: both must use what is there.
    let bytes = Zeroizing::new(fs::read(path)?);
    let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(io::Error::other)?;
    Ok(Zeroizing::new(key))
}

fn write_atomically(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(io::Error::other)?;
    let temporary = target.with_extension(format!("{:016x}.tmp", u64::from_le_bytes(number)));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| fs::rename(&temporary, target));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

//! Where the simulator keeps compiled code: a folder of the user's own, with its key beside it.
//!
//! That is as safe as a simulator is, which is not; a real enclave derives its key instead.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use getrandom::SysRng;
use io::{Read as _, Write as _};
use mc2_protocol::{Digest, SecretKey};
use mc2_runtime::cache::Entries;
use mc2_sandbox::Caps;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

/// The most bytes of an entry: native code is so many times the size of its component at most.
const ENTRY_BYTES: u64 = 16 * Caps::DEFAULT.component_bytes;

/// A folder of opaque entries.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens the folder and its key, making both where there are none.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, SecretKey)> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        let key = key(&path.join("key"))?;
        let path = path.to_path_buf();
        Ok((Self { path }, key))
    }
}

#[async_trait]
impl Entries for Folder {
    async fn get(&self, name: &Digest) -> Option<Vec<u8>> {
        let path = self.path.join(name.to_string());
        let read = move || {
            let file = fs::File::open(path).ok()?;
            let length = file.metadata().ok()?.len();
            if length > ENTRY_BYTES {
                return None;
            }
            let mut bytes = Vec::with_capacity(length as usize + 1);
            file.take(ENTRY_BYTES).read_to_end(&mut bytes).ok()?;
            Some(bytes)
        };
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    async fn put(&self, name: &Digest, entry: Vec<u8>) {
        let target = self.path.join(name.to_string());
        let write = move || write_atomically(&target, &entry);
        // Without the entry the next start compiles again, and that is all.
        let _ = tokio::task::spawn_blocking(write).await;
    }
}

fn key(path: &Path) -> io::Result<SecretKey> {
    let read = || fs::read(path).map(|bytes| SecretKey::from_slice(&Zeroizing::new(bytes)));
    if let Ok(Some(key)) = read() {
        return Ok(key);
    }
    let fresh = SecretKey::generate(&mut UnwrapErr(SysRng));
    write_atomically(path, fresh.expose())?;
    // Another process may have been faster: both must use what is there.
    read()?.ok_or_else(|| io::Error::other("the cache's key is not 32 bytes"))
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

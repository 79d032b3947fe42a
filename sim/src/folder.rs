//! Where the simulator keeps compiled code: a folder of the user's own, with its key beside it.
//!
//! That is as safe as a simulator is, which is not; a real enclave derives its key instead.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use io::{Read as _, Write as _};
use mc2_sandbox::Caps;
use zeroize::Zeroizing;

/// The most bytes of an entry: native code is so many times the size of its component at most.
const ENTRY_BYTES: u64 = 16 * Caps::DEFAULT.component_bytes;

/// A folder of opaque entries.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens the folder and its key, making both where there are none.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Zeroizing<[u8; 32]>)> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        let key = key(&path.join("key"))?;
        let path = path.to_path_buf();
        Ok((Self { path }, key))
    }

    /// The entry of this name.
    pub(crate) async fn get(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.path.join(name);
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

    /// Keeps an entry under this name.
    pub(crate) async fn put(&self, name: &str, entry: Vec<u8>) {
        let target = self.path.join(name);
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

//! The compilation cache: code that runtimes compiled and sealed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use mc2_protocol::Digest;

use super::files::{TEMPORARY, keep, open, receive};
use crate::{
    refusal::{Refusal, blocking},
    transfer::incoming::Incoming,
};

/// Largest sealed entry, in bytes.
pub(crate) const MAX_ENTRY_LEN: usize = 2 * 1024 * 1024 * 1024;

/// All entries.
pub(crate) struct Cache {
    folder: PathBuf,
    limit: u64,
    durable: bool,
}

impl Cache {
    pub(super) fn new(folder: PathBuf, limit: u64, durable: bool) -> Self {
        Self {
            folder,
            limit,
            durable,
        }
    }

    /// Stores an entry.
    pub(crate) async fn put(&self, key: Digest, body: Incoming) -> Result<(), Refusal> {
        let (file, _) = receive(&self.folder, body).await?;
        keep(file, self.path(&key), self.durable).await?;
        let (folder, limit) = (self.folder.clone(), self.limit);
        blocking(move || Ok(shrink(&folder, limit, &key.to_string())?)).await
    }

    /// Opens an entry.
    pub(crate) fn open(&self, key: &Digest) -> Result<File, Refusal> {
        let file = open(&self.path(key), || format!("no entry {key} is cached"))?;
        // Which entry goes first when room is needed; not worth an error.
        let _ = file.set_modified(SystemTime::now());
        Ok(file)
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.folder.join(key.to_string())
    }
}

/// Removes the files used longest ago, but for `keep`, until the rest has at most `limit` bytes.
fn shrink(folder: &Path, limit: u64, keep: &str) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // It may have gone since.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if !entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            files.push((metadata.modified()?, metadata.len(), entry.path()));
        }
    }
    files.sort();
    let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
    for (_, length, path) in files {
        if total <= limit {
            break;
        }
        if !path.ends_with(keep) && fs::remove_file(&path).is_ok() {
            total -= length;
        }
    }
    Ok(())
}

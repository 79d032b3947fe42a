//! The folder: sealed objects, components, the compilation cache, scratch.
//!
//! Whatever has a name here was renamed to it when it was whole; everything else lies under
//! `uploads/` or is called `tmp-…`, and is removed at the next start.

pub(crate) mod objects;
pub(crate) mod spill;
pub(crate) mod uploads;

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, FileTypeExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::StatusCode;
use mc2_protocol::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::{
    HostConfig,
    body::Buffers,
    incoming::Incoming,
    refusal::{Refusal, blocking},
    runtimes::RuntimeId,
};
use spill::Spill;
use uploads::Uploads;

/// Start of the name of a file that is not whole yet.
const TEMPORARY: &str = "tmp-";
/// A temporary file in a folder shared with other hosts is nobody's after this long.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes gathered before they are written.
const WRITE: usize = 1024 * 1024;
/// Largest sealed entry of the compilation cache, in bytes.
pub(crate) const MAX_CACHE_ENTRY_LEN: usize = 2 * 1024 * 1024 * 1024;

/// Everything the host keeps but job records.
pub(crate) struct Store {
    objects: PathBuf,
    components: PathBuf,
    cache: PathBuf,
    cache_limit: u64,
    durable: bool,
    pub(crate) uploads: Uploads,
    pub(crate) spill: Spill,
    pub(crate) buffers: Buffers,
}

impl Store {
    /// Opens the folder and removes what a crash left half-done.
    pub(crate) fn open(config: &HostConfig) -> io::Result<Self> {
        let folder = &config.folder;
        let shared = config.cache_folder.as_ref().unwrap_or(folder);
        let uploads = folder.join("uploads");
        match fs::remove_dir_all(&uploads) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let store = Self {
            objects: folder.join("objects"),
            components: shared.join("components"),
            cache: shared.join("cache"),
            cache_limit: config.cache_limit,
            durable: config.durable,
            uploads: Uploads::new(uploads.clone()),
            spill: Spill::new(folder.join("spill")),
            buffers: Buffers::default(),
        };
        for folder in [&store.objects, &store.components, &store.cache, &uploads] {
            private_folder(folder)?;
        }
        private_folder(&folder.join("spill"))?;
        for folder in [&store.components, &store.cache] {
            remove_temporaries(
                folder,
                if config.cache_folder.is_some() {
                    ABANDONED
                } else {
                    Duration::ZERO
                },
            )?;
        }
        remove_sockets(folder)?;
        Ok(store)
    }

    /// Stores a component, if its bytes are those the digest names.
    pub(crate) async fn put_component(
        &self,
        digest: Digest,
        body: Incoming,
    ) -> Result<(), Refusal> {
        let (file, found) = receive(&self.components, body).await?;
        if found != digest {
            let message = format!("the component's digest is {found}, expected {digest}");
            return Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "digest",
                message,
            ));
        }
        self.keep(file, self.component(&digest)).await
    }

    /// Opens a component.
    pub(crate) fn open_component(&self, digest: &Digest) -> Result<File, Refusal> {
        open(&self.component(digest), || {
            format!("no component {digest} is stored here")
        })
    }

    /// Stores an entry of the compilation cache.
    pub(crate) async fn put_cache(&self, key: Digest, body: Incoming) -> Result<(), Refusal> {
        let (file, _) = receive(&self.cache, body).await?;
        self.keep(file, self.cache.join(key.to_string())).await?;
        let (folder, limit) = (self.cache.clone(), self.cache_limit);
        blocking(move || Ok(shrink(&folder, limit, &key.to_string())?)).await
    }

    /// Opens an entry of the compilation cache.
    pub(crate) fn open_cache(&self, key: &Digest) -> Result<File, Refusal> {
        let file = open(&self.cache.join(key.to_string()), || {
            format!("no entry {key} is cached")
        })?;
        // Which entry goes first when room is needed; not worth an error.
        let _ = file.set_modified(SystemTime::now());
        Ok(file)
    }

    fn component(&self, digest: &Digest) -> PathBuf {
        self.components.join(format!("{digest}.wasm"))
    }

    async fn keep(&self, file: NamedTempFile, path: PathBuf) -> Result<(), Refusal> {
        let durable = self.durable;
        blocking(move || Ok(persist(file, &path, durable)?)).await
    }
}

/// Makes a folder, and those above it, for this user only.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a small file whole or not at all.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let mut file = temporary(parent(path))?;
    file.write_all(bytes)?;
    persist(file, path, durable)
}

/// Opens a stored file.
pub(crate) fn open(path: &Path, missing: impl Fn() -> String) -> Result<File, Refusal> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Refusal::not_found("not-found", missing()),
        _ => error.into(),
    })
}

/// Removes what was being written to `folder` when a host ended, if it is older than `age`.
pub(crate) fn remove_temporaries(folder: &Path, age: Duration) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let old = modified.is_ok_and(|at| at.elapsed().unwrap_or_default() >= age);
        if temporary && old {
            // Another host over a shared folder may have been quicker.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// The name, in the host's folder, of the socket made for one runtime.
pub(crate) fn socket_name(runtime: RuntimeId) -> String {
    let [a, b, c, d, ..] = runtime.0;
    format!("{}.sock", hex::encode([a, b, c, d]))
}

/// Removes the runtimes' sockets that a host left behind which was killed.
fn remove_sockets(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".sock"));
        let ours = stem
            .and_then(mc2_protocol::encoding::hex_array::<4>)
            .is_some();
        if ours && entry.file_type()?.is_socket() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(folder)
}

fn persist(file: NamedTempFile, path: &Path, durable: bool) -> io::Result<()> {
    if durable {
        file.as_file().sync_all()?;
    }
    file.persist(path)?;
    if durable {
        File::open(parent(path))?.sync_all()?;
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    // Every path stored to is below the host's folder.
    path.parent()
        .unwrap_or_else(|| unreachable!("a path below the folder"))
}

/// Receives a body into a temporary file in `folder`, and its SHA-256.
async fn receive(folder: &Path, mut body: Incoming) -> Result<(NamedTempFile, Digest), Refusal> {
    let folder = folder.to_owned();
    let mut state = blocking(move || Ok((temporary(&folder)?, Sha256::new()))).await?;
    loop {
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut gathered = 0;
        while gathered < WRITE
            && let Some(piece) = body.next().await?
        {
            gathered += piece.len();
            pieces.push(piece);
        }
        if pieces.is_empty() {
            let (file, hash) = state;
            return Ok((file, Digest::from_bytes(hash.finalize().into())));
        }
        let (mut file, mut hash) = state;
        state = blocking(move || {
            for piece in pieces {
                file.write_all(&piece)?;
                hash.update(&piece);
            }
            Ok((file, hash))
        })
        .await?;
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

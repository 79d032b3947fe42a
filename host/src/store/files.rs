//! Files and folders that are private, and whole before they have their names.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use mc2_protocol::Digest;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::{
    refusal::{Refusal, blocking},
    transfer::incoming::Incoming,
};

/// Start of the name of a file that is not whole yet.
pub(super) const TEMPORARY: &str = "tmp-";
/// Bytes gathered before they are written.
const WRITE: usize = 1024 * 1024;

/// Makes a folder, and those above it, for this user only.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file whole or not at all, by way of a temporary one in `folder`. It is not flushed.
pub(super) fn write_through(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = temporary(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// Opens a stored file.
pub(super) fn open(path: &Path, missing: impl Fn() -> String) -> Result<File, Refusal> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Refusal::not_found("not-found", missing()),
        _ => error.into(),
    })
}

/// Removes what was being written to `folder` when a host ended, if it is older than `age`.
pub(super) fn remove_temporaries(folder: &Path, age: Duration) -> io::Result<()> {
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

pub(super) fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(folder)
}

pub(super) fn persist(file: NamedTempFile, path: &Path, durable: bool) -> io::Result<()> {
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
pub(super) async fn receive(
    folder: &Path,
    mut body: Incoming,
) -> Result<(NamedTempFile, Digest), Refusal> {
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

/// Gives a file that was received its name.
pub(super) async fn keep(
    file: NamedTempFile,
    path: std::path::PathBuf,
    durable: bool,
) -> Result<(), Refusal> {
    blocking(move || Ok(persist(file, &path, durable)?)).await
}

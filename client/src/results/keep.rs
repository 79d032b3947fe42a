//! Keeping a result sealed: its receipt and its sealed outputs as a folder that `mc2 open` opens.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use mc2_attestation::TrustStore;
use mc2_protocol::{
    Manifest, documents::dsse::Envelope, encoding::to_json, policy::Tee, sealed::DIGEST_LEN,
};

use crate::{
    exit::Exit,
    files::{FileError, StagedFolder, failed},
    remote::{Remote, RemoteError},
    seal::{PART_LEN, object::EXTENSION},
    state::{State, StateError},
    verify::Verified,
};

/// The receipt of a result's folder.
pub const RECEIPT: &str = "receipt.json";

/// Why a result was not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The host did not give it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// It could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl KeepError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Remote(error) => error.exit(),
            Self::File(_) => Exit::CannotWrite,
        }
    }
}

/// Keeps a verified receipt under its job's digest, of a simulated one what it can be verified with
/// later, and a note of what the job left in custody; returns its file.
///
/// # Errors
/// The state folder cannot be written.
pub fn keep_receipt(
    state: &State,
    envelope: &Envelope,
    trust: &TrustStore,
    verified: &Verified,
) -> Result<PathBuf, StateError> {
    let job = &verified.receipt.job;
    if verified.session.is_simulated() {
        state.store_simulator(job, &simulators_of(trust).to_bytes())?;
    }
    for left in &verified.receipt.custody {
        state.note_in_custody(verified.policy.digest(), &left.name, &left.object)?;
    }
    state.store_receipt(job, &to_json(envelope))
}

/// The simulators alone that are trusted.
fn simulators_of(trust: &TrustStore) -> TrustStore {
    let mut alone = TrustStore::new();
    for key in trust.simulators() {
        alone.pin_simulator(*key);
    }
    let values = trust.reference_values();
    for value in values.filter(|value| value.tee == Tee::Sim) {
        // It was a value of this store.
        let _ = alone.add(value.clone());
    }
    alone
}

/// Fetches every output of a verified receipt, still sealed, into the folder `target`.
///
/// # Errors
/// [`KeepError`]; nothing is left behind then.
pub async fn keep_sealed(
    remote: &Remote,
    envelope: &Envelope,
    verified: &Verified,
    target: &Path,
) -> Result<(), KeepError> {
    let staged = StagedFolder::create(target)?;
    write(&staged.path().join(RECEIPT), &to_json(envelope))?;
    for output in &verified.receipt.outputs {
        if output.recipients.is_empty() {
            continue;
        }
        let (manifest, bytes) = remote.manifest_bytes(&output.object).await?;
        // The manifest's dataset is a checked name; the receipt's is text.
        let folder = staged
            .path()
            .join(format!("{}.{EXTENSION}", manifest.dataset()));
        for part in ["files", "digests"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(failed("make the folder", &path))?;
        }
        write(&folder.join("manifest"), &bytes)?;
        fetch(remote, &output.object, &manifest, &folder).await?;
    }
    Ok(staged.publish()?)
}

async fn fetch(
    remote: &Remote,
    object: &mc2_protocol::Digest,
    manifest: &Manifest,
    folder: &Path,
) -> Result<(), KeepError> {
    for index in 0..manifest.stream_count() {
        let layout = manifest.layout(index);
        let path = folder.join(format!("files/{index}"));
        let mut file = File::create_new(&path).map_err(failed("write", &path))?;
        let mut offset = 0;
        while offset < layout.sealed_length() {
            let length = (layout.sealed_length() - offset).min(PART_LEN as u64);
            let part = remote.object_part(object, index, offset, length as usize);
            let part = part.await.map_err(RemoteError::from)?;
            file.write_all(&part).map_err(failed("write", &path))?;
            offset += length;
        }
        let length = layout.segments() as usize * DIGEST_LEN;
        let digests = remote.object_digests(object, index, length);
        let digests = digests.await.map_err(RemoteError::from)?;
        write(&folder.join(format!("digests/{index}")), &digests)?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    fs::write(path, bytes).map_err(failed("write", path))
}

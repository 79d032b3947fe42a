//! Sealing, opening and verifying by hand: what `mc2` does with files.
//!
//! A result is a folder with `receipt.json`, the receipt's DSSE envelope, and beside it each
//! sealed output as `NAME.sealed`. It is opened only after its receipt was followed back to the
//! evidence and every output is the object the receipt names.

mod checked;
mod date;
mod error;
mod keep;
mod known;

use std::path::{Path, PathBuf};

use mc2_protocol::{
    Digest, Identity, Name,
    documents::receipt::{OutputSecret, Status},
};

pub use checked::{Checked, in_words, verify_file, vouch_for};
pub use date::{Date, DateChoice, DateError};
pub use error::ResultError;
pub use keep::{KeepError, RECEIPT, keep_receipt, keep_sealed};
pub use known::{PolicyChoice, VerifyOptions};

use crate::{
    files::{StagedFolder, vacant},
    open::{Exact, Opening, Sealed},
    seal::{
        object::{EXTENSION, LocalObject, key_for, seal_to_folder},
        source::Source,
    },
    state::{State, StateError},
};

/// What an object that opens does not show.
const NOT_OWN: &str = "not shown: that you sealed it: its key is not among those kept here, and \
                       whoever has your card can seal something to it";

/// A dataset sealed to a folder.
pub struct SealedFolder {
    /// The object's id.
    pub object: Digest,
    /// The folder.
    pub folder: PathBuf,
}

/// What was opened.
pub struct Opened {
    /// What was written.
    pub paths: Vec<PathBuf>,
    /// What is to be said of it, a line each.
    pub lines: Vec<String>,
    /// How the job ended, where it is a job's result.
    pub status: Status,
}

/// Seals `path` as a version of `dataset` into the folder `DATASET.sealed` in `output`, and keeps
/// its key.
///
/// # Errors
/// [`ResultError`]; nothing is left behind then.
pub fn seal(
    state: &State,
    path: &Path,
    dataset: &Name,
    identity: Option<&str>,
    output: &Path,
) -> Result<SealedFolder, ResultError> {
    let source = Source::scan(path)?;
    let folder = output.join(format!("{dataset}.{EXTENSION}"));
    vacant(&folder).map_err(ResultError::Write)?;
    let owner = own_identity(state, identity)?;
    let card = owner.card();
    let (object, _, key) = seal_to_folder(&source, dataset, card, &folder, &mut |_| ())?;
    state.store_data_key(&object, dataset, card.digest(), &key)?;
    Ok(SealedFolder { object, folder })
}

/// Opens an own sealed object to `output`, or a verified result into the folder `output`.
///
/// # Errors
/// [`ResultError`]; nothing is written then.
pub async fn open(
    state: &State,
    path: &Path,
    output: &Path,
    identity: Option<&str>,
    options: &VerifyOptions,
) -> Result<Opened, ResultError> {
    if path.join(RECEIPT).is_file() {
        return open_result(state, path, output, identity, options).await;
    }
    if !LocalObject::is_at(path) {
        let path = path.to_owned();
        return Err(ResultError::Unknown { path });
    }
    let object = LocalObject::read(path)?;
    let manifest = object.manifest();
    if let Some(kept) = state.custody_key(object.id())? {
        return Err(ResultError::InCustody {
            outputs: kept.output.to_string(),
        });
    }
    let mut key = None;
    for identity in candidates(state, identity)? {
        key = key.or(key_for(&object, state, &identity)?);
    }
    let key = key.ok_or_else(|| ResultError::NoKey {
        dataset: manifest.dataset().clone(),
        owner: manifest
            .owner()
            .map(|owner| owner.card.short())
            .unwrap_or_default(),
    })?;
    let opening = Opening {
        manifest,
        key: &key,
        exact: None,
        from: Sealed::Folder(&object),
    };
    opening.to_path(output, &mut |_| ()).await?;
    let own = state.data_key(object.id())?.is_some();
    Ok(Opened {
        paths: vec![output.to_owned()],
        lines: if own {
            Vec::new()
        } else {
            vec![NOT_OWN.to_owned()]
        },
        status: Status::Succeeded,
    })
}

async fn open_result(
    state: &State,
    path: &Path,
    target: &Path,
    identity: Option<&str>,
    options: &VerifyOptions,
) -> Result<Opened, ResultError> {
    let checked = verify_file(state, path, options, None)?;
    let told = format!("job {} ({})", checked.job, checked.job_name);
    let lines = std::iter::once(told).chain(checked.lines()).collect();
    let verified = checked.accept()?;
    let identities = candidates(state, identity)?;
    let staged = StagedFolder::create(target).map_err(ResultError::Write)?;
    let mut opened = Vec::new();
    for output in &verified.receipt.outputs {
        let sealed = output.recipients.iter().find_map(|sealed| {
            let own = |identity: &&Identity| *identity.card().digest() == sealed.card;
            Some((sealed, identities.iter().find(own)?))
        });
        let Some((sealed, reader)) = sealed else {
            continue;
        };
        let refused = |reason: String| ResultError::Output {
            name: output.name.clone(),
            reason,
        };
        let folder = path.join(format!("{}.{EXTENSION}", output.name));
        if !LocalObject::is_at(&folder) {
            return Err(refused(format!("{} is missing", folder.display())));
        }
        let object = LocalObject::read(&folder)?;
        if *object.id() != output.object {
            let expected = output.object;
            return Err(refused(format!(
                "it is object {}, expected {expected}",
                object.id()
            )));
        }
        let session = verified.session.digest();
        let job = &verified.receipt.job;
        let secret = OutputSecret::open(session, job, &output.name, sealed, reader)
            .map_err(|error| refused(error.to_string()))?;
        let opening = Opening {
            manifest: object.manifest(),
            key: &secret.key,
            exact: Some(Exact::from(&secret)),
            from: Sealed::Folder(&object),
        };
        let place = staged.path().join(object.manifest().dataset().as_str());
        opening.to_path(&place, &mut |_| ()).await?;
        opened.push(target.join(object.manifest().dataset().as_str()));
    }
    let status = verified.receipt.status;
    if !opened.is_empty() {
        staged.publish().map_err(ResultError::Write)?;
    } else if !verified.receipt.custody.is_empty() {
        let outputs = verified.receipt.custody.iter().map(|one| one.name.as_str());
        return Err(ResultError::InCustody {
            outputs: outputs.collect::<Vec<_>>().join(", "),
        });
    } else if status == Status::Succeeded {
        let names = identities.iter().map(|one| one.card().name().as_str());
        return Err(ResultError::NotAReader {
            path: path.to_owned(),
            readers: names.collect::<Vec<_>>().join(", "),
        });
    }
    Ok(Opened {
        paths: opened,
        lines,
        status,
    })
}

fn own_identity(state: &State, name: Option<&str>) -> Result<Identity, StateError> {
    match name {
        Some(name) => state.identity(name),
        None => state.default_identity(),
    }
}

fn candidates(state: &State, name: Option<&str>) -> Result<Vec<Identity>, StateError> {
    match name {
        Some(name) => Ok(vec![state.identity(name)?]),
        None => state.identities(),
    }
}

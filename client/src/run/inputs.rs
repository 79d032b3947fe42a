//! The inputs of a run: what the paths given hold, and what goes to the host of it.

use std::{path::PathBuf, sync::Arc};

use mc2_protocol::{Identity, Name, SecretKey};

use super::{error::RunError, options::InputError};
use crate::{
    seal::{
        object::{EXTENSION, LocalObject, key_for},
        source::Source,
    },
    state::State,
};

/// A version of a dataset that goes to the host.
pub(super) struct PlannedInput {
    pub(super) dataset: Name,
    pub(super) data: InputData,
}

pub(super) enum InputData {
    /// To be sealed.
    Plain(Arc<Source>),
    /// Sealed before.
    Sealed(Arc<LocalObject>, SecretKey),
}

/// What a path given as input holds.
pub(super) enum Found {
    Plain(Source),
    Sealed(Arc<LocalObject>),
}

/// Looks at the paths given as inputs.
pub(super) fn scan(named: Vec<(Name, Option<PathBuf>)>) -> Result<Vec<(Name, Found)>, InputError> {
    let scan = |(name, path): (Name, Option<PathBuf>)| {
        let Some(path) = path else {
            return Ok((name, Found::Plain(Source::standard_input())));
        };
        let sealed = path
            .extension()
            .is_some_and(|extension| extension == EXTENSION);
        if sealed && LocalObject::is_at(&path) {
            let object = LocalObject::read(&path).map_err(|source| InputError::Object {
                name: name.to_string(),
                source,
            })?;
            return Ok((name, Found::Sealed(Arc::new(object))));
        }
        let source = Source::scan(&path).map_err(|source| InputError::Source {
            name: name.to_string(),
            source,
        })?;
        Ok((name, Found::Plain(source)))
    };
    named.into_iter().map(scan).collect()
}

/// A version of `dataset`, with its key where it was sealed before.
pub(super) fn prepare(
    dataset: Name,
    found: Found,
    identity: &Identity,
    state: &State,
) -> Result<PlannedInput, RunError> {
    let data = match found {
        Found::Plain(source) => InputData::Plain(Arc::new(source)),
        Found::Sealed(object) => {
            let manifest = object.manifest();
            if *manifest.dataset() != dataset {
                return Err(InputError::OtherDataset {
                    name: dataset.to_string(),
                    expected: dataset,
                    found: manifest.dataset().clone(),
                }
                .into());
            }
            let key = key_for(&object, state, identity)?;
            let key = key.ok_or_else(|| InputError::NoKey {
                name: dataset.to_string(),
                owner: manifest
                    .owner()
                    .map_or_else(|| "nobody".to_owned(), |owner| owner.card.short()),
            })?;
            InputData::Sealed(object, key)
        }
    };
    Ok(PlannedInput { dataset, data })
}

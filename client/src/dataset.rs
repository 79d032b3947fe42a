//! A version of a dataset on its way to a host: plain data that is sealed while it is sent, or a
//! folder that was sealed before.

use std::{path::Path, sync::Arc};

use mc2_protocol::{DataKey, Digest, Identity, Name, SecretKey};

use crate::{
    exit::Exit,
    remote::{Remote, RemoteError, upload_id},
    seal::{
        object::{EXTENSION, LocalObject, ObjectError, key_for},
        source::{Source, SourceError},
    },
    state::{Begun, Given, State, StateError},
};

/// A version of a dataset that goes to a host.
pub struct Version {
    /// The dataset.
    pub dataset: Name,
    data: Data,
}

enum Data {
    /// To be sealed.
    Plain(Arc<Source>),
    /// Sealed before.
    Sealed(Arc<LocalObject>, SecretKey),
    /// At the host already, with its key and its length.
    There(DataKey, u64),
}

/// What a path holds.
pub enum Found {
    /// Plain data.
    Plain(Source),
    /// An object that was sealed before.
    Sealed(Arc<LocalObject>),
}

/// Why something is no version of a dataset.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// It cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It is no sealed object.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// It is another dataset's.
    #[error("the sealed object is a version of the dataset {found}, expected {expected}")]
    OtherDataset {
        /// The dataset that is needed.
        expected: Name,
        /// The dataset it is.
        found: Name,
    },
    /// Its key is not here.
    #[error(
        "no key for it is here: it was sealed for the card {owner}, which is none of this folder's \
         identities; name the identity with --as"
    )]
    NoKey {
        /// The owner's card.
        owner: String,
    },
    /// The state folder cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}

impl DatasetError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            Self::NoKey { .. } => Exit::DataTampered,
            _ => Exit::BadInput,
        }
    }
}

impl Found {
    /// Looks at what a path holds: a folder called `….sealed` is what it says, if it is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn at(path: &Path) -> Result<Self, DatasetError> {
        let sealed = path
            .extension()
            .is_some_and(|extension| extension == EXTENSION);
        if sealed && LocalObject::is_at(path) {
            return Ok(Self::Sealed(Arc::new(LocalObject::read(path)?)));
        }
        Ok(Self::Plain(Source::scan(path)?))
    }
}

impl Version {
    /// What was found as a version of `dataset`, with its key where it was sealed before.
    ///
    /// # Errors
    /// [`DatasetError`]: it is another dataset's, or its key is not here.
    pub fn new(
        dataset: Name,
        found: Found,
        owner: &Identity,
        state: &State,
    ) -> Result<Self, DatasetError> {
        let data = match found {
            Found::Plain(source) => Data::Plain(Arc::new(source)),
            Found::Sealed(object) => {
                let manifest = object.manifest();
                if *manifest.dataset() != dataset {
                    return Err(DatasetError::OtherDataset {
                        expected: dataset,
                        found: manifest.dataset().clone(),
                    });
                }
                let key = key_for(&object, state, owner)?;
                let key = key.ok_or_else(|| DatasetError::NoKey {
                    owner: manifest
                        .owner()
                        .map_or_else(|| "nobody".to_owned(), |owner| owner.card.short()),
                })?;
                Data::Sealed(object, key)
            }
        };
        Ok(Self { dataset, data })
    }

    /// A version that is at the host already, of so many bytes.
    pub fn there(key: DataKey, length: u64) -> Self {
        Self {
            dataset: key.dataset.clone(),
            data: Data::There(key, length),
        }
    }

    /// Bytes of plaintext in it.
    pub fn length(&self) -> u64 {
        match &self.data {
            Data::Plain(source) => source.length(),
            Data::Sealed(object, _) => object.manifest().length(),
            Data::There(_, length) => *length,
        }
    }

    /// What tells the files it is made of from what they are after a change; `None` where that cannot
    /// be said, or need not, because it was sealed before.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub fn mark(&self) -> Result<Option<Digest>, DatasetError> {
        match &self.data {
            Data::Plain(source) => Ok(source.mark()?),
            Data::Sealed(..) | Data::There(..) => Ok(None),
        }
    }

    /// Whether it is this object: sealed before, or made of files that are as they were when that was
    /// `given` away.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub fn is(&self, object: &Digest, given: Option<&Given>) -> Result<bool, DatasetError> {
        Ok(match &self.data {
            Data::Sealed(sealed, _) => sealed.id() == object,
            Data::There(key, _) => key.object == *object,
            Data::Plain(source) => {
                let given = given.filter(|given| given.object == *object);
                given.is_some() && source.mark()? == given.map(|given| given.mark)
            }
        })
    }

    /// Sends it to the host, sealed for `owner`, and returns its key; `progress` is told how many
    /// bytes are done. What was sealed before goes on where it broke off, where `kept` remembers it.
    ///
    /// # Errors
    /// The host's, or the system's.
    pub async fn send<E>(
        &self,
        remote: &Remote,
        owner: &Identity,
        kept: Option<&State>,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<DataKey, E>
    where
        E: From<RemoteError> + From<StateError>,
    {
        let (object, secret) = match &self.data {
            Data::Plain(source) => {
                let source = Arc::clone(source);
                let uploaded = remote
                    .upload(source, &self.dataset, owner.card(), Arc::new(progress))
                    .await?;
                (uploaded.object, uploaded.key)
            }
            Data::Sealed(object, key) => {
                let (id, host) = (object.id(), remote.address().to_string());
                match kept {
                    None => remote.upload_sealed(object, &progress).await?,
                    Some(state) => {
                        match state.begun(id, &host)? {
                            Some(upload) => {
                                remote.resume_sealed(upload, object, &progress).await?;
                            }
                            None => {
                                let upload = upload_id();
                                state.store_begun(&Begun::new(*id, host, upload))?;
                                remote.begin_sealed(upload, object, &progress).await?;
                            }
                        }
                        state.forget_begun(id)?;
                    }
                }
                (*id, key.clone())
            }
            Data::There(key, _) => return Ok(key.clone()),
        };
        Ok(DataKey {
            dataset: self.dataset.clone(),
            object,
            secret,
        })
    }
}

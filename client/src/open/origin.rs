//! Where sealed bytes come from: a folder, or a host. Nothing they give is believed yet.

use mc2_protocol::{Digest, sealed::Layout};

use super::error::OpenError;
use crate::{
    remote::Remote,
    seal::object::{LocalObject, ObjectFile},
};

/// Where sealed bytes come from.
pub enum Sealed<'a> {
    /// A folder.
    Folder(&'a LocalObject),
    /// A host.
    Host(&'a Remote, Digest),
}

impl<'a> Sealed<'a> {
    /// Stream `index`, which must be as long as its manifest says.
    pub(super) async fn file(
        &self,
        index: usize,
        layout: &Layout,
        what: &str,
    ) -> Result<SealedFile<'a>, OpenError> {
        match self {
            Sealed::Folder(object) => {
                let file = object.file(index)?;
                let found = file.length()?;
                if found != layout.sealed_length() {
                    return Err(OpenError::Length {
                        what: what.to_owned(),
                        found,
                        expected: layout.sealed_length(),
                    });
                }
                Ok(SealedFile::Folder {
                    object,
                    index,
                    file,
                    buffer: Vec::new(),
                })
            }
            Sealed::Host(remote, object) => Ok(SealedFile::Host {
                remote,
                object: *object,
                index,
                what: what.to_owned(),
                buffer: Vec::new(),
            }),
        }
    }
}

/// The sealed bytes of one stream.
pub(super) enum SealedFile<'a> {
    Folder {
        object: &'a LocalObject,
        index: usize,
        file: ObjectFile,
        buffer: Vec<u8>,
    },
    Host {
        remote: &'a Remote,
        object: Digest,
        index: usize,
        what: String,
        buffer: Vec<u8>,
    },
}

impl SealedFile<'_> {
    /// The list of its segments' digests, `length` bytes.
    pub(super) async fn digests(&self, length: usize) -> Result<Vec<u8>, OpenError> {
        match self {
            Self::Folder { object, index, .. } => Ok(object.digests(*index, length)?),
            Self::Host {
                remote,
                object,
                index,
                what,
                ..
            } => {
                let fetched = remote.object_digests(object, *index, length).await;
                fetched.map_err(|source| OpenError::Fetch {
                    what: what.clone(),
                    source,
                })
            }
        }
    }

    /// Its sealed bytes from `offset` on.
    pub(super) async fn read(
        &mut self,
        offset: u64,
        length: usize,
    ) -> Result<&mut [u8], OpenError> {
        match self {
            Self::Folder { file, buffer, .. } => {
                buffer.resize(length, 0);
                file.read_at(offset, buffer)?;
                Ok(buffer)
            }
            Self::Host {
                remote,
                object,
                index,
                what,
                buffer,
            } => {
                let fetched = remote.object_part(object, *index, offset, length).await;
                *buffer = fetched.map_err(|source| OpenError::Fetch {
                    what: what.clone(),
                    source,
                })?;
                Ok(buffer)
            }
        }
    }
}

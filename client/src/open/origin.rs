//! Where sealed bytes come from: a folder, or a host. Nothing they give is believed yet.

use mc2_protocol::{Digest, sealed::Layout};

use super::error::OpenError;
use crate::{
    remote::{Remote, SmallStream},
    seal::object::{LocalObject, ObjectFile},
};

/// Where sealed bytes come from.
pub enum Sealed<'a> {
    /// A folder.
    Folder(&'a LocalObject),
    /// A host.
    Host(&'a Remote, Digest),
    /// Memory: the streams of a small object.
    Small(&'a [SmallStream]),
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
            Sealed::Small(streams) => {
                // There are as many as its manifest has, each as long as that says.
                let short = || OpenError::Length {
                    what: what.to_owned(),
                    found: 0,
                    expected: layout.sealed_length(),
                };
                let stream = streams.get(index).ok_or_else(short)?;
                Ok(SealedFile::Small {
                    stream,
                    what: what.to_owned(),
                    buffer: Vec::new(),
                })
            }
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
    Small {
        stream: &'a SmallStream,
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
            Self::Small { stream, what, .. } => {
                Ok(part(&stream.digests, 0, length, what)?.to_vec())
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
            Self::Small {
                stream,
                what,
                buffer,
            } => {
                *buffer = part(&stream.file, offset, length, what)?.to_vec();
                Ok(buffer)
            }
        }
    }
}

/// `length` bytes from `offset` on.
fn part<'b>(
    bytes: &'b [u8],
    offset: u64,
    length: usize,
    what: &str,
) -> Result<&'b [u8], OpenError> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(length);
    bytes.get(start..end).ok_or_else(|| OpenError::Length {
        what: what.to_owned(),
        found: bytes.len() as u64,
        expected: end as u64,
    })
}

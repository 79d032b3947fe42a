//! What a name in any of the trees stands for, read and written one way.

use std::sync::Arc;

use bytes::Bytes;

use super::input::Input;
use super::run_dir::{ErrorText, Progress};
use super::space::{ScratchFile, WriteError};
use crate::failure::Failure;
use crate::peers::{Gone, PeerIn, PeerOut};

/// An open file. Clones are the same file.
#[derive(Clone)]
pub(crate) enum File {
    /// Below `/in`.
    Input(Arc<Input>),
    /// Below `/out` and `/tmp`, and the standard streams.
    Scratch(Arc<ScratchFile>),
    /// `/run/mc2/job.json`.
    Text(Bytes),
    /// `/run/mc2/progress`.
    Progress(Arc<Progress>),
    /// `/run/mc2/error`.
    Error(Arc<ErrorText>),
    /// `/run/mc2/peers/N/in`.
    PeerIn(PeerIn),
    /// `/run/mc2/peers/N/out`.
    PeerOut(PeerOut),
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At this offset.
    At(u64),
    /// At the end, wherever it is by then.
    End,
}

impl File {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Input(file) => file.size(),
            Self::Scratch(file) => file.len(),
            Self::Text(bytes) => bytes.len() as u64,
            Self::Progress(sink) => sink.len(),
            Self::Error(sink) => sink.len(),
            Self::PeerIn(_) | Self::PeerOut(_) => 0,
        }
    }

    /// Whether it is a stream, which has neither offsets nor a length.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::PeerIn(_) | Self::PeerOut(_))
    }

    pub(crate) fn is_readable(&self) -> bool {
        matches!(
            self,
            Self::Input(_) | Self::Scratch(_) | Self::Text(_) | Self::PeerIn(_)
        )
    }

    pub(crate) fn is_writable(&self) -> bool {
        matches!(
            self,
            Self::Scratch(_) | Self::Progress(_) | Self::Error(_) | Self::PeerOut(_)
        )
    }

    /// The file as one more that writes holds it.
    pub(crate) fn open_to_write(self) -> Result<Self, Gone> {
        match self {
            Self::PeerOut(out) => out.open().map(Self::PeerOut),
            other => Ok(other),
        }
    }

    /// What is at hand: empty at the end of the file, `None` where it has to be
    /// fetched first.
    pub(crate) fn try_read(&self, offset: u64, len: usize) -> Option<Bytes> {
        match self {
            Self::Input(file) => file.try_read(offset, len),
            Self::Scratch(file) => file.try_read(offset, len),
            Self::Text(bytes) => {
                let from = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let to = from.saturating_add(len).min(bytes.len());
                Some(bytes.slice(from..to))
            }
            Self::PeerIn(stream) => stream.try_read(len),
            Self::Progress(_) | Self::Error(_) | Self::PeerOut(_) => Some(Bytes::new()),
        }
    }

    /// Up to `len` bytes; empty only at the end of the file.
    pub(crate) async fn read(&self, offset: u64, len: usize) -> Result<Bytes, Failure> {
        match self {
            Self::Input(file) => file.read(offset, len).await,
            Self::Scratch(file) => file.read(offset, len).await,
            Self::PeerIn(stream) => Ok(stream.read(len).await),
            other => Ok(other.try_read(offset, len).unwrap_or_default()),
        }
    }

    /// Writes what needs no waiting and says how much that was.
    pub(crate) fn try_write(&self, place: Place, data: &[u8]) -> Result<usize, WriteError> {
        match self {
            Self::Scratch(file) => {
                let start = offset(place, file);
                let mut written = 0;
                while written < data.len() {
                    match file.try_write(start.saturating_add(written as u64), &data[written..])? {
                        0 => break,
                        more => written += more,
                    }
                }
                Ok(written)
            }
            Self::Progress(sink) => sink.write(data).map(|()| data.len()),
            Self::Error(sink) => sink.write(data).map(|()| data.len()),
            Self::PeerOut(stream) => {
                let mut rest = Bytes::copy_from_slice(data);
                stream.try_write(&mut rest)?;
                Ok(data.len() - rest.len())
            }
            Self::Input(_) | Self::Text(_) | Self::PeerIn(_) => Ok(data.len()),
        }
    }

    /// Writes all of `data`.
    pub(crate) async fn write(&self, place: Place, data: &[u8]) -> Result<(), WriteError> {
        match self {
            Self::Scratch(file) => file.write(offset(place, file), data).await,
            Self::PeerOut(stream) => Ok(stream.write(Bytes::copy_from_slice(data)).await?),
            other => other.try_write(place, data).map(|_| ()),
        }
    }

    /// Sets the length, where the file has one to set.
    pub(crate) fn set_len(&self, len: u64) -> Result<(), WriteError> {
        match self {
            Self::Scratch(file) => file.set_len(len),
            Self::Error(sink) => {
                if len == 0 {
                    sink.clear();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn offset(place: Place, file: &ScratchFile) -> u64 {
    match place {
        Place::At(offset) => offset,
        Place::End => file.len(),
    }
}

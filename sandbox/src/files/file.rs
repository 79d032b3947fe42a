//! What a name stands for: one trait, which every kind of file implements in a file of its own.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::failure::Failure;

/// A file of the guest's world, open or not. What a kind of file does not do, it leaves as it
/// stands here: it reads as empty, and takes a write without a trace.
#[async_trait]
pub(crate) trait File: Send + Sync {
    /// Its length in bytes; a stream has none.
    fn size(&self) -> u64 {
        0
    }

    fn is_readable(&self) -> bool {
        false
    }

    fn is_writable(&self) -> bool {
        false
    }

    /// The stream it is, where it has neither offsets nor a length.
    fn stream(&self) -> Option<&dyn Stream> {
        None
    }

    /// The file as one more that writes holds it; none where that is the file itself.
    fn open_to_write(&self) -> Result<Option<Arc<dyn File>>, Gone> {
        Ok(None)
    }

    /// What is at hand: empty at the end of the file, `None` where it has to be fetched first.
    fn try_read(&self, _offset: u64, _len: usize) -> Option<Bytes> {
        Some(Bytes::new())
    }

    /// Up to `len` bytes; empty only at the end of the file.
    async fn read(&self, offset: u64, len: usize) -> Result<Bytes, Failure> {
        Ok(self.try_read(offset, len).unwrap_or_default())
    }

    /// Writes what needs no waiting and says how much that was.
    fn try_write(&self, _place: Place, data: &[u8]) -> Result<usize, WriteError> {
        Ok(data.len())
    }

    /// Writes all of `data`.
    async fn write(&self, place: Place, data: &[u8]) -> Result<(), WriteError> {
        self.try_write(place, data).map(|_| ())
    }

    /// Sets the length, where the file has one to set.
    fn set_len(&self, _len: u64) -> Result<(), WriteError> {
        Ok(())
    }
}

/// A file that gives and takes bytes in order, with somebody at its other end.
#[async_trait]
pub(crate) trait Stream: Send + Sync {
    /// Returns once there is something to read, or the stream's end.
    async fn readable(&self);

    /// How many bytes it takes now.
    fn room(&self) -> Result<usize, Gone>;

    /// Sends as much of the front of `bytes` as there is room for, and takes it off them.
    fn send(&self, bytes: &mut Bytes) -> Result<(), Gone>;

    /// Returns once there is room, or nobody to write to.
    async fn writable(&self);
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At this offset.
    At(u64),
    /// At the end, wherever it is by then.
    End,
}

/// Why a write did not happen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// A limit of the run.
    Limit(Failure),
    /// The file would be longer than any may be.
    TooLarge,
    /// Nobody is left to read it.
    Gone,
    /// The run cannot go on.
    Fatal(Failure),
}

/// Whoever was at the other end of a stream has ended, or the stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl From<Gone> for WriteError {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// The part of `bytes` that a read of `len` bytes from `offset` gives.
pub(super) fn slice(bytes: &Bytes, offset: u64, len: usize) -> Bytes {
    bytes.slice(part(bytes.len(), offset, len))
}

/// What a read of `len` bytes from `offset` gives of a file that is `whole` bytes long.
pub(super) fn part(whole: usize, offset: u64, len: usize) -> Range<usize> {
    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(whole);
    from..from.saturating_add(len).min(whole)
}

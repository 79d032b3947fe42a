//! A part of a sealed file as a file of its own: what stands before its padding, or one file of
//! several that were sealed end to end.

use std::sync::Arc;

use bytes::Bytes;

use super::{error::InputError, file::SealedFile};

/// `length` bytes of a sealed file from `start` on. Windows of one file share its cache and its
/// read-ahead.
#[derive(Clone)]
pub struct Window {
    file: Arc<SealedFile>,
    start: u64,
    length: u64,
}

impl Window {
    /// The part of `file` that begins at `start` and has `length` bytes; `None` where the file
    /// ends before that.
    pub fn new(file: Arc<SealedFile>, start: u64, length: u64) -> Option<Self> {
        let end = start.checked_add(length)?;
        (end <= file.len()).then_some(Self {
            file,
            start,
            length,
        })
    }

    /// Its length in bytes.
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether it has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// As [`SealedFile::try_read_at`].
    pub fn try_read_at(&self, offset: u64, length: usize) -> Option<Bytes> {
        match self.within(offset, length) {
            0 => Some(Bytes::new()),
            length => self.file.try_read_at(self.start + offset, length),
        }
    }

    /// As [`SealedFile::read_at`].
    ///
    /// # Errors
    /// [`InputError`].
    pub async fn read_at(&self, offset: u64, length: usize) -> Result<Bytes, InputError> {
        match self.within(offset, length) {
            0 => Ok(Bytes::new()),
            length => self.file.read_at(self.start + offset, length).await,
        }
    }

    /// How many of the `length` bytes from `offset` on are its own.
    fn within(&self, offset: u64, length: usize) -> usize {
        let rest = self.length.saturating_sub(offset);
        usize::try_from(rest).map_or(length, |rest| length.min(rest))
    }
}

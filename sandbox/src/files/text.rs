//! `/run/mc2/job.json`: bytes that are there from the start.

use bytes::Bytes;

use super::file::{File, slice};

/// A short file that is only read.
pub(crate) struct Text(pub(crate) Bytes);

impl File for Text {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn is_readable(&self) -> bool {
        true
    }

    fn try_read(&self, offset: u64, len: usize) -> Option<Bytes> {
        Some(slice(&self.0, offset, len))
    }
}

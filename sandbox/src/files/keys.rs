//! `/run/mc2/keys/NAME`: keys that a policy hands the guest by name.

use std::sync::Arc;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::file::{File, part};

/// A key for the guest's own use, such as Parquet's column encryption. Its bytes are wiped when
/// the last run that has it is over; what the guest does with its copy is in the guest's memory.
#[derive(Clone)]
pub struct GuestKey {
    name: String,
    key: Arc<Key>,
}

struct Key(Zeroizing<Vec<u8>>);

impl GuestKey {
    /// The key that stands at `/run/mc2/keys/NAME`.
    pub fn new(name: impl Into<String>, bytes: Zeroizing<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            key: Arc::new(Key(bytes)),
        }
    }

    /// Its place below `/run/mc2`, and the file there.
    pub(crate) fn file(self) -> (String, Arc<dyn File>) {
        (format!("keys/{}", self.name), self.key)
    }
}

impl File for Key {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn is_readable(&self) -> bool {
        true
    }

    fn try_read(&self, offset: u64, len: usize) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(
            &self.0[part(self.0.len(), offset, len)],
        ))
    }
}

//! `/run/mc2/error`: what the guest says about its failure, up to a cap.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::file::{File, Place, WriteError};
use super::space::Space;
use crate::limits::ERROR_BYTES;

/// Collects it.
pub(crate) struct ErrorText {
    space: Arc<Space>,
    text: Mutex<Vec<u8>>,
}

impl ErrorText {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self {
            space,
            text: Mutex::default(),
        }
    }

    pub(crate) fn text(&self) -> Bytes {
        Bytes::copy_from_slice(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File for ErrorText {
    fn size(&self) -> u64 {
        self.lock().len() as u64
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn try_write(&self, _place: Place, data: &[u8]) -> Result<usize, WriteError> {
        self.space.charge_output(data.len() as u64)?;
        let mut text = self.lock();
        let room = ERROR_BYTES - text.len();
        text.extend_from_slice(&data[..data.len().min(room)]);
        Ok(data.len())
    }

    /// A guest that begins anew says something else.
    fn set_len(&self, len: u64) -> Result<(), WriteError> {
        if len == 0 {
            self.lock().clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Budgets, Limits};

    #[test]
    fn error_text_is_capped_and_can_be_replaced() {
        let space = Space::new(&Budgets::new(&Limits::default()), 0, None);
        let error = ErrorText::new(space);
        let write = |error: &ErrorText, data: &[u8]| error.try_write(Place::End, data);
        write(&error, &vec![b'x'; ERROR_BYTES + 5]).unwrap();
        assert_eq!(error.size(), ERROR_BYTES as u64);
        error.set_len(0).unwrap();
        write(&error, b"no column `fare`").unwrap();
        assert_eq!(error.text()[..], *b"no column `fare`");
    }
}

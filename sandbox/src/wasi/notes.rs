//! What a run has to remember about itself until it ends.

use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::Failure;

/// Failures noted by the files while the guest goes on. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    hard: Option<Failure>,
    soft: Option<Failure>,
}

impl Notes {
    /// The run has failed, whatever the guest makes of it.
    pub(crate) fn hard(&self, failure: Failure) {
        self.inner().hard.get_or_insert(failure);
    }

    /// The guest was told of a limit; should it fail, this is why.
    pub(crate) fn soft(&self, failure: Failure) {
        self.inner().soft = Some(failure);
    }

    /// The first hard failure.
    pub(crate) fn hard_failure(&self) -> Option<Failure> {
        self.inner().hard.clone()
    }

    /// The last soft one.
    pub(crate) fn soft_failure(&self) -> Option<Failure> {
        self.inner().soft.clone()
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Cancellation, shared by whatever may have to stop together.

use std::{pin::pin, sync::Arc};

use futures_util::future::{Either, select};
use tokio::sync::watch;

/// Cancelled once, for good, by any clone of it.
#[derive(Clone, Debug)]
pub struct Cancellation {
    state: Arc<watch::Sender<bool>>,
}

impl Cancellation {
    /// One that nobody has cancelled.
    pub fn new() -> Self {
        Self {
            state: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Cancels; what runs under it ends at its next chance, at most an epoch later.
    pub fn cancel(&self) {
        self.state.send_replace(true);
    }

    /// Whether it is cancelled.
    pub fn is_cancelled(&self) -> bool {
        *self.state.borrow()
    }

    /// Returns once it is cancelled.
    pub async fn cancelled(&self) {
        // The sender is alive as long as `self` is, so waiting cannot fail.
        let _ = self
            .state
            .subscribe()
            .wait_for(|cancelled| *cancelled)
            .await;
    }

    /// What `work` comes to, unless it is cancelled first.
    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match select(pin!(self.cancelled()), pin!(work)).await {
            Either::Left(_) => None,
            Either::Right((done, _)) => Some(done),
        }
    }
}

impl Default for Cancellation {
    fn default() -> Self {
        Self::new()
    }
}

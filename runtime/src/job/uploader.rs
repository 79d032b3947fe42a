//! Uploads that outlast a host's bad moment: a full disk that is emptied, a restart.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::storage::{Storage, StorageError};

/// How long one job waits in all for a host that does not take its outputs.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pauses between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The uploads of one job.
pub(crate) struct Uploader {
    storage: Arc<Storage>,
    /// Of the job's patience.
    left: Mutex<Duration>,
}

impl Uploader {
    pub(crate) fn new(storage: Arc<Storage>) -> Arc<Self> {
        Arc::new(Self {
            storage,
            left: Mutex::new(PATIENCE),
        })
    }

    /// Stores `body` under `path`; asking twice must be harmless.
    ///
    /// # Errors
    /// [`StorageError`], once the job's patience is spent or where waiting would not help.
    pub(crate) async fn put(&self, path: &str, body: Bytes) -> Result<(), StorageError> {
        self.patiently(|| self.storage.put(path, body.clone()))
            .await
    }

    /// Sends `body` to `path`, which must be harmless to do twice, and returns the answer.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub(crate) async fn post(&self, path: &str, body: Bytes) -> Result<Bytes, StorageError> {
        self.patiently(|| self.storage.post(path, body.clone()))
            .await
    }

    /// Drops what is under `path`, if the host does so at once.
    ///
    /// # Errors
    /// [`StorageError`].
    pub(crate) async fn delete(&self, path: &str) -> Result<(), StorageError> {
        self.storage.delete(path).await
    }

    async fn patiently<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = Instant::now();
            let error = match attempt().await {
                Err(error) if error.may_pass() => error,
                answer => return answer,
            };
            let now = pause.min(self.left());
            if now.is_zero() {
                return Err(error);
            }
            tokio::time::sleep(now).await;
            self.spend(begun.elapsed());
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn left(&self) -> Duration {
        *self.left.lock().unwrap_or_else(|error| error.into_inner())
    }

    fn spend(&self, time: Duration) {
        let mut left = self.left.lock().unwrap_or_else(|error| error.into_inner());
        *left = left.saturating_sub(time);
    }
}

//! Places for jobs that are being submitted: a message of the host's queue is opened only where
//! the job it submits would have one, and until it has, nobody else is promised it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use mc2_protocol::Digest;
use tokio::sync::Semaphore;

use crate::session::Session;

/// How many submissions are being taken, by session.
#[derive(Default)]
pub(crate) struct Coming(Mutex<HashMap<Digest, usize>>);

impl Coming {
    /// A place for one more job of the session, where there is one: `running` has a permit for each
    /// job that may run in this process.
    pub(crate) fn take(
        self: &Arc<Self>,
        session: &Session,
        running: &Semaphore,
    ) -> Result<Room, NoRoom> {
        let digest = session.terms().digest;
        let mut coming = self.lock();
        if running.available_permits() <= coming.values().sum() {
            return Err(NoRoom::Process);
        }
        let own = coming.get(&digest).copied().unwrap_or(0);
        if session.free_places() <= own {
            return Err(NoRoom::Session);
        }
        coming.insert(digest, own + 1);
        Ok(Room {
            session: digest,
            coming: Arc::clone(self),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        // Every change under this lock is one insertion or removal.
        self.0.lock().unwrap_or_else(|error| error.into_inner())
    }
}

/// A place that is held until the job has its own, or was refused one.
pub(crate) struct Room {
    session: Digest,
    coming: Arc<Coming>,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut coming = self.coming.lock();
        match coming.get(&self.session).copied() {
            Some(more) if more > 1 => coming.insert(self.session, more - 1),
            _ => coming.remove(&self.session),
        };
    }
}

/// Why there is no place for a job just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    /// The session runs as many as it may.
    #[error(
        "as many jobs of this session run as may at once; nothing was read, send it again when one has ended"
    )]
    Session,
    /// The process does.
    #[error(
        "as many jobs of this runtime process run as may at once; nothing was read, send it again when one has ended"
    )]
    Process,
}

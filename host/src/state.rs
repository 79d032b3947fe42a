//! What all routes share.

use std::{
    fs::{File, TryLockError},
    ops::Deref,
    sync::{Arc, OnceLock, Weak},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
};

use crate::{
    config::HostConfig,
    error::HostError,
    gate::Gate,
    metrics::Metrics,
    queue::Queue,
    runtime_id::RuntimeId,
    runtimes::Runtimes,
    store::{Store, blobs::Blobs, private_folder},
    transfer::listener::Listener,
    transfer::{Side, connections::Connections, incoming::Pool},
};

/// Most streams of events at once.
const MAX_STREAMS: usize = 512;

/// The state of a host; a clone is the same state.
#[derive(Clone)]
pub(crate) struct State(Arc<Inner>);

impl State {
    /// Opens the folder of `config`; nothing listens and no runtime is started yet. Those that
    /// will be are served by `serve`. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub(crate) fn open(
        config: HostConfig,
        serve: fn(&Self, Listener, RuntimeId) -> JoinHandle<()>,
    ) -> Result<Self, HostError> {
        let config = Arc::new(config);
        let failed = |source| HostError::Folder {
            folder: config.folder.clone(),
            source,
        };
        private_folder(&config.folder).map_err(failed)?;
        let lock = File::create(config.folder.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(HostError::InUse {
                    folder: config.folder.clone(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let blobs = Blobs::open(&config.folder, config.storage.as_ref())?;
        let store = Arc::new(Store::open(&config, blobs).map_err(failed)?);
        let ending = watch::Sender::new(false);
        let this = Arc::new(OnceLock::<Weak<Inner>>::new());
        let later = Arc::clone(&this);
        let serve = move |listener, id| match later.get().and_then(Weak::upgrade) {
            Some(inner) => serve(&Self(inner), listener, id),
            // The host has ended.
            None => tokio::spawn(async {}),
        };
        let runtimes = Runtimes::new(
            Arc::clone(&config),
            Arc::clone(&store),
            ending.clone(),
            Box::new(serve),
        )
        .map_err(failed)?;
        let metrics = Metrics::new();
        let (tokens, rate) = (config.tokens.clone(), config.address_rate);
        let queue = Queue::open(&config, Arc::clone(&store), Arc::clone(&runtimes));
        let queue = queue.map_err(failed)?;
        let bodies = || Pool::new(config.body_memory, config.folder.clone());
        let inner = Arc::new(Inner {
            store,
            runtimes,
            queue,
            gate: Arc::new(Gate::new(tokens, rate, Arc::clone(&metrics))),
            metrics,
            streams: Streams::default(),
            clients: Connections::new(config.max_connections),
            client_bodies: bodies(),
            runtime_bodies: bodies(),
            ending,
            lock,
            config,
        });
        // Nothing was put there before.
        let _ = this.set(Arc::downgrade(&inner));
        Ok(Self(inner))
    }

    /// What bodies of a side may take.
    pub(crate) fn bodies(&self, side: Side) -> &Pool {
        match side {
            Side::Client => &self.client_bodies,
            Side::Runtime => &self.runtime_bodies,
        }
    }
}

impl Deref for State {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// Places for streams of a job's events, which last as long as their readers like.
pub(crate) struct Streams(Arc<Semaphore>);

impl Streams {
    /// A place, if there is one.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }

    /// How many are taken.
    pub(crate) fn in_use(&self) -> usize {
        MAX_STREAMS - self.0.available_permits()
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_STREAMS)))
    }
}

/// What a [`State`] holds.
pub(crate) struct Inner {
    pub(crate) config: Arc<HostConfig>,
    pub(crate) store: Arc<Store>,
    pub(crate) runtimes: Arc<Runtimes>,
    pub(crate) queue: Queue,
    /// What clients may ask, and how often.
    pub(crate) gate: Arc<Gate>,
    pub(crate) metrics: Arc<Metrics>,
    /// Places for streams of events.
    pub(crate) streams: Streams,
    /// The connections of clients.
    pub(crate) clients: Arc<Connections>,
    client_bodies: Pool,
    runtime_bodies: Pool,
    /// Locked while the host runs: two over one folder would spoil each other's records.
    pub(crate) lock: File,
    pub(crate) ending: watch::Sender<bool>,
}

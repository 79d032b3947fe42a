//! What all routes share.

use std::{
    fs::{File, TryLockError},
    ops::Deref,
    sync::{Arc, Weak},
};

use tokio::sync::watch;

use crate::{
    HostConfig, HostError, Launcher,
    connections::Connections,
    incoming::Pool,
    jobs::Jobs,
    runtimes::{LaunchThread, Runtimes},
    store::{Store, private_folder},
};

/// Who asks. What one side takes of the host is not the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Runtime,
}

/// The state of a host; a clone is the same state.
#[derive(Clone)]
pub struct State(Arc<Inner>);

/// What a [`State`] holds; nothing of it is public.
pub struct Inner {
    pub(crate) config: HostConfig,
    pub(crate) store: Arc<Store>,
    pub(crate) jobs: Jobs,
    pub(crate) runtimes: Runtimes,
    pub(crate) launcher: LaunchThread,
    /// The connections of clients.
    pub(crate) clients: Arc<Connections>,
    client_bodies: Pool,
    runtime_bodies: Pool,
    /// Locked while the host runs: two over one folder would spoil each other's records.
    pub(crate) lock: File,
    pub(crate) ending: watch::Sender<bool>,
}

/// Comes back once `flag` is raised, or can be no more.
pub(crate) async fn raised(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|raised| *raised).await;
}

impl Deref for State {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl State {
    /// Opens the folder of `config`; nothing listens and no runtime is started yet. Must be called
    /// within a Tokio runtime.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(config: HostConfig) -> Result<Self, HostError> {
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
                    folder: config.folder,
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let store = Arc::new(Store::open(&config).map_err(failed)?);
        let may_return = matches!(config.launcher, Launcher::Connect);
        let sessions = config.folder.join("sessions");
        let jobs = Jobs::open(sessions, config.durable, may_return).map_err(failed)?;
        let launcher = LaunchThread::start().map_err(failed)?;
        let bodies = || Pool::new(config.body_memory, config.folder.clone());
        Ok(Self(Arc::new(Inner {
            store,
            jobs,
            runtimes: Runtimes::default(),
            launcher,
            clients: Connections::new(config.max_connections),
            client_bodies: bodies(),
            runtime_bodies: bodies(),
            ending: watch::Sender::new(false),
            lock,
            config,
        })))
    }

    /// What bodies of a side may take.
    pub(crate) fn bodies(&self, side: Side) -> &Pool {
        match side {
            Side::Client => &self.client_bodies,
            Side::Runtime => &self.runtime_bodies,
        }
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.0)
    }
}

//! An enclave that one party keeps open and calls many times: what a notebook is for.
//!
//! [`run`](crate::run) is one run from its start to its end; here host, runtime, sealed data and
//! sessions stay. A session is opened under one policy, and a policy names a component, its inputs and
//! its outputs, so each shape of a call has a session of its own, opened by the first call of that shape
//! and used by the later ones ([`sessions`]). Under a policy that was agreed there is one session, which
//! other parties join ([`agreed`]). Its evidence is appraised again at each call
//! ([`calling`]), and every result comes by its receipt.

mod agreed;
mod calling;
mod opened;
mod sessions;

use std::{path::PathBuf, sync::Arc};

use mc2_attestation::TrustStore;
use mc2_protocol::{DataKey, Digest, Identity, Name, policy::Tee};
use tokio::sync::Semaphore;

pub use agreed::Terms;
pub use calling::Call;
pub use opened::{Opened, Options};

use crate::{
    collateral::Collateral,
    dataset::{Found, Version},
    http::HostAddress,
    remote::Remote,
    run::{RunError, unless_asked},
    seal::source::Source,
    state::State,
    stop::Stop,
    workload::Workload,
};
use agreed::Agreed;
use sessions::Sessions;

/// A host with the data and the sessions of one party.
pub struct Enclave {
    remote: Remote,
    /// Whether the host is this process's own.
    here: bool,
    trust: TrustStore,
    allow_simulated: bool,
    tee: Tee,
    state: State,
    identity: Arc<Identity>,
    collateral: Option<Collateral>,
    sessions: Sessions,
    /// The policy that was agreed, where there is one; else each shape of a call has its own.
    agreed: Option<Agreed>,
    /// Those calls that run; more wait their turn.
    running: Semaphore,
}

/// How many calls run at once: an enclave takes as many jobs of one session.
const AT_ONCE: usize = 4;

/// A version of a dataset that was sealed and is at the host, with its key.
#[derive(Clone)]
pub struct Held {
    key: DataKey,
    length: u64,
}

impl Held {
    /// The dataset's name.
    pub const fn dataset(&self) -> &Name {
        &self.key.dataset
    }

    /// The version's object.
    pub const fn object(&self) -> &Digest {
        &self.key.object
    }

    /// Bytes of plaintext that were sealed.
    pub const fn length(&self) -> u64 {
        self.length
    }
}

/// Data to be sealed.
pub enum Data {
    /// A file or a folder, sealed before where it says so.
    Path(PathBuf),
    /// What this process makes.
    Made(Source),
}

impl Enclave {
    /// Seals data as a version of `dataset` and stores it at the host; `progress` is told how many bytes
    /// are done.
    ///
    /// # Errors
    /// It cannot be read, or the host does not take it.
    pub async fn seal(
        &self,
        dataset: Name,
        data: Data,
        progress: impl Fn(u64) + Send + Sync + 'static,
        stop: &Stop,
    ) -> Result<Held, RunError> {
        if let Some(agreed) = &self.agreed {
            agreed.check_owner(&self.identity, &dataset)?;
        }
        let name = dataset.to_string();
        let found = match data {
            Data::Path(path) => Found::at(&path).map_err(crate::run::of_input(name.clone()))?,
            Data::Made(source) => Found::Plain(source),
        };
        let version = Version::new(dataset, found, &self.identity, &self.state)
            .map_err(crate::run::of_input(name))?;
        let done = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counted = Arc::clone(&done);
        let progress = move |bytes| {
            counted.store(bytes, std::sync::atomic::Ordering::Relaxed);
            progress(bytes);
        };
        let kept = (!self.here).then_some(&self.state);
        let sending = version.send::<RunError>(&self.remote, &self.identity, kept, progress);
        let key = unless_asked(sending, stop).await?;
        let length = version
            .length()
            .max(done.load(std::sync::atomic::Ordering::Relaxed));
        Ok(Held { key, length })
    }

    /// The identity whose enclave it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether there is no enclave at all. NOT SECURE.
    pub const fn is_simulated(&self) -> bool {
        matches!(self.tee, Tee::Sim)
    }

    /// Whether calls run under a policy that was agreed, which states limits and outputs.
    pub const fn is_agreed(&self) -> bool {
        self.agreed.is_some()
    }

    /// Where its host is.
    pub const fn address(&self) -> &HostAddress {
        self.remote.address()
    }

    /// Ends the sessions that are open at a host of others, which then forgets their keys.
    pub async fn end(&self) {
        if self.here {
            return;
        }
        self.sessions.end(self).await;
        if let Some(agreed) = &self.agreed {
            self.end_agreed(agreed).await;
        }
    }

    /// Stores a component at the host, unless it has it.
    async fn bring(&self, workload: &Workload) -> Result<(), RunError> {
        use crate::remote::RemoteError;
        let sha256 = &workload.sha256;
        let has = self.remote.has_component(sha256).await;
        if !has.map_err(RemoteError::from)? {
            let put = self.remote.put_component(sha256, workload.wasm.clone());
            put.await.map_err(RemoteError::from)?;
        }
        Ok(())
    }
}

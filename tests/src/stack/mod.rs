//! A host, a simulated runtime and a client, and runs on them.

mod runs;
mod sessions;
mod start;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use mc2_attestation::{SimKey, TrustStore};
use mc2_client::{
    http::Client,
    remote::{Remote, Uploaded},
    seal::source::Source,
    state::ledger::Ledger,
};
use mc2_host::{Address, Host, HostConfig, Link, Spawn, Wrap};
use mc2_protocol::Identity;
use tempfile::TempDir;

use crate::{Liar, identity, parse, process};

pub use runs::{draft, draft_job, release};
pub use sessions::approve;
pub(crate) use sessions::verifier;
pub(crate) use start::trusting;
use start::{Keys, connect, http, runtime, start_host};

/// How a [`Stack`] differs from an honest, default one.
#[derive(Clone, Default)]
pub struct StackOptions {
    /// `vm` where it is empty.
    pub engine_profile: String,
    /// Where compiled code is kept; the tests' own folder where it is `None`.
    pub compilation_cache: Option<PathBuf>,
    /// Another runtime than the simulator, which keeps no compiled code.
    pub runtime: Option<PathBuf>,
    /// Runtimes of a TEE in the simulator's place.
    pub enclave: Option<Spawn>,
    /// How runtimes reach the host.
    pub link: Link,
    /// Where the runtimes' standard error goes.
    pub stderr: Option<PathBuf>,
    /// Most messages in the host's queue; the host's own default where it is 0.
    pub max_queued: usize,
    /// Changes the host's configuration.
    pub configure: Option<fn(&mut HostConfig)>,
    /// A bucket for what the host stores.
    pub storage: Option<mc2_host::Storage>,
    /// Where clients find the host besides its socket.
    pub listen: Vec<Address>,
    /// Most runtime processes at once; the host's own default where it is 0.
    pub max_runtimes: usize,
    /// Put around what the runtime sees of its host.
    pub wrap_runtime: Option<Wrap>,
    /// Put around what the client sees of its host.
    pub wrap_client: Option<Wrap>,
}

/// A whole system in one temporary folder, gone when dropped.
pub struct Stack {
    /// The host.
    pub host: Host,
    /// The client's view of it.
    pub remote: Remote,
    /// The only party.
    pub me: Identity,
    /// The party's ledger.
    pub ledger: Ledger,
    keys: Keys,
    options: StackOptions,
    folder: TempDir,
}

impl Stack {
    /// An honest system.
    pub async fn start() -> Self {
        Self::with(StackOptions::default()).await
    }

    /// A system that differs by `options`.
    pub async fn with(options: StackOptions) -> Self {
        let folder = TempDir::with_prefix("mc2-test-").expect("a temporary folder");
        let keys = Keys::default();
        let host = start_host(&folder, &options, &keys).await;
        fs::create_dir(folder.path().join("client")).expect("a folder");
        Self {
            host,
            remote: connect(&folder),
            me: identity("me"),
            ledger: Ledger::at(folder.path().join("client/ledger")),
            keys,
            options,
            folder,
        }
    }

    /// A system with a liar between host and runtime.
    pub async fn lying_to_runtime() -> (Self, Liar) {
        let liar = Liar::new();
        let options = StackOptions {
            wrap_runtime: Some(liar.wrap()),
            ..Default::default()
        };
        (Self::with(options).await, liar)
    }

    /// A system with a liar between host and client.
    pub async fn lying_to_client() -> (Self, Liar) {
        let liar = Liar::new();
        let options = StackOptions {
            wrap_client: Some(liar.wrap()),
            ..Default::default()
        };
        (Self::with(options).await, liar)
    }

    /// The same after the host was ended in order and started again over its folder. `meanwhile`
    /// is given that folder.
    pub async fn restart(self, meanwhile: impl FnOnce(&Path)) -> Self {
        let Self {
            host,
            remote,
            me,
            ledger,
            keys,
            options,
            folder,
        } = self;
        host.shutdown().await;
        drop(remote);
        meanwhile(&folder.path().join("host"));
        let host = start_host(&folder, &options, &keys).await;
        Self {
            host,
            remote: connect(&folder),
            me,
            ledger,
            keys,
            options,
            folder,
        }
    }

    /// A store that trusts the simulators this stack's host started, and nothing else.
    pub fn trust(&self) -> TrustStore {
        let keys = self.keys.lock().expect("never poisoned").clone();
        let keys = keys
            .iter()
            .map(|key| SimKey::from_bytes(key).expect("a simulator's key"));
        trusting(&runtime(&self.options), keys)
    }

    /// Another client's view of the host.
    pub fn connect(&self) -> Remote {
        connect(&self.folder)
    }

    /// The client's side of HTTP, for what [`Remote`] has no words for.
    pub fn http(&self) -> Client {
        http(&self.folder)
    }

    /// Where clients find the host.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("client.sock")
    }

    /// The folder everything of the host is in.
    pub fn host_folder(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    /// A folder of the client's own.
    pub fn client_folder(&self) -> PathBuf {
        self.folder.path().join("client")
    }

    /// The process ids of the runtimes the host started.
    pub fn runtimes(&self) -> Vec<u32> {
        process::with_argument(&self.host_folder())
    }

    /// Seals bytes as a version of `dataset` and stores them.
    pub async fn seal(&self, dataset: &str, bytes: &[u8]) -> Uploaded {
        let path = self.client_folder().join(format!("{dataset}.plain"));
        fs::write(&path, bytes).expect("a file");
        let uploaded = self.seal_path(dataset, &path).await;
        fs::remove_file(&path).expect("own file");
        uploaded
    }

    /// Seals a file or folder as a version of `dataset` and stores it.
    pub async fn seal_path(&self, dataset: &str, path: &Path) -> Uploaded {
        let source = Arc::new(Source::scan(path).expect("a source"));
        self.remote
            .upload(source, &parse(dataset), self.me.card(), Arc::new(|_| ()))
            .await
            .expect("an upload")
    }
}

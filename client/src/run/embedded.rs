//! A host and a simulated runtime of this process's own. NOT SECURE.

use std::path::{Path, PathBuf};

use mc2_attestation::{ReferenceValue, SimKey, TrustStore};
use mc2_host::{Address, Host, HostConfig, Launcher, Spawn};

use super::error::RunError;
use crate::{
    files::{LockedFolder, failed, remove_abandoned},
    http::{HostAddress, Trust},
    remote::Remote,
    simulator,
    state::cache_folder,
};

/// A socket's path has at most 107 bytes, and the host adds a name to its folder's.
const MAX_FOLDER: usize = 70;
const SOCKET: &str = "client.sock";
/// What the folder's name starts with.
const PREFIX: &str = "mc2-run-";

/// A running host with its runtime, and what to trust of it.
pub(crate) struct Embedded {
    host: Host,
    /// The host's whole state; removed with it, or by the next run where this one is killed.
    folder: LockedFolder,
    /// What this client measured and pinned itself.
    pub(crate) trust: TrustStore,
}

impl Embedded {
    /// Starts a host in a private folder, and with it the simulator, and measures the simulator's
    /// file meanwhile. Where a folder for `pins` is named, it leaves the simulator's key there for other
    /// processes of this user, while it runs.
    pub(crate) async fn start(
        simulator: &Path,
        profile: &str,
        pins: Option<PathBuf>,
    ) -> Result<Self, RunError> {
        let parent = folder_for_runs();
        let made = LockedFolder::create(&parent, PREFIX, 0o700);
        let folder = made.map_err(RunError::HostFolder)?;
        let mut spawn = Spawn::simulator(simulator, profile);
        if let Some(cache) = cache_folder() {
            // The simulator alone keeps compiled code in its user's own cache folder.
            spawn.arguments = vec!["--compilation-cache".into(), cache.join("compiled").into()];
        }
        let launcher = Launcher::Spawn(spawn);
        let mut config = HostConfig::new(folder.path(), launcher);
        config.cache_folder = cache_folder().map(|cache| cache.join("host"));
        config.client_listen = vec![Address::Unix(folder.path().join(SOCKET))];
        config.max_runtimes = 1;
        config.durable = false;
        config.simulator_pins = pins;
        let path = simulator.to_owned();
        let measuring = tokio::task::spawn_blocking(move || simulator::reference(&path));
        let removing = tokio::task::spawn_blocking(move || remove_abandoned(&parent, PREFIX));
        let host = Host::start(config).await?;
        // What could not be removed is tried again by the next run.
        let _ = removing.await;
        let measured = measuring.await.unwrap_or_else(|error| {
            let error = std::io::Error::other(error);
            Err(failed("measure", simulator)(error))
        });
        let trust = pinned(&host, measured.map_err(RunError::Measure)?)?;
        Ok(Self {
            host,
            folder,
            trust,
        })
    }

    /// The host, as a client.
    pub(crate) fn remote(&self) -> Result<Remote, RunError> {
        let address = HostAddress::Unix(self.folder.path().join(SOCKET));
        Ok(Remote::connect(address, &Trust::System)?)
    }

    /// Ends the runtime and the host, and removes their folder.
    pub(crate) async fn stop(self) {
        self.host.shutdown().await;
        // A folder that cannot be removed holds sealed data and nothing else.
        let _ = self.folder.close();
    }
}

/// A store that trusts the one simulator this process started.
fn pinned(host: &Host, value: ReferenceValue) -> Result<TrustStore, RunError> {
    let mut trust = TrustStore::new();
    let key = host
        .simulator_key()
        .and_then(|key| SimKey::from_bytes(&key).ok());
    let key = key.ok_or_else(|| RunError::Incomplete("the simulator stated no key".to_owned()))?;
    trust.pin_simulator(key);
    trust
        .add(value)
        .map_err(|error| RunError::Incomplete(error.to_string()))?;
    Ok(trust)
}

/// Where the folders of runs are: the system's folder for temporary files, where its path leaves
/// room for a socket's.
fn folder_for_runs() -> PathBuf {
    let parent = std::env::temp_dir();
    if parent.as_os_str().len() > MAX_FOLDER {
        return PathBuf::from("/tmp");
    }
    parent
}

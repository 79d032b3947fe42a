//! What a stack is started from: the host with its runtimes, and who trusts those.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use mc2_attestation::{ReferenceValue, SimKey, Tee, TrustStore};
use mc2_client::{
    http::{Client, HostAddress, Trust},
    remote::Remote,
};
use mc2_host::{Address, Host, HostConfig, Launcher, Spawn};
use mc2_protocol::Digest;
use tempfile::TempDir;

use super::StackOptions;
use crate::{cache_folder, parse, program};

/// The keys of the simulators that the host started.
pub(super) type Keys = Arc<Mutex<Vec<[u8; 32]>>>;

/// A store that trusts this runtime's file where one of these simulators signs for it.
pub(crate) fn trusting(binary: &Path, keys: impl IntoIterator<Item = SimKey>) -> TrustStore {
    static MEASURED: Mutex<BTreeMap<PathBuf, Digest>> = Mutex::new(BTreeMap::new());
    let measure = || Digest::of(&fs::read(binary).expect("the runtime's file"));
    let measurement = *MEASURED
        .lock()
        .expect("never poisoned")
        .entry(binary.to_owned())
        .or_insert_with(measure);
    let mut trust = TrustStore::new();
    for key in keys {
        trust.pin_simulator(key);
    }
    trust
        .add(ReferenceValue {
            tee: Tee::Sim,
            measurement: parse(&measurement.to_string()),
            runtime: "mc2-runtime-sim".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            revoked: false,
            registers: BTreeMap::new(),
        })
        .expect("a good reference value");
    trust
}

pub(super) fn runtime(options: &StackOptions) -> PathBuf {
    let simulator = || program("mc2-runtime-sim");
    options.runtime.clone().unwrap_or_else(simulator)
}

pub(super) async fn start_host(folder: &TempDir, options: &StackOptions, keys: &Keys) -> Host {
    let mut spawn = options
        .enclave
        .clone()
        .unwrap_or_else(|| simulator(options));
    spawn.link = options.link;
    // For a look at what a runtime says: MC2_TEST_STDERR=FILE cargo test ...
    let watched = std::env::var_os("MC2_TEST_STDERR").map(PathBuf::from);
    if let Some(stderr) = options.stderr.as_ref().or(watched.as_ref()) {
        // The shell becomes the runtime: same process, same measured file.
        let script = "exec 2>>\"$0\"; exec \"$@\"";
        let binary = spawn.binary.clone().into();
        let before = ["-c".into(), script.into(), stderr.into(), binary];
        spawn.arguments.splice(..0, before);
        spawn.binary = "/bin/sh".into();
    }
    let mut config = HostConfig::new(folder.path().join("host"), Launcher::Spawn(spawn));
    config.client_listen = vec![Address::Unix(folder.path().join("client.sock"))];
    config.client_listen.extend(options.listen.iter().cloned());
    config.durable = false;
    config.storage.clone_from(&options.storage);
    if let Some(configure) = options.configure {
        configure(&mut config);
    }
    if options.max_queued > 0 {
        config.max_queued = options.max_queued;
    }
    if options.max_runtimes > 0 {
        config.max_runtimes = options.max_runtimes;
    }
    config.wrap_runtime.clone_from(&options.wrap_runtime);
    config.wrap_client.clone_from(&options.wrap_client);
    let keys = Arc::clone(keys);
    config.on_simulator_key = Some(Arc::new(move |key| {
        keys.lock().expect("never poisoned").push(key)
    }));
    Host::start(config).await.expect("a host")
}

fn simulator(options: &StackOptions) -> Spawn {
    let profile = if options.engine_profile.is_empty() {
        "vm"
    } else {
        &options.engine_profile
    };
    let mut spawn = Spawn::simulator(runtime(options), profile);
    let cache = options
        .compilation_cache
        .clone()
        .unwrap_or_else(cache_folder);
    if options.runtime.is_none() {
        spawn.arguments = vec!["--compilation-cache".into(), cache.into()];
    }
    spawn
}

pub(super) fn http(folder: &TempDir) -> Client {
    let address = HostAddress::Unix(folder.path().join("client.sock"));
    Client::new(address, &Trust::default()).expect("a client")
}

pub(super) fn connect(folder: &TempDir) -> Remote {
    Remote::new(http(folder))
}

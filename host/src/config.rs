//! What a host is started with.

use std::{ffi::OsString, fmt, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use mc2_wire::Address;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Everything a [`Host`](crate::Host) needs to know.
#[derive(Clone)]
pub struct HostConfig {
    /// All state. It is created for this user only, and belongs to one host at a time.
    pub folder: PathBuf,
    /// Where components and the sealed compilation cache are kept when they should outlive
    /// `folder`; it may be shared by several hosts of one user. `None` keeps them in `folder`.
    pub cache_folder: Option<PathBuf>,
    /// A bucket for objects, components and receipts; `None` keeps them in `folder`.
    pub storage: Option<Storage>,
    /// Where clients find this host.
    pub client_listen: Vec<Address>,
    /// Where runtimes that dial in by themselves find this host. Whoever reaches such an address
    /// can pose as a runtime (a client's appraisal will refuse it, but the client will wait for
    /// it), so it is for the enclave's machine alone.
    pub runtime_listen: Vec<Address>,
    /// How runtimes come to be.
    pub launcher: Launcher,
    /// Most runtime processes, and so tenants, at once.
    pub max_runtimes: usize,
    /// Most messages that wait in the queue for a runtime with a place for a job.
    pub max_queued: usize,
    /// Most connections of clients at once. Where there are more, the one that has kept the host
    /// waiting longest is ended.
    pub max_connections: usize,
    /// Bytes of memory for bodies that are on their way in, of clients and of runtimes each. What
    /// is more goes to files without names.
    pub body_memory: usize,
    /// What is kept how long.
    pub retention: Retention,
    /// How much is kept.
    pub quota: Quota,
    /// TLS for TCP addresses of `client_listen`.
    pub tls: Option<Tls>,
    /// Those who may ask anything of clients' routes; everybody where there are none. Nothing's
    /// secrecy depends on them.
    pub tokens: Vec<Token>,
    /// How often one address may ask that has no token.
    pub address_rate: Option<Rate>,
    /// How long requests may take.
    pub timeouts: Timeouts,
    /// Whether what was answered as stored survives a power cut. An embedding client whose
    /// folder goes away with it saves the wait.
    pub durable: bool,
    /// Most bytes of the compilation cache; the entries used longest ago go first.
    pub cache_limit: u64,
    /// Told the public key of every simulator that is started, the same each time, the first time
    /// before [`Host::start`](crate::Host::start) comes back.
    pub on_simulator_key: Option<OnSimulatorKey>,
    /// Where the key of this host's simulators is put for clients of the same user on the same
    /// machine, while the host runs; [`SimulatorPin::folder`](crate::SimulatorPin::folder) is where
    /// they look. `None` where a client embeds the host for one run.
    pub simulator_pins: Option<PathBuf>,
    /// Wraps the router that runtimes see; see [`Wrap`].
    pub wrap_runtime: Option<Wrap>,
    /// Wraps the router that clients see; see [`Wrap`].
    pub wrap_client: Option<Wrap>,
}

impl HostConfig {
    /// A durable host over `folder` that listens nowhere yet.
    pub fn new(folder: impl Into<PathBuf>, launcher: Launcher) -> Self {
        Self {
            folder: folder.into(),
            cache_folder: None,
            storage: None,
            client_listen: Vec::new(),
            runtime_listen: Vec::new(),
            launcher,
            max_runtimes: 16,
            max_queued: 10_000,
            max_connections: 1024,
            body_memory: 256 << 20,
            retention: Retention::default(),
            quota: Quota::default(),
            tls: None,
            tokens: Vec::new(),
            address_rate: None,
            timeouts: Timeouts::default(),
            durable: true,
            cache_limit: 8 << 30,
            on_simulator_key: None,
            simulator_pins: None,
            wrap_runtime: None,
            wrap_client: None,
        }
    }
}

/// A bucket. What it takes to use it may stand in the environment as well, as the vendors' own
/// programs find it there (`AWS_…`, `AZURE_…`, `GOOGLE_…`); options outweigh that.
#[derive(Clone, Default)]
pub struct Storage {
    /// `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `gs://BUCKET/PREFIX`.
    pub url: String,
    /// Names and values, as the crate `object_store` names them: `aws_endpoint`, `aws_region`,
    /// `azure_storage_account_name`, `google_service_account`, …
    pub options: Vec<(String, String)>,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        let names: Vec<&String> = self.options.iter().map(|(name, _)| name).collect();
        f.debug_struct("Storage")
            .field("url", &self.url)
            .field("options", &names)
            .finish()
    }
}

/// What is kept how long. What an open session may need is kept in any case.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// How often what is too old is looked for.
    pub every: Duration,
    /// Receipts and events of jobs, since these ended; `None` keeps them as long as their sessions.
    pub receipts: Option<Duration>,
    /// Sessions, since their runtime went away; longer where a receipt of theirs is kept longer. `None`
    /// keeps them as long as they have a receipt, and an hour.
    pub sessions: Option<Duration>,
    /// Notes, since they were left; `None` keeps them as long as their sessions.
    pub notes: Option<Duration>,
    /// Uploads of clients, since something was sent for them last.
    pub uploads: Duration,
    /// Objects, since they were used last; `None` keeps them.
    pub objects: Option<Duration>,
    /// Components, since they were used last; `None` keeps them. Those in a `cache_folder`, which is other hosts' as well,
    /// stay.
    pub components: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(3600),
            receipts: None,
            sessions: None,
            notes: None,
            uploads: Duration::from_secs(24 * 3600),
            objects: None,
            components: None,
        }
    }
}

/// How much is kept; `None` is as much as there is room for. What jobs leave counts and is never
/// refused, because their runs are spent.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Bytes of all objects, with clients' uploads on their way.
    pub object_bytes: Option<u64>,
    /// Bytes of all components.
    pub component_bytes: Option<u64>,
    /// Sessions that are open, or over and kept.
    pub sessions: usize,
    /// Sessions of one card that opened them which are open at once.
    pub sessions_of_card: Option<usize>,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            object_bytes: None,
            component_bytes: None,
            // Some 100 MB of memory.
            sessions: 250_000,
            sessions_of_card: None,
        }
    }
}

/// A layer put around a router: metrics, quotas, or, in the adversarial suite, a host that lies.
pub type Wrap = Arc<dyn Fn(Router) -> Router + Send + Sync>;

/// Takes a simulator's public key.
pub type OnSimulatorKey = Arc<dyn Fn([u8; 32]) + Send + Sync>;

/// How runtimes come to be.
#[derive(Clone)]
pub enum Launcher {
    /// The host starts a process for each tenant, the first at once, and ends them all.
    Spawn(Spawn),
    /// Runtimes are started elsewhere and dial `runtime_listen`.
    Connect,
}

/// How to start a runtime.
#[derive(Clone, Debug)]
pub struct Spawn {
    /// `mc2-runtime` or `mc2-runtime-sim`.
    pub binary: PathBuf,
    /// `vm` or `sgx`.
    pub engine_profile: String,
    /// Arguments before `--host` and `--engine-profile`, for a loader such as Gramine's.
    pub arguments: Vec<OsString>,
    /// The process's whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Whether it takes `--key-on-stdin`, 32 bytes there that it makes its key of, and prints the
    /// line `MC2-SIM-KEY` first; [`Host::start`](crate::Host::start) waits for it.
    pub simulator: bool,
    /// How the process reaches the host.
    pub link: Link,
}

impl Spawn {
    /// `mc2-runtime` with an engine profile and no environment.
    pub fn runtime(binary: impl Into<PathBuf>, engine_profile: impl Into<String>) -> Self {
        Self {
            binary: binary.into(),
            engine_profile: engine_profile.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            simulator: false,
            link: Link::Unix,
        }
    }

    /// `mc2-runtime-sim`, NOT SECURE, which is told where this user's cache folder is.
    pub fn simulator(binary: impl Into<PathBuf>, engine_profile: impl Into<String>) -> Self {
        let environment = ["HOME", "XDG_CACHE_HOME"]
            .into_iter()
            .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
            .collect();
        Self {
            environment,
            simulator: true,
            ..Self::runtime(binary, engine_profile)
        }
    }
}

/// How a process the host started reaches it.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A Unix socket of its own in the host's folder.
    #[default]
    Unix,
    /// A port of its own on 127.0.0.1, for library operating systems without the host's sockets.
    Loopback,
}

/// A token that clients may show: whoever has it is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is, for people.
    pub name: String,
    /// SHA-256 of its text: the configuration holds nothing that lets anybody in.
    pub sha256: [u8; 32],
    /// How often it may be used; as often as its holder likes where there is none.
    pub rate: Option<Rate>,
    /// Bytes of objects and components that are stored with it; as many as there is room for where
    /// there is none.
    pub bytes: Option<u64>,
}

/// Requests a second, and at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub NonZeroU32);

/// A certificate chain and its key.
#[derive(Debug)]
pub struct Tls {
    /// The chain, the host's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Tls {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// How long requests may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// A runtime process has this long to dial in after its start.
    pub start: Duration,
    /// Opening a session, which compiles its components.
    pub open: Duration,
    /// Any other request to a runtime.
    pub relay: Duration,
    /// How fast the body of a request must come.
    pub body: Pace,
    /// A client's request line and headers must have come within this time, and an idle connection
    /// of a client's is kept as long.
    pub head: Duration,
    /// A peer that takes nothing of an answer for this long is left.
    pub stall: Duration,
    /// A runtime that dialed in by itself may be without a connection this long before it counts
    /// as gone.
    pub absence: Duration,
    /// A runtime without a running job may be ended after this long without use, when its place
    /// is needed.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(60),
            open: Duration::from_secs(30 * 60),
            relay: Duration::from_secs(120),
            body: Pace::default(),
            head: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            absence: Duration::from_secs(10),
            idle: Duration::from_secs(15 * 60),
        }
    }
}

/// How fast the body of a request must come. A link that is slow and steady passes; a peer that
/// sends a byte now and then does not.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest pause between two pieces.
    pub pause: Duration,
    /// The time every body has, whatever its size.
    pub grace: Duration,
    /// Bytes a second that must come beyond that, on average.
    pub slowest: u32,
}

impl Pace {
    /// The longest that so many bytes may take.
    pub fn time_for(&self, bytes: usize) -> Duration {
        let seconds = bytes as f64 / f64::from(self.slowest.max(1));
        self.grace + Duration::from_secs_f64(seconds)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            slowest: 32 * 1024,
        }
    }
}

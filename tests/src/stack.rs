//! A host, a simulated runtime and a client, and runs on them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mc2_attestation::{Check, ReferenceValue, SimKey, Tee, TrustStore};
use mc2_client::{
    http::{Client, HostAddress, Trust},
    ledger::Ledger,
    open::{OpenError, Opening, Sealed},
    remote::{Remote, RemoteError, Uploaded},
    session::{KeyRelease, Opened, Session, SessionError, Verifier},
    source::Source,
    verify::{BrokenLink, Expected, verify},
};
use mc2_host::{Address, Host, HostConfig, Launcher, Spawn, Wrap};
use mc2_protocol::{
    Digest, Identity, Name, SecretKey,
    dsse::Envelope,
    policy::{Duration as PolicyDuration, Limits, OneParty, Policy, Size, Tee as PolicyTee},
    receipt::{Receipt, Status, unwrap_output_key},
};
use tempfile::TempDir;

use crate::{component, program, rng};

/// How a [`Stack`] differs from an honest, default one.
#[derive(Clone, Default)]
pub struct StackOptions {
    /// `vm` where it is empty.
    pub engine_profile: String,
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
    /// Trusts this stack's simulator and nothing else.
    pub trust: TrustStore,
    /// The party's ledger.
    pub ledger: Ledger,
    folder: TempDir,
}

/// One run of one component under a policy of one party.
#[derive(Clone)]
pub struct Run {
    /// The component's file.
    pub component: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Inputs: name and bytes.
    pub inputs: Vec<(String, Vec<u8>)>,
    /// Outputs: name, and whether it is a folder.
    pub outputs: Vec<(String, bool)>,
    /// What it may use.
    pub limits: Limits,
}

/// A run that ended with a receipt that verifies, whatever its status.
#[derive(Debug)]
pub struct Finished {
    /// The verified receipt.
    pub receipt: Receipt,
    /// The signed envelope.
    pub envelope: Envelope,
    /// Every released output, folders' files as `NAME/PATH`.
    pub outputs: BTreeMap<String, Vec<u8>>,
    /// The session's digest.
    pub session: Digest,
    /// The job digest.
    pub job: Digest,
}

/// Where a run broke off.
#[derive(Debug)]
pub enum RunFailed {
    /// The host or the runtime refused before there was a session.
    Remote(RemoteError),
    /// The evidence did not pass.
    Appraisal(Vec<Check>),
    /// The session refused, or the job is lost.
    Session(SessionError),
    /// The receipt does not verify.
    Receipt(BrokenLink),
    /// An output does not open.
    Open(OpenError),
}

impl Run {
    /// A run of a built component without inputs or outputs, with half a gibibyte and a minute.
    pub fn of(name: &str, arguments: &[&str]) -> Self {
        Self {
            component: component(name),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            limits: Limits {
                memory: size(512 << 20),
                time: PolicyDuration::from_millis(60_000).expect("a minute"),
                output: size(64 << 20),
                scratch: size(1 << 30),
            },
        }
    }

    /// The same with an input more.
    #[must_use]
    pub fn input(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.inputs.push((name.to_owned(), bytes.into()));
        self
    }

    /// The same with an output more; a name that ends in `/` is a folder.
    #[must_use]
    pub fn output(mut self, name: &str) -> Self {
        let bare = name.trim_end_matches('/');
        self.outputs.push((bare.to_owned(), bare != name));
        self
    }

    /// The same with other limits: bytes of memory, run time, bytes of output.
    #[must_use]
    pub fn limits(mut self, memory: u64, time: Duration, output: u64) -> Self {
        self.limits.memory = size(memory);
        self.limits.time =
            PolicyDuration::from_millis(time.as_millis() as u64).expect("a short time");
        self.limits.output = size(output);
        self
    }

    /// The same with another scratch limit in bytes.
    #[must_use]
    pub fn scratch(mut self, bytes: u64) -> Self {
        self.limits.scratch = size(bytes);
        self
    }

    /// The policy's exact bytes for this run by `me`.
    pub fn policy(&self, me: &Identity) -> Policy {
        let wasm = fs::read(&self.component).expect("the component");
        let datasets: Vec<(Name, Option<Digest>)> =
            self.inputs.iter().map(|(name, _)| (parse(name), None)).collect();
        let outputs: Vec<(Name, bool)> =
            self.outputs.iter().map(|(name, folder)| (parse(name), *folder)).collect();
        let text = OneParty {
            name: &parse("test"),
            expires: now() + 3600,
            tee: PolicyTee::Sim,
            card: me.card(),
            component: &parse("workload"),
            sha256: &Digest::of(&wasm),
            datasets: &datasets,
            outputs: &outputs,
            runs: 100,
            limits: self.limits,
            metering: false,
        }
        .to_toml();
        Policy::parse(text.as_bytes()).expect("a good policy")
    }
}

impl Stack {
    /// An honest system.
    pub async fn start() -> Self {
        Self::with(StackOptions::default()).await
    }

    /// A system that differs by `options`.
    pub async fn with(options: StackOptions) -> Self {
        let folder = TempDir::with_prefix("mc2-test-").expect("a temporary folder");
        let binary = program("mc2-runtime-sim");
        let profile = if options.engine_profile.is_empty() { "vm" } else { &options.engine_profile };
        let mut spawn = Spawn::simulator(&binary, profile);
        let cache = cache_folder();
        spawn.arguments = vec!["--compilation-cache".into(), cache.into()];
        let socket = folder.path().join("client.sock");
        let mut config = HostConfig::new(folder.path().join("host"), Launcher::Spawn(spawn));
        config.client_listen = vec![Address::Unix(socket.clone())];
        config.durable = false;
        config.wrap_runtime = options.wrap_runtime;
        config.wrap_client = options.wrap_client;
        let host = Host::start(config).await.expect("a host");
        let mut trust = TrustStore::new();
        for key in host.simulator_keys() {
            trust.pin_simulator(SimKey::from_bytes(&key).expect("the simulator's key"));
        }
        let executable = fs::read(&binary).expect("the runtime's file");
        trust
            .add(ReferenceValue {
                tee: Tee::Sim,
                measurement: parse(&Digest::of(&executable).to_string()),
                runtime: "mc2-runtime-sim".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                revoked: false,
            })
            .expect("a good reference value");
        let address = HostAddress::Unix(socket);
        let client = Client::new(address, &Trust::default()).expect("a client");
        fs::create_dir(folder.path().join("client")).expect("a folder");
        Self {
            host,
            remote: Remote::new(client),
            me: Identity::generate(parse("me"), &mut rng()),
            trust,
            ledger: Ledger::at(folder.path().join("client/ledger")),
            folder,
        }
    }

    /// The folder everything of the host is in.
    pub fn host_folder(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    /// A folder of the client's own.
    pub fn client_folder(&self) -> PathBuf {
        self.folder.path().join("client")
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

    /// Stores the component, opens a session for the run's policy and appraises it.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn session(&self, run: &Run) -> Result<Session<'_>, RunFailed> {
        self.session_under(run, run.policy(&self.me)).await
    }

    /// As [`session`](Self::session), under a policy of the test's own.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn session_under(
        &self,
        run: &Run,
        policy: Policy,
    ) -> Result<Session<'_>, RunFailed> {
        let wasm = fs::read(&run.component).expect("the component");
        let digest = Digest::of(&wasm);
        if !self.remote.has_component(&digest).await.map_err(remote)? {
            self.remote.put_component(&digest, wasm.into()).await.map_err(remote)?;
        }
        let opened = Opened::open(&self.remote, policy).await.map_err(RunFailed::Remote)?;
        let verifier = Verifier {
            trust: &self.trust,
            allow_simulated: true,
            now: SystemTime::now(),
            components: None,
        };
        let (checks, session) = opened.appraise(&verifier);
        session.map_err(|_| RunFailed::Appraisal(checks))
    }

    /// Seals the inputs, opens a session, runs, verifies the receipt and opens the outputs.
    ///
    /// # Errors
    /// [`RunFailed`]: where it broke off.
    pub async fn run(&self, run: &Run) -> Result<Finished, RunFailed> {
        let session = self.session(run).await?;
        self.run_in(&session, run).await
    }

    /// As [`run`](Self::run), in a session that is open.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn run_in(&self, session: &Session<'_>, run: &Run) -> Result<Finished, RunFailed> {
        let mut objects = BTreeMap::new();
        let mut keys = Vec::new();
        for (name, bytes) in &run.inputs {
            let uploaded = self.seal(name, bytes).await;
            objects.insert(parse(name), uploaded.object);
            keys.push(release(name, &uploaded, 1));
        }
        session
            .release(&self.me, &self.ledger, keys, SystemTime::now())
            .await
            .map_err(RunFailed::Session)?;
        self.submit(session, run, &objects).await
    }

    /// Submits the run over objects whose keys were released, and follows it to its end.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn submit(
        &self,
        session: &Session<'_>,
        run: &Run,
        objects: &BTreeMap<Name, Digest>,
    ) -> Result<Finished, RunFailed> {
        let mut salt = [0; 32];
        rand_core::Rng::fill_bytes(&mut rng(), &mut salt);
        let job = session
            .policy()
            .draft(&parse(OneParty::JOB), objects, vec![run.arguments.clone()], salt)
            .expect("a job the policy allows");
        let running = session.submit(&self.me, &job).await.map_err(RunFailed::Session)?;
        running.wait(&self.me, |_| ()).await.map_err(RunFailed::Session)?;
        let envelope = running.receipt(&self.me).await.map_err(RunFailed::Session)?;
        let session_digest = *session.appraised().digest();
        let expected = Expected {
            trust: &self.trust,
            allow_simulated: true,
            now: SystemTime::now(),
            policy: Some(session.policy()),
            components: None,
            nonce: Some(session.nonce()),
            session: Some(&session_digest),
            job: Some(&running.job),
            submitter: Some(self.me.card().digest()),
        };
        let verified = verify(&envelope, &expected).accept().map_err(RunFailed::Receipt)?;
        let receipt = verified.receipt;
        let outputs = self.open(&receipt, &session_digest).await?;
        Ok(Finished { receipt, envelope, outputs, session: session_digest, job: running.job })
    }

    async fn open(
        &self,
        receipt: &Receipt,
        session: &Digest,
    ) -> Result<BTreeMap<String, Vec<u8>>, RunFailed> {
        let mut outputs = BTreeMap::new();
        for output in &receipt.outputs {
            let wrapped = output
                .keys
                .iter()
                .find(|wrapped| wrapped.card == *self.me.card().digest())
                .expect("every output is mine");
            let key =
                unwrap_output_key(session, &receipt.job, &output.name, wrapped, &self.me)
                    .expect("a key wrapped to me");
            let manifest =
                self.remote.manifest(&output.object).await.map_err(RunFailed::Remote)?;
            let opening = Opening {
                manifest: &manifest,
                key: &key,
                lengths: Some(&output.lengths),
                from: Sealed::Host(&self.remote, output.object),
            };
            let target = self.client_folder().join(format!("out-{}", output.object));
            opening.to_path(&target, &mut |_| ()).await.map_err(RunFailed::Open)?;
            if manifest.is_folder() {
                for file in manifest.files() {
                    let bytes = fs::read(target.join(&file.path)).expect("an opened file");
                    outputs.insert(format!("{}/{}", output.name, file.path), bytes);
                }
                fs::remove_dir_all(&target).expect("own folder");
            } else {
                outputs.insert(output.name.clone(), fs::read(&target).expect("an opened file"));
                fs::remove_file(&target).expect("own file");
            }
        }
        Ok(outputs)
    }
}

impl Finished {
    /// What the guest printed.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(self.outputs.get("stdout").map_or(&[][..], Vec::as_slice))
            .into_owned()
    }

    /// Why the guest failed: the stable word, or `succeeded`.
    pub fn reason(&self) -> &str {
        match &self.receipt.status {
            Status::Succeeded => "succeeded",
            Status::Failed { reason, .. } => reason,
        }
    }
}

/// The release of an uploaded object's key for so many runs.
pub fn release(dataset: &str, uploaded: &Uploaded, runs: u32) -> KeyRelease {
    KeyRelease {
        dataset: parse(dataset),
        object: uploaded.object,
        key: SecretKey::from_bytes(*uploaded.key.expose()),
        runs,
    }
}

fn remote(error: mc2_client::http::HttpError) -> RunFailed {
    RunFailed::Remote(error.into())
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a good name")
}

fn size(bytes: u64) -> Size {
    Size::from_bytes(bytes).expect("a small size")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Where the tests' runtimes keep compiled code, so that a component is compiled once for all of
/// them. Tests of the cache itself use a folder of their own.
fn cache_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test has an executable");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("a target folder");
    folder.join("test-compilation-cache")
}

//! A host, a simulated runtime and a client, and runs on them.

mod start;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use mc2_attestation::{SimKey, TrustStore};
use mc2_client::{
    http::Client,
    open::{Exact, Opening, Sealed},
    policy::OneParty,
    remote::{Remote, Uploaded},
    seal::source::Source,
    session::{Opened, Running, Session, Verifier},
    state::ledger::Ledger,
    verify::{Expected, failure, figures::Figures, verify},
};
use mc2_host::{Host, Wrap};
use mc2_protocol::{
    DataKey, Digest, Identity, Name,
    documents::{
        job::Job,
        message::Release,
        receipt::{OutputSecret, Receipt},
    },
    policy::Policy,
};
use tempfile::TempDir;

use crate::{Finished, Liar, Run, RunFailed, component, parse, process, rng};

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
    /// Where the runtimes' standard error goes.
    pub stderr: Option<PathBuf>,
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
            me: Identity::generate(parse("me"), &mut rng()),
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

    /// Stores a component's bytes.
    ///
    /// # Errors
    /// The host refuses.
    pub async fn store_component(&self, wasm: Vec<u8>) -> Result<Digest, RunFailed> {
        let digest = Digest::of(&wasm);
        if !self.remote.has_component(&digest).await.map_err(remote)? {
            self.remote
                .put_component(&digest, wasm.into())
                .await
                .map_err(remote)?;
        }
        Ok(digest)
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
    pub async fn session_under(&self, run: &Run, policy: Policy) -> Result<Session<'_>, RunFailed> {
        self.store_component(fs::read(&run.component).expect("the component"))
            .await?;
        self.open_session(&self.remote, policy).await
    }

    /// Stores the built component called `name`.
    ///
    /// # Panics
    /// When it was not built, or the host does not take it.
    pub async fn component(&self, name: &str) -> Digest {
        let wasm = fs::read(component(name)).expect("the component");
        self.store_component(wasm).await.expect("a component")
    }

    /// A session under `policy` that these parties approve.
    ///
    /// # Panics
    /// When it does not open, or an approval is refused.
    pub async fn approved(&self, policy: Policy, parties: &[&Identity]) -> Session<'_> {
        let session = self.open_session(&self.remote, policy).await;
        let session = session.expect("a session");
        for party in parties {
            approve(&session, party).await;
        }
        session
    }

    /// Opens a session as somebody else.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn session_of(
        &self,
        opener: &Identity,
        policy: Policy,
    ) -> Result<Session<'_>, RunFailed> {
        self.open_as(opener, &self.remote, policy).await
    }

    /// Opens a session under a policy whose components the host has, and appraises it.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn open_session<'r>(
        &self,
        remote: &'r Remote,
        policy: Policy,
    ) -> Result<Session<'r>, RunFailed> {
        self.open_as(&self.me, remote, policy).await
    }

    async fn open_as<'r>(
        &self,
        opener: &Identity,
        remote: &'r Remote,
        policy: Policy,
    ) -> Result<Session<'r>, RunFailed> {
        let opened = Opened::open(remote, policy, opener)
            .await
            .map_err(RunFailed::Remote)?;
        let (checks, session) = opened.appraise(&verifier(&self.trust()));
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
        let objects = self.release_inputs(session, run, 1).await?;
        self.submit(session, run, &objects).await
    }

    /// Seals the run's inputs and gives their keys to the session for so many runs.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn release_inputs(
        &self,
        session: &Session<'_>,
        run: &Run,
        runs: u32,
    ) -> Result<BTreeMap<Name, Digest>, RunFailed> {
        let mut objects = BTreeMap::new();
        let mut keys = Vec::new();
        for (name, bytes) in &run.inputs {
            let uploaded = self.seal(name, bytes).await;
            objects.insert(parse(name), uploaded.object);
            keys.push(release(name, &uploaded, runs));
        }
        session
            .release(&self.me, &self.ledger, keys, SystemTime::now())
            .await
            .map_err(RunFailed::Session)?;
        Ok(objects)
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
        let job = draft(session, run, objects);
        self.submit_job(session, &self.me, &job).await
    }

    /// Submits a job as `submitter`, follows it to its end, and opens what is its.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn submit_job(
        &self,
        session: &Session<'_>,
        submitter: &Identity,
        job: &Job,
    ) -> Result<Finished, RunFailed> {
        let running = session
            .submit(submitter, job)
            .await
            .map_err(RunFailed::Session)?;
        self.finish(session, submitter, &running).await
    }

    /// Follows a job to its end, and opens what is its submitter's.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn finish(
        &self,
        session: &Session<'_>,
        submitter: &Identity,
        running: &Running<'_, '_>,
    ) -> Result<Finished, RunFailed> {
        running
            .wait(submitter, |_| ())
            .await
            .map_err(RunFailed::Session)?;
        let envelope = running
            .receipt(submitter)
            .await
            .map_err(RunFailed::Session)?;
        let session_digest = *session.appraised().digest();
        let expected = Expected {
            trust: &self.trust(),
            allow_simulated: true,
            now: SystemTime::now(),
            policy: Some(session.policy()),
            components: None,
            nonce: Some(session.nonce()),
            session: Some(&session_digest),
            job: Some(&running.job),
            submitter: Some(submitter.card().digest()),
        };
        let verified = verify(&envelope, &expected)
            .accept()
            .map_err(RunFailed::Receipt)?;
        let receipt = verified.receipt;
        let outputs = self
            .open_outputs(&receipt, &session_digest, submitter)
            .await?;
        let reader = std::slice::from_ref(submitter);
        Ok(Finished {
            failure: failure::detail(&receipt, &session_digest, reader),
            figures: Figures::open(&receipt, &session_digest, reader),
            receipt,
            envelope,
            outputs,
            session: session_digest,
            job: running.job,
        })
    }

    /// Opens every output of a verified receipt whose key is wrapped to `reader`.
    ///
    /// # Errors
    /// [`RunFailed`].
    pub async fn open_outputs(
        &self,
        receipt: &Receipt,
        session: &Digest,
        reader: &Identity,
    ) -> Result<BTreeMap<String, Vec<u8>>, RunFailed> {
        let mut outputs = BTreeMap::new();
        let card = reader.card().digest();
        for output in &receipt.outputs {
            let sealed = output.recipients.iter().find(|one| one.card == *card);
            let Some(sealed) = sealed else { continue };
            let secret = OutputSecret::open(session, &receipt.job, &output.name, sealed, reader)
                .expect("what is sealed to the reader");
            let manifest = self
                .remote
                .manifest(&output.object)
                .await
                .map_err(RunFailed::Remote)?;
            let opening = Opening {
                manifest: &manifest,
                key: &secret.key,
                exact: Some(Exact::from(&secret)),
                from: Sealed::Host(&self.remote, output.object),
            };
            let target = self.client_folder().join(format!("out-{}", output.object));
            if let Err(error) = opening.to_path(&target, &mut |_| ()).await {
                assert!(
                    !target.exists(),
                    "an output that does not open leaves a file"
                );
                return Err(RunFailed::Open(error));
            }
            if manifest.is_folder() {
                collect(&target, &output.name, &mut outputs);
                fs::remove_dir_all(&target).expect("own folder");
            } else {
                outputs.insert(
                    output.name.clone(),
                    fs::read(&target).expect("an opened file"),
                );
                fs::remove_file(&target).expect("own file");
            }
        }
        Ok(outputs)
    }
}

/// The files of an opened folder, by name.
fn collect(folder: &Path, name: &str, outputs: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("an opened folder") {
        let path = entry.expect("an opened file").path();
        let below = path.file_name().expect("a name").to_string_lossy();
        let name = format!("{name}/{below}");
        if path.is_dir() {
            collect(&path, &name, outputs);
        } else {
            outputs.insert(name, fs::read(&path).expect("an opened file"));
        }
    }
}

/// The job of a run under a session's policy, with a fresh salt.
///
/// # Panics
/// When the policy does not allow it.
pub fn draft(session: &Session<'_>, run: &Run, objects: &BTreeMap<Name, Digest>) -> Job {
    let mut salt = [0; 32];
    rand_core::Rng::fill_bytes(&mut rng(), &mut salt);
    session
        .policy()
        .draft(
            &parse(OneParty::JOB),
            objects,
            vec![run.arguments.clone()],
            salt,
        )
        .expect("a job the policy allows")
}

/// The release of an uploaded object's key for so many runs.
pub fn release(dataset: &str, uploaded: &Uploaded, runs: u32) -> Release {
    let key = DataKey {
        dataset: parse(dataset),
        object: uploaded.object,
        secret: uploaded.key.clone(),
    };
    Release { key, runs }
}

fn remote(error: mc2_client::http::HttpError) -> RunFailed {
    RunFailed::Remote(error.into())
}

/// States a party's approval of a session's policy.
///
/// # Panics
/// When it is refused.
pub async fn approve(session: &Session<'_>, party: &Identity) {
    let any = Digest::of(b"any");
    let approved = session.approve(party, &parse("run"), &any).await;
    approved.expect("an approval");
}

/// Appraises by these reference values; a simulator may pass.
pub(crate) fn verifier(trust: &TrustStore) -> Verifier<'_> {
    Verifier {
        trust,
        allow_simulated: true,
        now: SystemTime::now(),
        components: None,
    }
}

//! A host and a simulated runtime as processes of their own, so that each can end, or fail, and be
//! started again without the other.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use mc2_attestation::{SimKey, TrustStore};
use mc2_client::{
    http::{Client, HostAddress, Request, Trust},
    remote::{Remote, RemoteError},
    session::{Opened, Running, Session},
    state::ledger::Ledger,
    verify::{Expected, Verified, verify},
};
use mc2_protocol::{
    Digest, Identity,
    documents::{control::JobState, storage::JobStatus},
    policy::Policy,
};
use mc2_wire::routes::job_path;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tempfile::TempDir;

use crate::{
    Run, cache_folder, parse, process, program, rng,
    stack::{trusting, verifier},
};

/// How long those that were started may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Both, in one temporary folder; ended when dropped.
pub struct Apart {
    /// The client's view of the host.
    pub remote: Remote,
    /// The only party.
    pub me: Identity,
    /// The party's ledger.
    pub ledger: Ledger,
    host: Mutex<Child>,
    runtime: Mutex<Child>,
    /// Of every runtime there was.
    keys: Mutex<Vec<SimKey>>,
    /// What hosts are started with besides.
    flags: Vec<String>,
    folder: TempDir,
}

impl Apart {
    /// Starts both.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts both, the host with these flags besides.
    pub fn with(flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        let folder = TempDir::with_prefix("mc2-apart-").expect("a temporary folder");
        let host = start_host(folder.path(), &flags);
        let (runtime, key) = start_runtime(folder.path());
        let address = HostAddress::Unix(folder.path().join("client.sock"));
        let client = Client::new(address, &Trust::default()).expect("a client");
        Self {
            remote: Remote::new(client),
            me: Identity::generate(parse("me"), &mut rng()),
            ledger: Ledger::at(folder.path().join("ledger")),
            host: Mutex::new(host),
            runtime: Mutex::new(runtime),
            keys: Mutex::new(vec![key]),
            flags,
            folder,
        }
    }

    /// Where clients find the host.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("client.sock")
    }

    /// Kills the host and leaves its folder as that is.
    pub fn kill_host(&self) {
        end(&mut lock(&self.host));
    }

    /// Starts a host over the folder the last one left.
    pub fn start_host(&self) {
        *lock(&self.host) = start_host(self.folder.path(), &self.flags);
    }

    /// Lets go of connections that ended with a host.
    pub async fn reconnect(&self) {
        let any = Digest::of(b"any");
        while self.remote.has_component(&any).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills the runtime.
    pub fn kill_runtime(&self) {
        end(&mut lock(&self.runtime));
    }

    /// Starts another runtime in the killed one's place.
    pub fn start_runtime(&self) {
        let (runtime, key) = start_runtime(self.folder.path());
        *lock(&self.runtime) = runtime;
        lock(&self.keys).push(key);
    }

    /// From now on no file of the host's grows beyond so many bytes: a disk that is full for
    /// whatever is longer. `None` is a disk with room.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit {
            current: bytes,
            maximum: getrlimit(Resource::Fsize).maximum,
        };
        let pid = lock(&self.host).id();
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        prlimit(pid, Resource::Fsize, limit).expect("own process");
    }

    /// What the host says of a job at this moment; `None` where it says nothing.
    pub async fn state(&self, session: &Digest, number: u64) -> Option<JobState> {
        let call = Request::get(job_path(session, number), 1 << 20);
        let answer = self.http().send(&call).await.ok()?;
        let status: JobStatus = serde_json::from_slice(&answer.body).ok()?;
        Some(status.state)
    }

    fn http(&self) -> Client {
        let address = HostAddress::Unix(self.folder.path().join("client.sock"));
        Client::new(address, &Trust::default()).expect("a client")
    }

    /// Where the host keeps the receipt of a job that has ended.
    pub fn stored_receipt(&self, session: &Digest, number: u64) -> PathBuf {
        self.folder
            .path()
            .join(format!("host/receipts/{session}/{number}"))
    }

    /// Trusts these runtimes and nothing else.
    pub fn trust(&self) -> TrustStore {
        trusting(
            &program("mc2-runtime-sim"),
            lock(&self.keys).iter().copied(),
        )
    }

    /// Stores the run's component, and opens and appraises a session for its policy.
    pub async fn session(&self, run: &Run) -> Session<'_> {
        let wasm = std::fs::read(&run.component).expect("the component");
        let digest = Digest::of(&wasm);
        let stored = self.remote.put_component(&digest, wasm.into()).await;
        stored.expect("a component");
        self.open(run.policy(&self.me)).await
    }

    /// Opens and appraises a session under a policy whose components the host has, with as much
    /// patience as those that were started just now need.
    pub async fn open(&self, policy: Policy) -> Session<'_> {
        let begun = Instant::now();
        let opened = loop {
            let opened = Opened::open(&self.remote, policy.clone(), &self.me).await;
            match opened {
                // Whoever was started just now has not dialled in, or whoever was killed is still
                // thought to be there.
                Err(error) if is_passing(&error) && begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                opened => break opened.expect("a session"),
            }
        };
        let (checks, session) = opened.appraise(&verifier(&self.trust()));
        session.unwrap_or_else(|_| panic!("{checks:?}"))
    }

    /// A job's receipt, from wherever the host has it, verified.
    pub async fn receipt(&self, session: &Session<'_>, running: &Running<'_, '_>) -> Verified {
        let envelope = running.receipt(&self.me).await.expect("a receipt");
        let expected = Expected {
            trust: &self.trust(),
            allow_simulated: true,
            now: SystemTime::now(),
            policy: Some(session.policy()),
            components: None,
            nonce: Some(session.nonce()),
            session: Some(session.appraised().digest()),
            number: Some(running.number),
            job: Some(&running.job),
            submitter: Some(self.me.card().digest()),
        };
        let verdict = verify(&envelope, &expected);
        verdict.accept().unwrap_or_else(|broken| panic!("{broken}"))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        end(&mut lock(&self.host));
        end(&mut lock(&self.runtime));
    }
}

fn is_passing(error: &RemoteError) -> bool {
    match error {
        RemoteError::Http(error) => {
            matches!(error.code(), Some("no-runtime" | "runtime-gone"))
        }
        _ => false,
    }
}

fn end(process: &mut Child) {
    // It may have ended by itself.
    let _ = process.kill();
    let _ = process.wait();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start_runtime(folder: &Path) -> (Child, SimKey) {
    let mut runtime = Command::new(program("mc2-runtime-sim"))
        .arg("--compilation-cache")
        .arg(cache_folder())
        .arg("--host")
        .arg(format!("unix:{}", folder.join("runtime.sock").display()))
        .args(["--engine-profile", "vm"])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a runtime");
    let mut line = String::new();
    let mut stdout = BufReader::new(runtime.stdout.take().expect("piped"));
    stdout.read_line(&mut line).expect("its key");
    let key = line
        .trim_end()
        .strip_prefix("MC2-SIM-KEY ")
        .expect("its key");
    (runtime, key.parse().expect("a key"))
}

fn start_host(folder: &Path, flags: &[String]) -> Child {
    let at = |name: &str| format!("unix:{}", folder.join(name).display());
    let mut host = Command::new(program("mc2-host"))
        .args(["serve", "--folder"])
        .arg(folder.join("host"))
        .args(["--listen", &at("client.sock")])
        .args(["--runtime-listen", &at("runtime.sock")])
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a host");
    process::listening(&mut host);
    let log = BufReader::new(host.stderr.take().expect("piped"));
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            let _ = writeln!(std::io::stderr(), "host: {line}");
        }
    });
    host
}

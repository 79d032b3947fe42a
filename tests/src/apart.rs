//! A host and a simulated runtime as processes of their own, so that each can end, or fail, and be
//! started again without the other.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use mc2_attestation::{SimKey, TrustStore};
use mc2_client::{
    http::{Client, HostAddress, Request, Trust},
    open::{Exact, Fetched, Opening},
    remote::{Remote, RemoteError},
    session::{Opened, Running, Session},
    state::ledger::Ledger,
    verify::{Expected, Verified, verify},
};
use mc2_protocol::{
    Digest, Identity,
    documents::{control::JobState, receipt::OutputSecret, storage::JobStatus},
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
    address: String,
    folder: TempDir,
}

impl Apart {
    /// Starts both; clients find the host at a socket.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts both, the host with these flags besides.
    pub fn with(flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        let folder = TempDir::with_prefix("mc2-apart-").expect("a temporary folder");
        let address = format!("unix:{}", folder.path().join("client.sock").display());
        Self::at(address, flags, folder)
    }

    /// The same without flags, but that clients find the host at a port of this machine that was
    /// free.
    pub fn over_loopback() -> Self {
        let folder = TempDir::with_prefix("mc2-apart-").expect("a temporary folder");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr());
        Self::at(format!("tcp:{}", free.expect("a port")), Vec::new(), folder)
    }

    fn at(address: String, flags: Vec<String>, folder: TempDir) -> Self {
        let host = start_host(folder.path(), &address, &flags);
        let (runtime, key) = start_runtime(folder.path());
        Self {
            remote: Remote::new(connect(&address)),
            me: Identity::generate(parse("me"), &mut rng()),
            ledger: Ledger::at(folder.path().join("ledger")),
            host: Mutex::new(host),
            runtime: Mutex::new(runtime),
            keys: Mutex::new(vec![key]),
            flags,
            address,
            folder,
        }
    }

    /// Another client's view of the host.
    pub fn connect(&self) -> Remote {
        Remote::new(self.http())
    }

    /// Where clients find a host at a port.
    ///
    /// # Panics
    /// When they find it at a socket.
    pub fn port(&self) -> SocketAddr {
        let port = self.address.strip_prefix("tcp:");
        parse(port.expect("a host at a port"))
    }

    /// The process ids of host and runtime.
    pub fn pids(&self) -> [u32; 2] {
        [lock(&self.host).id(), lock(&self.runtime).id()]
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
        *lock(&self.host) = start_host(self.folder.path(), &self.address, &self.flags);
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

    /// The client's side of HTTP, for what [`Remote`] has no words for.
    pub fn http(&self) -> Client {
        connect(&self.address)
    }

    /// Whether these bytes stand in a file of the host's, with others perhaps.
    pub fn host_keeps(&self, bytes: &[u8]) -> bool {
        let mut folders = vec![self.folder.path().join("host")];
        while let Some(folder) = folders.pop() {
            // What is removed meanwhile does not keep them.
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if std::fs::read(path)
                    .is_ok_and(|found| found.windows(bytes.len()).any(|window| window == bytes))
                {
                    return true;
                }
            }
        }
        false
    }

    /// The sealed receipt of a job, byte for byte.
    pub async fn sealed_receipt(&self, session: &Digest, number: u64) -> Vec<u8> {
        let call = Request::get(mc2_wire::routes::receipt_path(session, number), 1 << 20);
        let answer = self.http().send(&call).await.expect("the receipt");
        answer.body.to_vec()
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
            collateral: None,
        };
        let verdict = verify(&envelope, &expected);
        verdict.accept().unwrap_or_else(|broken| panic!("{broken}"))
    }

    /// What a job left under this name, from wherever the host has it: its receipt verifies, and the
    /// output opens.
    pub async fn output(
        &self,
        session: &Session<'_>,
        running: &Running<'_, '_>,
        name: &str,
    ) -> Vec<u8> {
        let receipt = self.receipt(session, running).await.receipt;
        let output = receipt.outputs.iter().find(|one| one.name == name);
        let output = output.expect("the output");
        let (digest, sealed) = (session.appraised().digest(), &output.recipients[0]);
        let secret = OutputSecret::open(digest, &receipt.job, &output.name, sealed, &self.me);
        let secret = secret.expect("what is sealed to the reader");
        let fetched = Fetched::from(&self.remote, &output.object, secret.length).await;
        let fetched = fetched.expect("an object");
        let opening = Opening {
            manifest: fetched.manifest(),
            key: &secret.key,
            exact: Some(Exact::from(&secret)),
            from: fetched.sealed(),
        };
        let mut bytes = Vec::new();
        let opened = opening.to_sink(&mut bytes).await;
        let written = opened.expect("what was announced opens");
        written.expect("memory");
        bytes
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

fn connect(address: &str) -> Client {
    let address = match address.strip_prefix("tcp:") {
        Some(port) => format!("http://{port}").parse(),
        None => address.parse(),
    };
    let address: HostAddress = address.expect("a host's address");
    Client::new(address, &Trust::default()).expect("a client")
}

fn start_host(folder: &Path, listen: &str, flags: &[String]) -> Child {
    let runtimes = format!("unix:{}", folder.join("runtime.sock").display());
    let mut host = Command::new(program("mc2-host"))
        .args(["serve", "--folder"])
        .arg(folder.join("host"))
        .args(["--listen", listen])
        .args(["--runtime-listen", &runtimes])
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

//! A host and a simulated runtime as processes of their own, so that each can end, or fail, and be
//! started again without the other.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::SystemTime,
};

use mc2_attestation::{SimKey, TrustStore};
use mc2_client::{
    http::{Client, HostAddress, Request, Trust},
    remote::Remote,
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

/// Both, in one temporary folder; ended when dropped.
pub struct Apart {
    /// The client's view of the host.
    pub remote: Remote,
    /// The only party.
    pub me: Identity,
    /// The party's ledger.
    pub ledger: Ledger,
    host: Child,
    runtime: Child,
    key: SimKey,
    folder: TempDir,
}

impl Apart {
    /// Starts both.
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("mc2-apart-").expect("a temporary folder");
        let host = start_host(folder.path());
        let mut runtime = Command::new(program("mc2-runtime-sim"))
            .arg("--compilation-cache")
            .arg(cache_folder())
            .arg("--host")
            .arg(format!(
                "unix:{}",
                folder.path().join("runtime.sock").display()
            ))
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
        let address = HostAddress::Unix(folder.path().join("client.sock"));
        let client = Client::new(address, &Trust::default()).expect("a client");
        Self {
            remote: Remote::new(client),
            me: Identity::generate(parse("me"), &mut rng()),
            ledger: Ledger::at(folder.path().join("ledger")),
            host,
            runtime,
            key: key.parse().expect("a key"),
            folder,
        }
    }

    /// Where clients find the host.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("client.sock")
    }

    /// Kills the host and leaves its folder as that is.
    pub fn kill_host(&mut self) {
        self.host.kill().expect("own process");
        self.host.wait().expect("its end");
    }

    /// Starts a host over the folder the last one left.
    pub fn start_host(&mut self) {
        self.host = start_host(self.folder.path());
    }

    /// Kills the runtime.
    pub fn kill_runtime(&mut self) {
        process::kill(self.runtime.id());
        self.runtime.wait().expect("its end");
    }

    /// From now on no file of the host's grows beyond so many bytes: a disk that is full for
    /// whatever is longer. `None` is a disk with room.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit {
            current: bytes,
            maximum: getrlimit(Resource::Fsize).maximum,
        };
        let pid = i32::try_from(self.host.id()).ok().and_then(Pid::from_raw);
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

    /// Trusts this runtime and nothing else.
    pub fn trust(&self) -> TrustStore {
        trusting(&program("mc2-runtime-sim"), [self.key])
    }

    /// Stores the run's component, and opens and appraises a session for its policy.
    pub async fn session(&self, run: &Run) -> Session<'_> {
        let wasm = std::fs::read(&run.component).expect("the component");
        let digest = Digest::of(&wasm);
        let stored = self.remote.put_component(&digest, wasm.into()).await;
        stored.expect("a component");
        self.open(run.policy(&self.me)).await
    }

    async fn open(&self, policy: Policy) -> Session<'_> {
        let opened = Opened::open(&self.remote, policy, &self.me)
            .await
            .expect("a session");
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
        for process in [&mut self.host, &mut self.runtime] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn start_host(folder: &Path) -> Child {
    let at = |name: &str| format!("unix:{}", folder.join(name).display());
    let mut host = Command::new(program("mc2-host"))
        .args(["serve", "--folder"])
        .arg(folder.join("host"))
        .args(["--listen", &at("client.sock")])
        .args(["--runtime-listen", &at("runtime.sock")])
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

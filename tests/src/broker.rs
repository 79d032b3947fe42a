//! An owner who is away, and the broker who stands for them.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant, SystemTime},
};

use mc2_client::{
    broker::{Broker, Folder, Keep, Unlock, give},
    party::{Fingerprint, Parties},
    seal::object::{LocalObject, seal_to_folder},
    seal::source::Source,
    session::Session,
    state::{
        State,
        ledger::{Entry, Ledger},
    },
};
use mc2_protocol::{
    Card, Digest, Identity, Name,
    documents::{broker::BrokerCard, job::Job, message::HeldKey},
    policy::Policy,
};
use tempfile::TempDir;

use crate::{Finished, Stack, StackOptions, approve, identity, now, parse, program};

/// What the dataset holds at first.
pub const TEXT: &[u8] = b"one\ntwo\nthree\n";
/// How long what must come is waited for before the test has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How often is looked whether something has come.
pub const GLANCE: Duration = Duration::from_millis(100);

/// An owner, a broker, and a host with a runtime. The submitter is `stack.me`; the owner does
/// nothing once this is made.
pub struct BrokerScene {
    work: Work,
    /// The host with its runtime, and the submitter.
    pub stack: Stack,
    folder: TempDir,
    owner: Identity,
    /// The broker, its secrets unlocked.
    pub broker: Broker,
    /// What all agreed on.
    pub policy: Policy,
    /// The first version of the dataset `data`.
    pub object: Digest,
}

/// What the policy's job `run` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Copies the dataset, twice at most.
    Copy,
    /// Copies what the job `train` left in the broker's custody, twice at most in all.
    Custody,
}

/// A broker that serves, ended by SIGKILL when dropped.
pub struct Serving(pub Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl BrokerScene {
    /// Everything agreed: two runs, and a policy that ends in so many seconds.
    pub async fn new(ends_in: u64) -> Self {
        Self::with(Work::Copy, ends_in, StackOptions::default()).await
    }

    /// The same with other work, over a host that may differ.
    pub async fn with(work: Work, ends_in: u64, options: StackOptions) -> Self {
        let stack = Stack::with(options).await;
        let folder = TempDir::with_prefix("mc2-broker-").expect("what the test needs");
        let at = |name: &str| folder.path().join(name);
        let marks = at("run/mc2/brokers");
        let mut private = DirBuilder::new();
        private
            .mode(0o700)
            .recursive(true)
            .create(&marks)
            .expect("what the test needs");
        fs::write(at("passphrase"), "correct horse\n").expect("what the test needs");
        let unlock = Unlock {
            passphrase: Some(at("passphrase")),
            pin: None,
        };
        let broker = Folder::at(at("broker")).marked_in(marks);
        let broker = broker.init(parse("keeper"), &Keep::Passphrase, &unlock);
        let broker = broker.expect("what the test needs");
        let owner = identity("owner");
        let mut scene = Self {
            work,
            policy: policy(work, &stack, &owner, broker.card(), ends_in).await,
            object: Digest::of(b""),
            stack,
            folder,
            owner,
            broker,
        };
        scene.know(&[scene.owner.card().clone(), scene.stack.me.card().clone()]);
        scene.object = scene.version(1, TEXT).await;
        scene.accept();
        scene
    }

    /// A path in the scene's folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn know(&self, cards: &[Card]) {
        let state = self.broker.folder().state();
        let mut parties = Parties::load(state).expect("what the test needs");
        for card in cards {
            let told: Fingerprint = card.fingerprint().parse().expect("what the test needs");
            parties
                .add(state, card, &told)
                .expect("what the test needs");
        }
    }

    fn accept(&self) {
        let accepted = self
            .broker
            .folder()
            .accept(&self.policy, None, SystemTime::now());
        accepted.expect("what the test needs");
    }

    /// Gives the broker a version of the dataset, and the host its object.
    pub async fn version(&self, number: u64, bytes: &[u8]) -> Digest {
        let (plain, sealed) = (self.at("plain"), self.at(&format!("{number}.sealed")));
        fs::write(&plain, bytes).expect("what the test needs");
        let source = Source::scan(&plain).expect("what the test needs");
        let owner = self.owner.card();
        seal_to_folder(&source, &parse("data"), owner, &sealed, &mut |_| ())
            .expect("what the test needs");
        let state = State::at(self.at("owner"));
        give(&state, &self.owner, &sealed, self.broker.card(), number)
            .expect("what the test needs");
        self.broker
            .add(&sealed, SystemTime::now())
            .expect("what the test needs");
        let object = LocalObject::read(&sealed).expect("what the test needs");
        self.stack
            .remote
            .upload_sealed(&object, &|_| ())
            .await
            .expect("what the test needs");
        *object.id()
    }

    /// A session that the submitter approved, whose simulator the broker trusts.
    pub async fn session(&self) -> Session<'_> {
        let session = self
            .stack
            .open_session(&self.stack.remote, self.policy.clone())
            .await;
        let session = session.expect("a session");
        approve(&session, &self.stack.me).await;
        // The simulator of this session is known only now.
        self.trust_simulators();
        session
    }

    fn trust_simulators(&self) {
        let trust = self.broker.folder().state().trust_store();
        fs::write(trust, self.stack.trust().to_bytes()).expect("what the test needs");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("mc2"));
        command
            .arg("broker")
            .args(arguments)
            .env("MC2_BROKER_HOME", self.at("broker"))
            .env("XDG_RUNTIME_DIR", self.at("run"))
            .env("MC2_HOME", self.at("nobody"))
            .stdin(Stdio::null());
        command
    }

    /// `mc2 broker`.
    pub fn mc2(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("mc2 starts")
    }

    /// A broker that serves, in a process of its own.
    pub fn serve(&self) -> Serving {
        let host = format!("unix:{}", self.stack.socket().display());
        let passphrase = self.at("passphrase");
        let mut command = self.command(&["serve", "--allow-simulated", "--every", "100", "--json"]);
        command
            .args(["--host", &host, "--passphrase-file"])
            .arg(passphrase)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Serving(command.spawn().expect("what the test needs"))
    }

    /// The broker's ledger as anybody reads it.
    pub fn ledger(&self) -> Ledger {
        self.broker.folder().state().ledger()
    }

    /// All that stands in the broker's ledger.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let read = self.ledger().entries(|recorded| {
            entries.push(recorded.entry);
            std::ops::ControlFlow::Continue(())
        });
        read.expect("a chain that holds");
        entries
    }

    /// The codes of the refusals in the ledger.
    pub fn refusals(&self) -> Vec<String> {
        let codes = self.entries().into_iter().filter_map(|entry| match entry {
            Entry::Refusal(refusal) => Some(refusal.code),
            _ => None,
        });
        codes.collect()
    }

    /// Runs in the ledger.
    pub fn released(&self) -> u64 {
        let runs = self.entries().into_iter().map(|entry| match entry {
            Entry::Release(release) => u64::from(release.runs),
            _ => 0,
        });
        runs.sum()
    }

    /// The key that `run` takes, which the enclave says it has.
    pub async fn held(&self, session: &Session<'_>) -> Option<HeldKey> {
        let status = session
            .status(&self.stack.me)
            .await
            .expect("what the test needs");
        let wanted = match self.work {
            Work::Copy => "data",
            Work::Custody => "model",
        };
        let mut keys = status.keys.into_iter();
        keys.find(|key| key.dataset.as_str() == wanted)
    }

    /// Comes back once the enclave has a key.
    pub async fn until_released(&self, session: &Session<'_>) -> HeldKey {
        let begun = Instant::now();
        loop {
            match self.held(session).await {
                Some(held) if held.runs > 0 => return held,
                _ => assert!(begun.elapsed() < PATIENCE, "no key came"),
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Comes back once a refusal of this code stands in the ledger.
    pub async fn until_refused(&self, code: &str) {
        let begun = Instant::now();
        while !self.refusals().iter().any(|found| found == code) {
            let found = self.refusals();
            assert!(
                begun.elapsed() < PATIENCE,
                "{code} was not refused: {found:?}"
            );
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The job `run` over this object.
    pub fn job(&self, object: Digest, salt: u8) -> Job {
        match self.work {
            Work::Copy => self.draft("run", "data", object, "copy", salt),
            Work::Custody => self.draft("run", "model", object, "copy", salt),
        }
    }

    /// Comes back once the enclave has a key of this dataset, or output in custody.
    pub async fn until_holds(&self, session: &Session<'_>, name: &str) {
        let begun = Instant::now();
        loop {
            let status = session.status(&self.stack.me).await.expect("an answer");
            let mut keys = status.keys.iter();
            if keys.any(|key| key.dataset.as_str() == name && key.runs > 0) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "no key of {name} came");
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The job `train` over the first version of the dataset.
    pub fn training(&self, salt: u8) -> Job {
        self.draft("train", "data", self.object, "model", salt)
    }

    fn draft(&self, job: &str, input: &str, object: Digest, output: &str, salt: u8) -> Job {
        let objects = BTreeMap::from([(parse::<Name>(input), object)]);
        let arguments = vec![["copy", input, output].map(str::to_owned).to_vec()];
        let job = self
            .policy
            .draft(&parse(job), &objects, arguments, [salt; 32]);
        job.expect("a job the policy allows")
    }

    /// Runs `run` once there is a key.
    pub async fn run(&self, session: &Session<'_>, salt: u8) -> Finished {
        let held = self.until_released(session).await;
        let job = self.job(held.object, salt);
        let finished = self.stack.submit_job(session, &self.stack.me, &job).await;
        finished.expect("a receipt")
    }
}

async fn policy(
    work: Work,
    stack: &Stack,
    owner: &Identity,
    broker: &Card,
    ends_in: u64,
) -> Policy {
    let component = stack.component("hostile").await;
    let signed = BrokerCard::sign(broker.clone(), owner);
    let common = "submit = [\"me\"]\nruns = 2\nerrors = \"full\"\n\
                  approve = { who = [\"me\"], when = \"session\" }\n\
                  limits = { memory = \"256MiB\", time = \"60s\", output = \"8MiB\" }\n\
                  [[job.step]]\ncomponent = \"workload\"\nargs = \"any\"\npadding = \"exact\"\n";
    let (train, run) = match work {
        Work::Copy => (String::new(), "data = \"dataset:data\""),
        Work::Custody => (
            format!(
                "[[job]]\nname = \"train\"\n{common}inputs = {{ data = \"dataset:data\" }}\n\
                 outputs = {{ model = {{ custody = \"keeper\", runs = 2 }} }}\n"
            ),
            "model = \"custody:model\"",
        ),
    };
    let text = format!(
        "version = 1\nname = \"daily\"\nexpires = {}\nvisible = \"access\"\n\
         [enclave]\ntee = [\"sim\"]\nplatforms = \"any\"\ntcb = \"up-to-date\"\n\
         [[party]]\ncard = \"{}\"\n[[party]]\ncard = \"{}\"\n\
         [[component]]\nname = \"workload\"\nsha256 = \"{component}\"\n\
         [[dataset]]\nname = \"data\"\nowner = \"owner\"\nbroker = \"{signed}\"\n\
         {train}[[job]]\nname = \"run\"\n{common}inputs = {{ {run} }}\noutputs = {{ copy = [\"me\"] }}\n",
        mc2_client::policy::rfc3339(now() + ends_in),
        stack.me.card(),
        owner.card(),
    );
    Policy::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

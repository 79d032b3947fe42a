//! An owner who is away: a broker releases the owner's keys, counts what it released, answers for
//! the start of jobs, and says no where it must.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use mc2_client::{
    broker::{Broker, Folder, Keep, Unlock, give},
    party::{Fingerprint, Parties},
    seal::object::{LocalObject, seal_to_folder},
    seal::source::Source,
    session::{Running, Session},
    state::{
        State,
        ledger::{Entry, Ledger},
    },
};
use mc2_protocol::{
    Card, Digest, Identity, Name,
    documents::{
        broker::BrokerCard,
        job::Job,
        message::{HeldKey, JobPhase},
    },
    policy::Policy,
};
use mc2_tests::{Finished, Stack, approve, identity, now, parse, program};
use tempfile::TempDir;

const TEXT: &[u8] = b"one\ntwo\nthree\n";
/// How long what must come is waited for before the test has failed.
const PATIENCE: Duration = Duration::from_secs(120);
const GLANCE: Duration = Duration::from_millis(100);

/// An owner, a broker, and a host with a runtime. The submitter is `stack.me`; the owner does
/// nothing once this is made.
struct Scene {
    stack: Stack,
    folder: TempDir,
    owner: Identity,
    broker: Broker,
    policy: Policy,
    object: Digest,
}

/// A broker that serves, ended by SIGKILL when dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Scene {
    /// Everything agreed: two runs, and a policy that ends in so many seconds.
    async fn new(ends_in: u64) -> Self {
        let stack = Stack::start().await;
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
            policy: policy(&stack, &owner, broker.card(), ends_in).await,
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

    fn at(&self, name: &str) -> PathBuf {
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
    async fn version(&self, number: u64, bytes: &[u8]) -> Digest {
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

    async fn session(&self) -> Session<'_> {
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

    fn mc2(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("mc2 starts")
    }

    fn serve(&self) -> Serving {
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
    fn ledger(&self) -> Ledger {
        self.broker.folder().state().ledger()
    }

    fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let read = self.ledger().entries(|recorded| {
            entries.push(recorded.entry);
            std::ops::ControlFlow::Continue(())
        });
        read.expect("a chain that holds");
        entries
    }

    /// The codes of the refusals in the ledger.
    fn refusals(&self) -> Vec<String> {
        let codes = self.entries().into_iter().filter_map(|entry| match entry {
            Entry::Refusal(refusal) => Some(refusal.code),
            _ => None,
        });
        codes.collect()
    }

    /// Runs in the ledger.
    fn released(&self) -> u64 {
        let runs = self.entries().into_iter().map(|entry| match entry {
            Entry::Release(release) => u64::from(release.runs),
            _ => 0,
        });
        runs.sum()
    }

    /// The key that the enclave says it has.
    async fn held(&self, session: &Session<'_>) -> Option<HeldKey> {
        let status = session
            .status(&self.stack.me)
            .await
            .expect("what the test needs");
        status.keys.into_iter().next()
    }

    async fn until_released(&self, session: &Session<'_>) -> HeldKey {
        let begun = Instant::now();
        loop {
            match self.held(session).await {
                Some(held) if held.runs > 0 => return held,
                _ => assert!(begun.elapsed() < PATIENCE, "no key came"),
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    async fn until_refused(&self, code: &str) {
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

    fn job(&self, object: Digest, salt: u8) -> Job {
        let objects = BTreeMap::from([(parse::<Name>("data"), object)]);
        let arguments = vec![["copy", "data", "copy"].map(str::to_owned).to_vec()];
        let job = self
            .policy
            .draft(&parse("run"), &objects, arguments, [salt; 32]);
        job.expect("a job the policy allows")
    }

    async fn run(&self, session: &Session<'_>, salt: u8) -> Finished {
        let held = self.until_released(session).await;
        let job = self.job(held.object, salt);
        let finished = self.stack.submit_job(session, &self.stack.me, &job).await;
        finished.expect("a receipt")
    }
}

async fn policy(stack: &Stack, owner: &Identity, broker: &Card, ends_in: u64) -> Policy {
    let component = stack.component("hostile").await;
    let signed = BrokerCard::sign(broker.clone(), owner);
    let text = format!(
        "version = 1\nname = \"daily\"\nexpires = {}\nvisible = \"access\"\n\
         [enclave]\ntee = [\"sim\"]\nplatforms = \"any\"\ntcb = \"up-to-date\"\n\
         [[party]]\ncard = \"{}\"\n[[party]]\ncard = \"{}\"\n\
         [[component]]\nname = \"workload\"\nsha256 = \"{component}\"\n\
         [[dataset]]\nname = \"data\"\nowner = \"owner\"\nbroker = \"{signed}\"\n\
         [[job]]\nname = \"run\"\nsubmit = [\"me\"]\nruns = 2\nerrors = \"full\"\n\
         approve = {{ who = [\"me\"], when = \"session\" }}\n\
         limits = {{ memory = \"256MiB\", time = \"60s\", output = \"8MiB\" }}\n\
         [[job.step]]\ncomponent = \"workload\"\nargs = \"any\"\n\
         inputs = {{ data = \"dataset:data\" }}\noutputs = {{ copy = [\"me\"] }}\n\
         padding = \"exact\"\n",
        mc2_client::policy::rfc3339(now() + ends_in),
        stack.me.card(),
        owner.card(),
    );
    Policy::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn jobs_run_over_the_data_of_an_owner_who_is_away_until_the_runs_are_spent() {
    let scene = Scene::new(3600).await;
    let session = scene.session().await;
    let serving = scene.serve();
    for salt in [1, 2] {
        let finished = scene.run(&session, salt).await;
        assert_eq!(finished.reason(), "succeeded");
        assert_eq!(finished.outputs["copy"], TEXT);
    }
    // Over all sessions: another gets nothing either.
    scene.until_refused("runs-spent").await;
    let other = scene.session().await;
    let begun = scene.refusals().len();
    let waited = Instant::now();
    while scene.refusals().len() == begun {
        assert!(
            waited.elapsed() < PATIENCE,
            "the second session was not refused"
        );
        tokio::time::sleep(GLANCE).await;
    }
    assert!(scene.held(&other).await.is_none());
    drop(serving);

    let entries = scene.entries();
    let starts = entries
        .iter()
        .filter(|entry| matches!(entry, Entry::Start(_)));
    assert_eq!((scene.released(), starts.count()), (2, 2));
    let log = scene.mc2(&["log", "--json"]);
    let log = String::from_utf8(log.stdout).unwrap();
    assert_eq!(log.lines().count(), entries.len());
    assert!(log.contains("runs-spent"), "{log}");
}

#[tokio::test]
async fn a_policy_that_was_not_accepted_gets_nothing_and_that_is_written_down() {
    let scene = Scene::new(3600).await;
    let withdrawn = scene
        .broker
        .folder()
        .withdraw(scene.policy.digest(), SystemTime::now());
    withdrawn.unwrap();
    let session = scene.session().await;
    let _serving = scene.serve();
    scene.until_refused("policy-not-accepted").await;
    assert!(scene.held(&session).await.is_none());
    assert_eq!(scene.released(), 0);
}

#[tokio::test]
async fn evidence_that_does_not_pass_gets_nothing_and_that_is_written_down() {
    let scene = Scene::new(3600).await;
    let session = scene.session().await;
    // Its own trust store knows no such runtime: what the host or the policy says of it is nothing.
    fs::remove_file(scene.broker.folder().state().trust_store()).unwrap();
    let _serving = scene.serve();
    scene.until_refused("evidence-refused").await;
    assert!(scene.held(&session).await.is_none());
    assert_eq!(scene.released(), 0);
}

#[tokio::test]
async fn no_job_starts_and_no_key_leaves_once_the_policy_has_ended_by_the_broker_s_clock() {
    let scene = Scene::new(15).await;
    let session = scene.session().await;
    let serving = scene.serve();
    let held = scene.until_released(&session).await;
    drop(serving);
    let running = session
        .submit(&scene.stack.me, &scene.job(held.object, 1))
        .await;
    let running = running.expect("a job that waits for its start");
    while !scene.policy.is_expired(now()) {
        tokio::time::sleep(GLANCE).await;
    }
    let _serving = scene.serve();
    scene.until_refused("policy-expired").await;
    waits(&scene, &session, &running).await;
    let starts = scene.entries();
    assert!(!starts.iter().any(|entry| matches!(entry, Entry::Start(_))));
    running.cancel(&scene.stack.me).await.unwrap();
}

async fn waits(scene: &Scene, session: &Session<'_>, running: &Running<'_, '_>) {
    let status = session
        .status(&scene.stack.me)
        .await
        .expect("what the test needs");
    let job = status.jobs.iter().find(|job| job.number == running.number);
    let state = &job.expect("a job that has not ended").state;
    assert!(matches!(state, JobPhase::Waiting { .. }), "{state:?}");
}

#[tokio::test]
async fn a_newer_version_is_released_to_the_next_session_and_never_an_older_one() {
    let scene = Scene::new(3600).await;
    let first = scene.session().await;
    let _serving = scene.serve();
    assert_eq!(scene.until_released(&first).await.object, scene.object);
    let newer = scene.version(2, b"four\n").await;
    let job = scene.job(scene.object, 1);
    let finished = scene.stack.submit_job(&first, &scene.stack.me, &job).await;
    assert_eq!(finished.expect("a receipt").outputs["copy"], TEXT);
    // The session has the older one, and gets no more of it.
    scene.until_refused("older-version").await;
    let second = scene.session().await;
    assert_eq!(scene.until_released(&second).await.object, newer);
    let finished = scene.run(&second, 2).await;
    assert_eq!(finished.outputs["copy"], b"four\n");
}

#[tokio::test]
async fn a_broker_killed_at_any_moment_never_released_what_its_ledger_has_not() {
    let scene = Arc::new(Scene::new(3600).await);
    let session = scene.session().await;
    // From before it has read its folder to after it has released.
    for milliseconds in [0, 20, 50, 100, 150, 200, 300, 400, 600, 800] {
        let serving = scene.serve();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        drop(serving);
        let left = scene
            .held(&session)
            .await
            .map_or(0, |held| u64::from(held.runs));
        let released = scene.released();
        assert!(
            left <= released,
            "{left} runs left, {released} are in the ledger"
        );
        assert!(released <= 2, "{released} of 2 runs");
    }
    // A release that was recorded and did not leave is spent: that session gets no other.
    let session = match scene.held(&session).await {
        Some(_) => session,
        None => scene.session().await,
    };
    let serving = scene.serve();
    let held = scene.until_released(&session).await;
    let running = session
        .submit(&scene.stack.me, &scene.job(held.object, 1))
        .await;
    let running = running.expect("a job");
    drop(serving);
    // While the job waits for its start, or runs.
    for milliseconds in [50, 150, 300] {
        let serving = scene.serve();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        drop(serving);
        scene.ledger().verify().expect("a chain that holds");
    }
    let _serving = scene.serve();
    let finished = scene
        .stack
        .finish(&session, &scene.stack.me, &running)
        .await;
    assert_eq!(finished.expect("a receipt").reason(), "succeeded");
    assert!(
        scene
            .entries()
            .iter()
            .any(|entry| matches!(entry, Entry::Start(_)))
    );
    assert!(scene.released() <= 2);
}

#[tokio::test]
async fn after_another_boot_nothing_leaves_until_the_head_that_was_noted_is_stated() {
    let scene = Scene::new(3600).await;
    let session = scene.session().await;
    let noted = scene.ledger().head().unwrap();
    // As another boot finds it: the mark is of the last one.
    let marks: Vec<_> = fs::read_dir(scene.at("run/mc2/brokers")).unwrap().collect();
    let mark = marks[0].as_ref().unwrap().path();
    let name = mark.file_name().unwrap().to_str().unwrap();
    let other = name.replacen('-', "0", 1);
    fs::rename(&mark, mark.with_file_name(other)).unwrap();

    let status = scene.mc2(&["status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("resume --head"));
    let mut serving = scene.serve();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(scene.held(&session).await.is_none());
    assert_eq!(scene.released(), 0);
    assert!(serving.0.try_wait().unwrap().is_none(), "it waits");

    let wrong = scene.mc2(&["resume", "--head", &Digest::of(b"another").to_string()]);
    assert!(!wrong.status.success());
    assert!(
        words(&wrong).contains("the ledger's head is"),
        "{}",
        words(&wrong)
    );
    assert_eq!(scene.released(), 0);
    let right = scene.mc2(&["resume", "--head", &noted.last.to_string()]);
    assert!(right.status.success(), "{}", words(&right));
    // The one that serves goes on by itself.
    scene.until_released(&session).await;
}

#[tokio::test]
async fn a_ledger_that_was_rolled_back_releases_nothing_until_its_head_is_stated() {
    let scene = Scene::new(3600).await;
    let session = scene.session().await;
    let files = ["broker/ledger.jsonl", "broker/ledger.jsonl.head"];
    let old = files.map(|file| fs::read(scene.at(file)).unwrap());
    let old_head = scene.ledger().head().unwrap();
    let serving = scene.serve();
    scene.until_released(&session).await;
    drop(serving);
    let noted = scene.ledger().head().unwrap();
    for (file, bytes) in files.iter().zip(&old) {
        fs::write(scene.at(file), bytes).unwrap();
    }
    let other = scene.session().await;
    let mut serving = scene.serve();
    let begun = Instant::now();
    let ended = loop {
        match serving.0.try_wait().unwrap() {
            Some(ended) => break ended,
            None => assert!(begun.elapsed() < PATIENCE, "it serves"),
        }
        tokio::time::sleep(GLANCE).await;
    };
    assert_eq!(ended.code(), Some(78), "the state folder is broken");
    assert!(scene.held(&other).await.is_none());
    // What was noted before the roll back shows that it was one.
    let refused = scene.mc2(&["resume", "--head", &noted.last.to_string()]);
    assert!(
        words(&refused).contains("rolled back or replaced"),
        "{}",
        words(&refused)
    );
    let accepted = scene.mc2(&["resume", "--head", &old_head.last.to_string()]);
    assert!(accepted.status.success(), "{}", words(&accepted));
    let _serving = scene.serve();
    scene.until_released(&other).await;
}

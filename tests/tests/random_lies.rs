//! A proxy that lies at random, between clients and host and between host and runtime, both ways, over
//! whole flows of three parties: upload, open, approve one by one, submit, watch, open the result.
//!
//! Each flow ends in the right result or with a reason, nothing in clear passes the proxy, nobody
//! panics, and one approval is one run. `MC2_LIES_SEEDS` says how many seeds, and `MC2_LIES_SEED`
//! which one, where a failure named it.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use futures_util::future::join_all;
use mc2_client::{
    remote::{Remote, Uploaded},
    seal::source::Source,
    session::{Session, SessionError},
    state::ledger::Ledger,
};
use mc2_protocol::{
    Digest, Identity, Name,
    documents::{job::Job, receipt::Status},
    policy::Policy,
};
use mc2_tests::{
    Exchange, Finished, Liar, Needle, RunFailed, Stack, StackOptions, identity, parse, policy_of,
    release,
};

const SEEDS: u64 = 20;
/// Flows at the same time: each has the others' messages, objects and receipts to be mistaken for.
const FLOWS: u64 = 5;
/// Of a thousand requests so many are lied about. A flow has some forty.
const TO_CLIENTS: u64 = 35;
const TO_RUNTIME: u64 = 40;
/// How often somebody tries again before they give up.
const TRIES: u32 = 3;
/// How long a job's end is waited for.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a whole flow may take, with every wait that it has.
const BOUND: Duration = Duration::from_secs(100);
const RUNS: u32 = 4;

static PANICS: AtomicUsize = AtomicUsize::new(0);

struct Scene {
    stack: Stack,
    to_clients: Liar,
    to_runtime: Liar,
    owners: [Identity; 2],
    policy: Policy,
}

/// One flow: its data, and what came of it.
struct Flow {
    seed: u64,
    number: u64,
    /// Of each owner.
    data: [Vec<u8>; 2],
    /// Which of them is asked for.
    asked: usize,
}

/// How far a flow came, and how it ended.
struct Ended<'s> {
    /// Where the enclave took the keys.
    session: Option<(Session<'s>, [Uploaded; 2])>,
    result: Result<(), String>,
}

impl Scene {
    async fn new() -> Self {
        let (to_clients, to_runtime) = (Liar::new(), Liar::new().both_ways());
        let options = StackOptions {
            wrap_client: Some(to_clients.wrap()),
            wrap_runtime: Some(to_runtime.wrap()),
            ..Default::default()
        };
        let stack = Stack::with(options).await;
        let owners = [identity("left"), identity("right")];
        let component = stack.component("hostile").await;
        let [left, right] = &owners;
        let job = format!(
            "submit = [\"me\"]\nruns = {RUNS}\nerrors = \"full\"\n\
             approve = {{ who = [\"left\", \"right\"], when = \"job\" }}\n\
             limits = {{ memory = \"64MiB\", time = \"20s\", output = \"1MiB\" }}\n\
             [[job.step]]\ncomponent = \"workload\"\npadding = \"power-of-two\"\n\
             args = [\"copy\", {{ one_of = [\"left\", \"right\"] }}, \"result\"]\n\
             [job.step.inputs]\nleft = \"dataset:left\"\nright = \"dataset:right\"\n\
             [job.step.outputs]\nresult = [\"me\"]\nstdout = [\"me\"]\nerror = [\"me\"]\n"
        );
        let datasets = [("left", left), ("right", right)];
        let policy = policy_of(&[&stack.me, left, right], &component, &datasets, &job);
        Self {
            stack,
            to_clients,
            to_runtime,
            owners,
            policy,
        }
    }

    fn lie(&self, seed: u64) {
        self.to_clients.lie_at_random(seed, TO_CLIENTS);
        self.to_runtime.lie_at_random(!seed, TO_RUNTIME);
    }

    fn repent(&self) -> (usize, Vec<Exchange>) {
        let liars = [&self.to_clients, &self.to_runtime];
        let told = liars.iter().map(|liar| liar.lies()).sum();
        liars.iter().for_each(|liar| liar.repent());
        let passed = liars.iter().flat_map(|liar| liar.memory()).collect();
        (told, passed)
    }

    /// Sealed by its owner and stored.
    async fn upload(&self, flow: &Flow, owner: usize) -> Result<Uploaded, String> {
        let plain = self.file(flow, owner);
        fs::write(&plain, &flow.data[owner]).expect("a file");
        let card = self.owners[owner].card();
        let name: Name = parse(card.name().as_str());
        tried("upload", async || {
            let source = Arc::new(Source::scan(&plain).expect("a source"));
            self.stack
                .remote
                .upload(source, &name, card, Arc::new(|_| ()))
                .await
        })
        .await
    }

    fn file(&self, flow: &Flow, owner: usize) -> std::path::PathBuf {
        let name = format!("{}-{}-{owner}", flow.seed, flow.number);
        self.stack.client_folder().join(name)
    }

    async fn keys(
        &self,
        session: &Session<'_>,
        flow: &Flow,
        uploaded: &[Uploaded; 2],
    ) -> Result<(), String> {
        for (at, owner) in self.owners.iter().enumerate() {
            let ledger = Ledger::at(self.file(flow, at).with_extension("ledger"));
            let key = vec![release(owner.card().name().as_str(), &uploaded[at], RUNS)];
            let now = SystemTime::now();
            // Never twice: an owner whose release is not answered for does not know whether it came.
            let released = session.release(owner, &ledger, key, now).await;
            released.map_err(|error| format!("release: {error}"))?;
        }
        Ok(())
    }

    fn draft(&self, flow: &Flow, uploaded: &[Uploaded; 2], salt: u8) -> Job {
        let named = self.owners.iter().zip(uploaded);
        let objects: BTreeMap<Name, Digest> = named
            .map(|(owner, uploaded)| (parse(owner.card().name().as_str()), uploaded.object))
            .collect();
        let asked = self.owners[flow.asked].card().name().to_string();
        let arguments = vec![vec!["copy".to_owned(), asked, "result".to_owned()]];
        let job = self
            .policy
            .draft(&parse("run"), &objects, arguments, [salt; 32]);
        job.expect("a job the policy allows")
    }

    async fn approve(&self, session: &Session<'_>, job: &Job) -> Result<(), String> {
        let digest = Digest::of(&job.to_bytes());
        for owner in &self.owners {
            tried("approval", async || {
                session.approve_job(owner, &digest).await
            })
            .await?;
        }
        Ok(())
    }

    /// Submits as often as somebody would who is not answered, and opens the result.
    async fn run(&self, session: &Session<'_>, job: &Job) -> Result<(Finished, u64), String> {
        let me = &self.stack.me;
        let mut running = tried("submission", async || session.submit(me, job).await).await?;
        running.patience = PATIENCE;
        let number = running.number;
        let finished = tried("result", async || {
            self.stack.finish(session, me, &running).await.map_err(Told)
        })
        .await?;
        Ok((finished, number))
    }

    async fn flow<'s>(&'s self, remote: &'s Remote, flow: &Flow) -> Ended<'s> {
        let mut ended = Ended {
            session: None,
            result: Ok(()),
        };
        ended.result = self.go_through(remote, flow, &mut ended.session).await;
        ended
    }

    async fn go_through<'s>(
        &'s self,
        remote: &'s Remote,
        flow: &Flow,
        keyed: &mut Option<(Session<'s>, [Uploaded; 2])>,
    ) -> Result<(), String> {
        let uploaded = [self.upload(flow, 0).await?, self.upload(flow, 1).await?];
        let session = tried("session", async || {
            let policy = self.policy.clone();
            self.stack.open_session(remote, policy).await.map_err(Told)
        })
        .await?;
        self.keys(&session, flow, &uploaded).await?;
        let (session, uploaded) = keyed.insert((session, uploaded));
        let job = self.draft(flow, uploaded, 1);
        self.approve(session, &job).await?;
        let (finished, _) = self.run(session, &job).await?;
        right(flow, &finished)
    }

    /// After all the lies: the session goes on with the next job, and no more than one run was spent.
    async fn goes_on(&self, flow: &Flow, session: &Session<'_>, uploaded: &[Uploaded; 2]) {
        let job = self.draft(flow, uploaded, 2);
        let approved = self.approve(session, &job).await;
        approved.unwrap_or_else(|error| panic!("{flow}: {error}"));
        // What runs still may be in its way.
        let begun = Instant::now();
        let (finished, number) = loop {
            match self.run(session, &job).await {
                Err(error) if error.contains("busy") && begun.elapsed() < BOUND => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                ran => break ran.unwrap_or_else(|error| panic!("{flow}: {error}")),
            }
        };
        // What was altered on its way to the host stays so, and is found out each time.
        if let Err(error) = right(flow, &finished) {
            assert!(error.ends_with("input-corrupt"), "{flow}: {error}");
        }
        assert!(number <= 2, "{flow}: {} runs for one approval", number - 1);
        let status = session.status(&self.stack.me).await;
        let status = status.unwrap_or_else(|error| panic!("{flow}: {error}"));
        for key in status.keys {
            assert_eq!(
                u64::from(key.runs),
                u64::from(RUNS) - number,
                "{flow}: {}",
                key.dataset
            );
        }
    }
}

impl Flow {
    fn new(seed: u64, number: u64) -> Self {
        let of = |owner: &str| {
            let line = format!("{owner} of flow {number} of seed {seed}: nobody else's business\n");
            line.repeat(1200).into_bytes()
        };
        Self {
            seed,
            number,
            data: [of("left"), of("right")],
            asked: (seed + number) as usize % 2,
        }
    }

    /// What must not be seen of it.
    fn needles(&self) -> impl Iterator<Item = Needle> {
        let lines = self.data.iter().map(|data| &data[..60]);
        lines.map(|line| Needle::new(&String::from_utf8_lossy(line), line))
    }
}

impl std::fmt::Display for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MC2_LIES_SEED={}, flow {}", self.seed, self.number)
    }
}

/// A failure in words.
struct Told(RunFailed);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            RunFailed::Remote(error) => error.fmt(f),
            RunFailed::Appraisal(checks) => {
                let failed = checks.iter().find(|check| check.expected != check.found);
                write!(f, "the evidence was refused: {failed:?}")
            }
            RunFailed::Session(error) => error.fmt(f),
            RunFailed::Receipt(broken) => broken.fmt(f),
            RunFailed::Open(error) => error.fmt(f),
        }
    }
}

/// Does it again where it fails, as a person would.
async fn tried<T, E: std::fmt::Display>(
    what: &str,
    step: impl AsyncFn() -> Result<T, E>,
) -> Result<T, String> {
    let mut left = TRIES;
    loop {
        left -= 1;
        match step().await {
            Ok(done) => return Ok(done),
            Err(error) if left == 0 => return Err(format!("{what}: {error}")),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// What was opened is what was asked for; a run that failed says why.
fn right(flow: &Flow, finished: &Finished) -> Result<(), String> {
    match &finished.receipt.status {
        Status::Failed { reason, .. } => {
            assert!(!finished.outputs.contains_key("result"), "{flow}");
            Err(format!("the run failed: {reason}"))
        }
        Status::Succeeded => {
            let result = &finished.outputs["result"];
            assert!(
                *result == flow.data[flow.asked],
                "{flow}: a wrong result was accepted"
            );
            Ok(())
        }
    }
}

/// Every panic of any thread counts: of the host's tasks, too, which outlive them.
fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(panic);
    }));
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    match number("MC2_LIES_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("MC2_LIES_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

/// Rows 11, 14 and 23.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_proxy_says_each_flow_ends_in_its_own_result_or_with_a_reason() {
    count_panics();
    let scene = Scene::new().await;
    // Started by the first challenge, and there to the end.
    let challenge = scene.stack.remote.challenge(scene.policy.digest()).await;
    challenge.expect("a challenge");
    let runtimes = scene.stack.runtimes();
    let (mut ends, mut lies) = ([0, 0], 0);
    for seed in seeds() {
        let flows: Vec<Flow> = (0..FLOWS).map(|number| Flow::new(seed, number)).collect();
        let remotes: Vec<Remote> = flows.iter().map(|_| scene.stack.connect()).collect();
        scene.lie(seed);
        let ended = join_all(flows.iter().zip(&remotes).map(async |(flow, remote)| {
            let ended = tokio::time::timeout(BOUND, scene.flow(remote, flow)).await;
            ended.unwrap_or_else(|_| panic!("{flow} did not end in {BOUND:?}"))
        }))
        .await;
        let (told, passed) = scene.repent();
        lies += told;
        for needle in flows.iter().flat_map(Flow::needles) {
            for Exchange {
                asked,
                request,
                response,
                ..
            } in &passed
            {
                let seen = needle.is_in(request) || needle.is_in(response);
                assert!(!seen, "seed {seed}: {} in {asked:?}", needle.what);
            }
        }
        for (flow, ended) in flows.iter().zip(&ended) {
            ends[usize::from(ended.result.is_err())] += 1;
            if let Err(reason) = &ended.result {
                println!("{flow} ended: {reason}");
            }
            if let Some((session, uploaded)) = &ended.session {
                scene.goes_on(flow, session, uploaded).await;
                end(session, &scene.stack.me).await;
            }
        }
    }
    let [good, reasons] = ends;
    println!("{good} results, {reasons} reasons, {lies} lies");
    assert!(
        good > 0 && reasons > 0 && lies > 0,
        "{good} results, {reasons} reasons, {lies} lies"
    );
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "somebody panicked");
    assert_eq!(scene.stack.runtimes(), runtimes, "a runtime is gone");
}

/// With `MC2_LIES_SEEDS` of thousands a process would have too many.
async fn end(session: &Session<'_>, opener: &Identity) {
    match session.end(opener).await {
        Ok(()) | Err(SessionError::Refused { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

//! Row 22, a broker's part: it is killed at every step of a job, with what it was about to say lost or
//! heard, and with or without a reboot after it. Afterwards it goes on, each job is done or was refused
//! with a reason, and no more runs reach an enclave than its ledger has, nor than the policy allows.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use mc2_client::{session::Session, state::ledger::Entry};
use mc2_protocol::{
    Digest,
    documents::message::{Kind, SealedMessage},
};
use mc2_tests::{
    Asked, BrokerScene as Scene, Finished, Liar, Lie, Moment, StackOptions,
    broker::{GLANCE, PATIENCE, Serving, TEXT, Work},
    process, text,
};

/// What a broker asks its host, and when it is killed: before the host has it, which then never gets
/// it, or once it is done and before the broker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    step: Step,
    moment: Moment,
}

/// Everything a broker asks a host on the way of a job, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Which sessions there are: nothing is in the ledger.
    Sessions,
    /// Evidence.
    Evidence,
    /// What the session has: next comes the ledger's line of a release.
    Status,
    /// The release, whose line stands.
    Release,
    /// What a job waits for: next comes the ledger's line of its start.
    Question,
    /// The answer to a job's start, whose line stands.
    Start,
    /// The receipt of a job that left something in custody: next come the ledger's line and the key.
    Receipt,
}

impl Step {
    fn is(self, asked: &Asked, body: &[u8]) -> bool {
        let kind = |kind: Kind| {
            asked.path.ends_with("/messages")
                && SealedMessage::parse(body).is_ok_and(|message| message.kind == kind)
        };
        match self {
            Self::Sessions => asked.is("GET", "/v1/sessions") && asked.path == "/v1/sessions",
            Self::Evidence => asked.path.ends_with("/evidence"),
            Self::Status => kind(Kind::Status),
            Self::Release => kind(Kind::Release),
            Self::Question => asked.is("GET", "/v1/sessions/") && asked.path.ends_with("/start"),
            Self::Start => kind(Kind::Start),
            Self::Receipt => asked.path.ends_with("/receipt"),
        }
    }

    /// Whether a broker comes to it before there is a job.
    const fn is_before_a_job(self) -> bool {
        matches!(
            self,
            Self::Sessions | Self::Evidence | Self::Status | Self::Release
        )
    }
}

/// Whoever stands between the broker and its host.
#[derive(Default)]
struct Between {
    /// Where the next kill is, after so many that are let pass.
    armed: Mutex<Option<(Point, u32)>>,
    /// Whom.
    victim: AtomicU32,
    killed: AtomicBool,
    /// Releases that reached the enclave.
    delivered: AtomicUsize,
}

impl Between {
    /// Lets pass what passes, but for what the victim said last.
    fn watch(&self, asked: &Asked, body: &[u8], moment: Moment) -> bool {
        let mut armed = self.armed.lock().expect("never poisoned");
        if let Some((point, skip)) = armed.as_mut()
            && point.moment == moment
            && point.step.is(asked, body)
        {
            if *skip == 0 {
                *armed = None;
                process::kill(self.victim.load(Ordering::SeqCst));
                self.killed.store(true, Ordering::SeqCst);
                return false;
            }
            *skip -= 1;
        }
        if moment == Moment::Before && Step::Release.is(asked, body) {
            self.delivered.fetch_add(1, Ordering::SeqCst);
        }
        true
    }

    fn arm(&self, point: Point, skip: u32) {
        self.killed.store(false, Ordering::SeqCst);
        *self.armed.lock().expect("never poisoned") = Some((point, skip));
    }

    fn serve(&self, scene: &Scene) -> Serving {
        let serving = scene.serve();
        self.victim.store(serving.0.id(), Ordering::SeqCst);
        serving
    }

    /// Comes back once the victim is dead.
    async fn until_killed(&self, serving: Serving) {
        let begun = Instant::now();
        while !self.killed.load(Ordering::SeqCst) {
            assert!(begun.elapsed() < PATIENCE, "it was not killed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        process::until_gone(serving.0.id()).await;
        drop(serving);
    }
}

struct Killed {
    scene: Scene,
    between: Arc<Between>,
    reboots: bool,
}

impl Killed {
    async fn new(work: Work, reboots: bool) -> Self {
        let liar = Liar::new();
        let between = Arc::new(Between::default());
        let watching = Arc::clone(&between);
        let watch: mc2_tests::Watch =
            Arc::new(move |asked, body, moment| watching.watch(asked, body, moment));
        liar.lie(Lie::Watch(watch), |_| true);
        let options = StackOptions {
            wrap_client: Some(liar.wrap()),
            ..StackOptions::default()
        };
        Self {
            scene: Scene::with(work, 3600, options).await,
            between,
            reboots,
        }
    }

    /// A broker in the dead one's place. After a reboot it goes on when the head is stated that the
    /// dead one left.
    async fn again(&self) -> Serving {
        if self.reboots {
            let head = self.scene.ledger().head().expect("a chain that holds");
            for mark in std::fs::read_dir(self.scene.at("run/mc2/brokers")).expect("marks") {
                std::fs::remove_file(mark.expect("a mark").path()).expect("a mark");
            }
            let status = self.scene.mc2(&["status", "--json"]);
            assert!(text(&status.stdout).contains("\"granting\":false"));
            let before = self.scene.entries().len();
            let serving = self.between.serve(&self.scene);
            tokio::time::sleep(Duration::from_millis(500)).await;
            let granted = self.scene.entries();
            let granted = granted[before..].iter().filter(|entry| is_granted(entry));
            assert_eq!(granted.count(), 0, "it granted before it was resumed");
            let resume = ["resume", "--head", &head.last.to_string()];
            let resumed = self.scene.mc2(&resume);
            assert!(resumed.status.success(), "{}", text(&resumed.stderr));
            return serving;
        }
        self.between.serve(&self.scene)
    }

    /// The session, or another one where what was released to it did not arrive.
    async fn with_key<'s>(&'s self, session: Session<'s>) -> (Session<'s>, Digest) {
        let begun = Instant::now();
        loop {
            if let Some(held) = self.scene.held(&session).await.filter(|held| held.runs > 0) {
                return (session, held.object);
            }
            let code = |code: &String| code == "unacknowledged";
            if self.scene.refusals().iter().any(code) {
                break;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "neither a key nor a reason came"
            );
            tokio::time::sleep(GLANCE).await;
        }
        let other = self.scene.session().await;
        let object = self.scene.until_released(&other).await.object;
        (other, object)
    }

    /// What the ledger says, and what reached an enclave.
    fn check(&self) {
        self.scene.ledger().verify().expect("a chain that holds");
        let entries = self.scene.entries();
        let mut lines = 0;
        for name in ["data", "model"] {
            let runs = entries.iter().map(|entry| match entry {
                Entry::Release(one) if one.dataset.as_str() == name => {
                    lines += 1;
                    one.runs
                }
                _ => 0,
            });
            let runs: u32 = runs.sum();
            assert!(runs <= 2, "{runs} runs of {name}, and 2 are allowed");
        }
        let delivered = self.between.delivered.load(Ordering::SeqCst);
        assert!(
            delivered <= lines,
            "{delivered} releases arrived and {lines} are on the ledger"
        );
    }
}

const fn is_granted(entry: &Entry) -> bool {
    matches!(entry, Entry::Release(_) | Entry::Start(_) | Entry::Kept(_))
}

fn succeeded(finished: &Finished) {
    assert_eq!(finished.reason(), "succeeded");
    assert_eq!(finished.outputs["copy"], TEXT);
}

/// One job, with a kill on its way.
async fn killed_at(point: Point, reboots: bool) {
    let killed = Killed::new(Work::Copy, reboots).await;
    let (scene, between) = (&killed.scene, &killed.between);
    let session = scene.session().await;
    if point.step.is_before_a_job() {
        between.arm(point, 0);
        let serving = between.serve(scene);
        between.until_killed(serving).await;
        let lines = scene.released();
        let stands = point.step == Step::Release;
        assert_eq!(lines, u64::from(stands), "{point:?}");
        let _serving = killed.again().await;
        let (session, object) = killed.with_key(session).await;
        let job = scene.job(object, 1);
        let finished = scene.stack.submit_job(&session, &scene.stack.me, &job);
        succeeded(&finished.await.expect("a receipt"));
        return killed.check();
    }
    let serving = between.serve(scene);
    let (session, object) = killed.with_key(session).await;
    between.arm(point, 0);
    let running = session.submit(&scene.stack.me, &scene.job(object, 1)).await;
    let running = running.expect("a job that waits for its start");
    between.until_killed(serving).await;
    let entries = scene.entries();
    let started = entries.iter().any(|entry| matches!(entry, Entry::Start(_)));
    assert_eq!(started, point.step == Step::Start, "{point:?}");
    let _serving = killed.again().await;
    let finished = scene.stack.finish(&session, &scene.stack.me, &running);
    succeeded(&finished.await.expect("a receipt"));
    // However often its start was answered, it was one run: there is another.
    succeeded(&scene.run(&session, 2).await);
    killed.check();
}

const MOMENTS: [Moment; 2] = [Moment::Before, Moment::After];
const STEPS: [Step; 6] = [
    Step::Sessions,
    Step::Evidence,
    Step::Status,
    Step::Release,
    Step::Question,
    Step::Start,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_at_any_step_of_a_job_goes_on_and_releases_nothing_twice() {
    for step in STEPS {
        for moment in MOMENTS {
            killed_at(Point { step, moment }, false).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_at_any_step_by_a_reboot_goes_on_once_its_head_is_stated() {
    for step in STEPS {
        for moment in MOMENTS {
            killed_at(Point { step, moment }, true).await;
        }
    }
}

/// A job that leaves a model in the broker's custody, and one that reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_while_it_takes_or_releases_what_is_in_its_custody_loses_and_repeats_nothing()
 {
    // Of two releases that follow the first is of the data again: one run, ahead.
    for (step, skip) in [(Step::Receipt, 0), (Step::Release, 1)] {
        for moment in MOMENTS {
            let killed = Killed::new(Work::Custody, false).await;
            let (scene, between) = (&killed.scene, &killed.between);
            let session = scene.session().await;
            let serving = between.serve(scene);
            scene.until_holds(&session, "data").await;
            between.arm(Point { step, moment }, skip);
            let training = session.submit(&scene.stack.me, &scene.training(1)).await;
            let training = training.expect("a job that waits for its start");
            between.until_killed(serving).await;
            let kept = || {
                let entries = scene.entries().into_iter();
                entries
                    .filter(|entry| matches!(entry, Entry::Kept(_)))
                    .count()
            };
            assert_eq!(kept(), usize::from(step == Step::Release), "{moment:?}");
            let _serving = killed.again().await;
            let ended = scene
                .stack
                .finish(&session, &scene.stack.me, &training)
                .await;
            assert_eq!(ended.expect("a receipt").reason(), "succeeded");
            let (session, object) = killed.with_key(session).await;
            let job = scene.job(object, 2);
            let finished = scene
                .stack
                .submit_job(&session, &scene.stack.me, &job)
                .await;
            succeeded(&finished.expect("a receipt"));
            assert_eq!(kept(), 1, "{step:?} {moment:?}");
            killed.check();
        }
    }
}

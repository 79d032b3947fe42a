//! Row 22: host or runtime is killed after any step of a job and while it runs. Afterwards the job is
//! done, failed or lost and says so, what was acknowledged is there, what was announced opens, and
//! with the next host or runtime work goes on.

use std::{
    collections::BTreeMap,
    fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mc2_client::{
    remote::{RemoteError, Uploaded},
    seal::source::Source,
    session::{Running, Session, SessionError},
};
use mc2_protocol::{
    Digest,
    documents::{control::JobState, receipt::Status},
    policy::Policy,
};
use mc2_tests::{Apart, Lie, Run, Stack, draft, parse, process, release};
use tempfile::TempDir;

/// What has just been acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Component,
    Object,
    Session,
    Release,
    Submit,
    End,
    Receipt,
}

const STEPS: [Step; 7] = [
    Step::Component,
    Step::Object,
    Step::Session,
    Step::Release,
    Step::Submit,
    Step::End,
    Step::Receipt,
];

/// Who is killed, and what is started in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Host,
    Runtime,
    Both,
}

impl Victim {
    fn kill(self, apart: &Apart) {
        if self != Self::Runtime {
            apart.kill_host();
        }
        if self != Self::Host {
            apart.kill_runtime();
        }
        if self != Self::Runtime {
            apart.start_host();
        }
        if self != Self::Host {
            apart.start_runtime();
        }
    }

    /// Whether sessions are over with it.
    fn ends_sessions(self) -> bool {
        self != Self::Host
    }
}

struct Scene {
    apart: Apart,
    run: Run,
    /// One for all its sessions: a process serves one tenant.
    policy: Policy,
    data: Vec<u8>,
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let data: Vec<u8> = (0..300_000_u32).map(|index| (index % 249) as u8).collect();
        let apart = Apart::start();
        let run = Run::of("hostile", &["copy", "data", "result"])
            .input("data", data.clone())
            .output("result");
        Self {
            policy: run.policy(&apart.me),
            apart,
            run,
            data,
            folder: TempDir::with_prefix("mc2-kills-").expect("a folder"),
        }
    }

    async fn component(&self) -> Digest {
        let wasm = fs::read(&self.run.component).expect("the component");
        let component = Digest::of(&wasm);
        let stored = self.apart.remote.put_component(&component, wasm.into());
        stored.await.expect("a component");
        component
    }

    async fn upload(&self) -> Uploaded {
        let plain = self.folder.path().join("plain");
        fs::write(&plain, &self.data).expect("a file");
        let source = Arc::new(Source::scan(&plain).expect("a source"));
        let (name, card) = (parse("data"), self.apart.me.card());
        let stored = self
            .apart
            .remote
            .upload(source, &name, card, Arc::new(|_| ()));
        stored.await.expect("an upload")
    }

    async fn give(&self, session: &Session<'_>, uploaded: &Uploaded) {
        let keys = vec![release("data", uploaded, 1)];
        let (me, ledger) = (&self.apart.me, &self.apart.ledger);
        let given = session.release(me, ledger, keys, SystemTime::now()).await;
        given.expect("a release");
    }

    async fn submit<'s>(&self, session: &'s Session<'s>, uploaded: &Uploaded) -> Running<'s, 's> {
        let objects = BTreeMap::from([(parse("data"), uploaded.object)]);
        let job = draft(session, &self.run, &objects);
        session.submit(&self.apart.me, &job).await.expect("a job")
    }

    /// Waits until the session's runtime has found the host again.
    async fn back(&self, session: &Session<'_>) {
        loop {
            match session.status(&self.apart.me).await {
                Err(SessionError::Remote(RemoteError::Http(error)))
                    if error.code() == Some("runtime-absent") =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                status => {
                    status.expect("the session");
                    break;
                }
            }
        }
    }

    /// The job's receipt verifies, and its output is the input.
    async fn check(&self, session: &Session<'_>, running: &Running<'_, '_>) {
        let result = self.apart.output(session, running, "result").await;
        assert!(result == self.data, "another result");
    }

    /// The whole flow, in a session of its own.
    async fn again(&self) {
        let uploaded = self.upload().await;
        let session = self.apart.open(self.policy.clone()).await;
        self.give(&session, &uploaded).await;
        let running = self.submit(&session, &uploaded).await;
        let ended = running.wait(&self.apart.me, |_| ()).await;
        assert_eq!(ended.expect("its end"), JobState::Done);
        self.check(&session, &running).await;
    }
}

/// Goes through the steps and kills after the one.
async fn kill_after(victim: Victim, at: Step) {
    let scene = Scene::new();
    let apart = &scene.apart;
    // Whether the session is still to be reckoned with.
    let reached = async |step: Step| {
        if step == at {
            victim.kill(apart);
            apart.reconnect().await;
        }
        at > step || !victim.ends_sessions()
    };
    let component = scene.component().await;
    reached(Step::Component).await;
    let there = apart.remote.has_component(&component).await;
    assert!(
        there.expect("an answer"),
        "a component that was taken is gone"
    );

    let uploaded = scene.upload().await;
    reached(Step::Object).await;
    let manifest = apart.remote.manifest(&uploaded.object).await;
    manifest.expect("an object that was taken");

    let session = apart.open(scene.policy.clone()).await;
    if !reached(Step::Session).await && at == Step::Session {
        let keys = vec![release("data", &uploaded, 1)];
        let (me, ledger) = (&apart.me, &apart.ledger);
        let refused = session.release(me, ledger, keys, SystemTime::now()).await;
        let refused = refused.expect_err("the session is over");
        assert!(says_over(&refused), "{refused}");
        return scene.again().await;
    }
    if victim == Victim::Host {
        scene.back(&session).await;
    }
    scene.give(&session, &uploaded).await;
    if !reached(Step::Release).await && at == Step::Release {
        let objects = BTreeMap::from([(parse("data"), uploaded.object)]);
        let job = draft(&session, &scene.run, &objects);
        let refused = session.submit(&apart.me, &job).await;
        let refused = refused.err().expect("the session is over");
        assert!(says_over(&refused), "{refused}");
        return scene.again().await;
    }
    if victim == Victim::Host {
        scene.back(&session).await;
    }
    let running = scene.submit(&session, &uploaded).await;
    reached(Step::Submit).await;
    match running.wait(&apart.me, |_| ()).await {
        Ok(JobState::Done) => {
            reached(Step::End).await;
            if at == Step::End && victim == Victim::Both {
                // What the host had not stored yet went with the runtime.
                match running.receipt(&apart.me).await {
                    Ok(_) => scene.check(&session, &running).await,
                    Err(error) => assert!(is_lost(&error), "{error}"),
                }
                return scene.again().await;
            }
            if at == Step::End && victim == Victim::Runtime {
                // Announced by the host, so it has it.
                scene.check(&session, &running).await;
                return scene.again().await;
            }
            running.receipt(&apart.me).await.expect("the receipt");
            reached(Step::Receipt).await;
            scene.check(&session, &running).await;
        }
        Ok(state) => panic!("{victim:?} after {at:?}: {state:?}"),
        Err(error) => {
            assert!(at == Step::Submit && victim.ends_sessions(), "{error}");
            assert!(is_lost(&error), "{error}");
        }
    }
    scene.again().await;
}

fn says_over(error: &SessionError) -> bool {
    match error {
        SessionError::Remote(RemoteError::Http(error)) => {
            matches!(
                error.code(),
                Some("session-over" | "runtime-gone" | "runtime-absent")
            )
        }
        _ => false,
    }
}

fn is_lost(error: &SessionError) -> bool {
    match error {
        SessionError::Lost { .. } => true,
        // The runtime may have gone before it told the host of the job, which then says that nobody will.
        SessionError::Remote(RemoteError::Http(error)) => {
            matches!(error.code(), Some("lost" | "session-over"))
        }
        _ => false,
    }
}

#[tokio::test]
async fn a_host_killed_after_any_step_goes_on_where_it_was() {
    for step in STEPS {
        kill_after(Victim::Host, step).await;
    }
}

#[tokio::test]
async fn a_runtime_killed_after_any_step_loses_its_sessions_and_says_so() {
    for step in STEPS {
        kill_after(Victim::Runtime, step).await;
    }
}

#[tokio::test]
async fn host_and_runtime_killed_after_any_step_leave_what_was_acknowledged() {
    for step in STEPS {
        kill_after(Victim::Both, step).await;
    }
}

/// While it runs, at any moment of its few milliseconds.
#[tokio::test]
async fn a_job_whose_host_is_killed_while_it_runs_ends_with_a_result_or_a_reason() {
    let scene = Scene::new();
    let apart = &scene.apart;
    scene.component().await;
    let uploaded = scene.upload().await;
    for wait in [0, 1, 2, 4, 8, 16, 32, 64] {
        let session = apart.open(scene.policy.clone()).await;
        scene.give(&session, &uploaded).await;
        let running = scene.submit(&session, &uploaded).await;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        Victim::Host.kill(apart);
        apart.reconnect().await;
        let ended = running.wait(&apart.me, |_| ()).await.expect("its end");
        if ended == JobState::Done {
            scene.check(&session, &running).await;
            continue;
        }
        // It asked for its input while no host was there, or had sent half of its output.
        match apart.receipt(&session, &running).await.receipt.status {
            Status::Failed { reason, .. } => assert!(
                ["input-unavailable", "output-unavailable"].contains(&reason.as_str()),
                "{reason}"
            ),
            Status::Succeeded => panic!("the host says {ended:?}"),
        }
    }
}

/// A runtime that is killed before it told the host of a job by itself: the host knows of it by the
/// answer to its submission.
#[tokio::test]
async fn a_job_whose_submission_was_answered_and_that_was_never_announced_is_lost_with_its_runtime()
{
    let (stack, liar) = Stack::lying_to_runtime().await;
    let run = Run::of("hostile", &["sleep", "1000"]);
    let session = stack.session(&run).await.expect("a session");
    liar.lie(Lie::Swallow, |asked| {
        asked.method == "POST" && asked.path.ends_with("/events")
    });
    let job = draft(&session, &run, &BTreeMap::new());
    let running = session.submit(&stack.me, &job).await.expect("a job");
    let [pid] = stack.runtimes().try_into().expect("one runtime");
    process::kill(pid);
    let ended = running.wait(&stack.me, |_| ()).await;
    let error = ended.expect_err("its runtime is gone");
    assert!(
        matches!(error, SessionError::Lost { number } if number == running.number),
        "{error}"
    );
}

//! Rows 11 and 13: where a dataset has a broker, no run starts without the word of the broker or of
//! the owner, given for that run just then; and a broker can do nothing else.

use std::{collections::BTreeMap, time::SystemTime};

use mc2_client::session::{Session, SessionError};
use mc2_protocol::{
    Digest, Identity, Name,
    documents::{
        broker::BrokerCard,
        control::JobState,
        job::Job,
        message::{Approve, Body, JobPhase, Outcome, SealedMessage},
        receipt::Status,
        storage::StartQuestion,
    },
    policy::Policy,
};
use mc2_tests::{Lie, Stack, StackOptions, identity, parse, policy_of, release, rng};

const JOB: &str = r#"
submit = ["me"]
runs = 1
limits = { memory = "64MiB", time = "60s", output = "1MiB" }
[[job.step]]
component = "workload"
args = "any"
inputs = { data = "dataset:data" }
outputs = { result = ["me"] }
padding = "power-of-two"
"#;

/// One owner with a broker, who is offline but for opening, and submitting.
struct Brokered {
    stack: Stack,
    broker: Identity,
}

impl Brokered {
    async fn with(options: StackOptions) -> Self {
        Self {
            stack: Stack::with(options).await,
            broker: identity("courier"),
        }
    }

    async fn policy(&self) -> Policy {
        let me = &self.stack.me;
        let component = self.stack.component("hostile").await;
        let policy = policy_of(&[me], &component, &[("data", me)], JOB);
        let broker = BrokerCard::sign(self.broker.card().clone(), me);
        let text = String::from_utf8(policy.bytes().to_vec()).expect("a policy is text");
        let owner = "owner = \"me\"\n";
        let text = text.replacen(owner, &format!("{owner}broker = \"{broker}\"\n"), 1);
        Policy::parse(text.as_bytes()).expect("a policy")
    }

    /// A session to which the broker released the key, and a job over it.
    async fn ready(&self) -> (Session<'_>, Job) {
        let policy = self.policy().await;
        let session = self.stack.open_session(&self.stack.remote, policy).await;
        let session = session.expect("a session");
        let sealed = self.stack.seal("data", b"rows").await;
        let keys = vec![release("data", &sealed, 1)];
        let now = SystemTime::now();
        let released = session.release(&self.broker, &self.stack.ledger, keys, now);
        released.await.expect("a release");
        let objects = BTreeMap::from([(parse::<Name>("data"), sealed.object)]);
        let arguments = ["copy", "data", "result"].map(str::to_owned).to_vec();
        let job = session
            .policy()
            .draft(&parse("run"), &objects, vec![arguments], [7; 32]);
        (session, job.expect("a job the policy allows"))
    }

    /// What the host says the job waits for, once it does.
    async fn question(&self, session: &Session<'_>, number: u64) -> StartQuestion {
        loop {
            let digest = session.appraised().digest();
            match self.stack.remote.start_question(digest, number).await {
                Ok(Some(question)) => return question,
                _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    }
}

/// What the enclave says of its one job.
async fn phase(session: &Session<'_>, asker: &Identity) -> Option<JobPhase> {
    let status = session.status(asker).await.expect("a status");
    assert!(status.jobs.len() < 2);
    status.jobs.into_iter().next().map(|job| job.state)
}

fn code(error: SessionError) -> String {
    match error {
        SessionError::Refused { refused, .. } => refused.code,
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_job_over_data_with_a_broker_starts_only_when_it_was_answered_for() {
    let b = Brokered::with(StackOptions::default()).await;
    let (session, job) = b.ready().await;
    let me = &b.stack.me;
    let running = session.submit(me, &job).await.expect("it is taken");
    let question = b.question(&session, running.number).await;
    assert_eq!(question.job, Digest::of(&job.to_bytes()));
    let status = |after| {
        b.stack
            .remote
            .job_status(session.appraised().digest(), 1, after)
    };
    assert_eq!(
        status(0).await.expect("its status").state,
        JobState::Waiting
    );
    let data: Name = parse("data");
    let waits = JobPhase::Waiting {
        datasets: vec![data.clone()],
    };
    assert_eq!(phase(&session, &b.broker).await, Some(waits.clone()));

    // By a clock that says the policy has ended, nobody answers.
    let later = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(session.policy().expires());
    let refused = session.answer_start(&b.broker, &question, later).await;
    assert!(matches!(refused, Err(SessionError::Expired { .. })));
    // Nor under another policy, nor by somebody of whom nothing is asked.
    let now = SystemTime::now();
    let elsewhere = StartQuestion {
        policy: Digest::of(b"another"),
        ..question.clone()
    };
    let refused = session.answer_start(&b.broker, &elsewhere, now).await;
    assert!(matches!(refused, Err(SessionError::OtherPolicy { .. })));
    let stranger = identity("stranger");
    let refused = session.answer_start(&stranger, &question, now).await;
    assert!(matches!(refused, Err(SessionError::NotAsked)));
    // The host invents a question: its answer starts nothing.
    let mut invented = question.clone();
    invented.challenge.0[7] ^= 1;
    let refused = session.answer_start(&b.broker, &invented, now).await;
    assert_eq!(
        code(refused.expect_err("nothing waits for it")),
        "not-waiting"
    );
    assert_eq!(phase(&session, me).await, Some(waits));

    let answered = session.answer_start(&b.broker, &question, now).await;
    assert_eq!(answered.expect("it is taken"), [data]);
    let finished = b.stack.finish(&session, me, &running).await;
    let finished = finished.expect("a receipt");
    assert_eq!(finished.reason(), "succeeded");
    assert_eq!(finished.outputs["result"], b"rows");
    let digest = session.appraised().digest();
    let question = b.stack.remote.start_question(digest, 1).await;
    assert_eq!(question.expect("an answer"), None);
}

#[tokio::test]
async fn a_submitter_who_owns_the_data_answers_itself() {
    let b = Brokered::with(StackOptions::default()).await;
    let (session, job) = b.ready().await;
    let me = &b.stack.me;
    let running = session.submit(me, &job).await.expect("it is taken");
    running.answer_own_start(me).await.expect("it is answered");
    let finished = b.stack.finish(&session, me, &running).await;
    assert_eq!(finished.expect("a receipt").reason(), "succeeded");
}

/// The same by a host that answers the runtime well and tells nobody.
#[tokio::test]
async fn a_host_that_hides_the_challenge_delays_and_no_more() {
    let liar = mc2_tests::Liar::new();
    let b = Brokered::with(StackOptions {
        wrap_runtime: Some(liar.wrap()),
        ..StackOptions::default()
    })
    .await;
    let (session, job) = b.ready().await;
    let me = &b.stack.me;
    liar.lie(Lie::Swallow, |asked| asked.path.ends_with("/start"));
    let running = session.submit(me, &job).await.expect("it is taken");
    loop {
        if liar.lies() > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let waiting = phase(&session, me).await;
    assert!(
        matches!(waiting, Some(JobPhase::Waiting { .. })),
        "{waiting:?}"
    );
    // Nobody else can have what it took meanwhile, and nothing is lost when it is given up.
    running.cancel(me).await.expect("it is stopped");
    let finished = b.stack.finish(&session, me, &running).await;
    let finished = finished.expect("a receipt");
    assert_eq!(
        finished.receipt.status,
        Status::Failed {
            step: 0,
            reason: "not-started".to_owned()
        }
    );
    assert!(finished.outputs.is_empty());
    liar.repent();
    let again = session
        .submit(me, &job)
        .await
        .expect("its run is there again");
    assert_eq!(again.number, 2);
    let question = b.question(&session, 2).await;
    let answered = session.answer_start(&b.broker, &question, SystemTime::now());
    answered.await.expect("it is taken");
    let finished = b.stack.finish(&session, me, &again).await;
    assert_eq!(finished.expect("a receipt").reason(), "succeeded");
    let spent = session
        .submit(me, &job)
        .await
        .err()
        .expect("its run is spent");
    assert_eq!(code(spent), "runs-spent");
}

#[tokio::test]
async fn a_broker_opens_no_session_and_approves_and_submits_nothing() {
    let b = Brokered::with(StackOptions::default()).await;
    let policy = b.policy().await;
    assert!(b.stack.session_of(&b.broker, policy).await.is_err());
    let (session, job) = b.ready().await;
    let refused = session
        .submit(&b.broker, &job)
        .await
        .err()
        .expect("a refusal");
    assert_eq!(code(refused), "a-broker-s-card");
    let refused = session.end(&b.broker).await.expect_err("a refusal");
    assert_eq!(code(refused), "a-broker-s-card");
    // What its client would not even send.
    let body = Body::Approve(Approve::Policy(*session.policy().digest()));
    let (digest, to) = (
        *session.appraised().digest(),
        session.appraised().hpke_public_key(),
    );
    let (bytes, pending) = SealedMessage::seal(&body, digest, &to, &b.broker, u64::MAX, &mut rng());
    let answer = b
        .stack
        .remote
        .message(&digest, bytes)
        .await
        .expect("an answer");
    let key = session.appraised().signing_public_key();
    match pending.open(&answer, &key).expect("the enclave's answer") {
        Outcome::Refused(refused) => assert_eq!(refused.code, "a-broker-s-card"),
        outcome => panic!("{outcome:?}"),
    }
}

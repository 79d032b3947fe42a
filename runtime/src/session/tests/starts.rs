//! Brokers, and the answers that let a job start.

use mc2_protocol::documents::{
    broker::BrokerCard,
    message::StartAnswer,
    storage::{StartChallenge, StartQuestion},
};

use mc2_protocol::encoding::Hex;

use super::{super::Settled, super::Waiting, *};
use crate::{
    job::{Outbox, PATIENCE, await_start},
    storage::Storage,
};

/// Two owners with a broker each, and a third dataset without one.
struct Owners {
    f: Fixture,
    alice: Identity,
    bob: Identity,
    alice_broker: Identity,
    bob_broker: Identity,
}

impl Owners {
    fn new() -> Self {
        Self::with_runs(1)
    }

    /// The job may run so often, and all keys are released for as many runs, one by a broker.
    fn with_runs(runs: u32) -> Self {
        let (alice, bob) = (identity("alice"), identity("bob"));
        let (alice_broker, bob_broker) = (identity("alice-broker"), identity("bob-broker"));
        let dataset = |name: &str, owner: &Identity, broker: Option<&Identity>| {
            let mut text = format!("[[dataset]]\nname = \"{name}\"\n");
            text += &format!("owner = \"{}\"\n", owner.card().name());
            if let Some(broker) = broker {
                let card = BrokerCard::sign(broker.card().clone(), owner);
                text += &format!("broker = \"{card}\"\n");
            }
            text
        };
        let mut text = POLICY
            .replace("RUNS", &runs.to_string())
            .replace(
                "[[dataset]]\nname = \"data\"\nowner = \"alice\"\n",
                &dataset("data", &alice, Some(&alice_broker)),
            )
            .replace(
                "{ data = \"dataset:data\" }",
                "{ data = \"dataset:data\", more = \"dataset:more\", plain = \"dataset:plain\" }",
            )
            + "padding = \"exact\"\n"
            + &dataset("more", &bob, Some(&bob_broker))
            + &dataset("plain", &bob, None);
        for party in [&alice, &bob] {
            text += &format!("[[party]]\ncard = \"{}\"\n", party.card());
        }
        let again = Identity::from_text(&alice.to_text()).ok().unwrap();
        let mut owners = Self {
            f: Fixture::under(text, again),
            alice,
            bob,
            alice_broker,
            bob_broker,
        };
        assert_eq!(
            owners.alice_broker(release("data", runs)),
            Outcome::Released
        );
        assert_eq!(owners.bob(release("more", runs)), Outcome::Released);
        assert_eq!(owners.bob(release("plain", runs)), Outcome::Released);
        owners
    }

    fn told(&mut self, sender: &Identity, body: &Body) -> Outcome {
        self.f.sequence += 1;
        let (bytes, pending) = self.f.seal(sender, body, self.f.sequence);
        match self.f.session.receive(&bytes) {
            Received::Answered(answer) => self.f.read(&answer, &pending),
            Received::Admitted(_) => panic!("a job was admitted"),
        }
    }

    fn alice_broker(&mut self, body: Body) -> Outcome {
        let broker = Identity::from_text(&self.alice_broker.to_text());
        self.told(&broker.ok().unwrap(), &body)
    }

    fn bob(&mut self, body: Body) -> Outcome {
        let bob = Identity::from_text(&self.bob.to_text());
        self.told(&bob.ok().unwrap(), &body)
    }

    fn code(&mut self, sender: &str, body: &Body) -> String {
        let sender = match sender {
            "alice" => &self.alice,
            "bob" => &self.bob,
            "alice-broker" => &self.alice_broker,
            "bob-broker" => &self.bob_broker,
            other => panic!("{other}"),
        };
        let sender = Identity::from_text(&sender.to_text()).ok().unwrap();
        match self.told(&sender, body) {
            Outcome::Refused(Refused { code, .. }) => code,
            outcome => format!("{outcome:?}"),
        }
    }

    /// A job over all three datasets, approved.
    fn approved(&mut self, salt: u8) -> Vec<u8> {
        let version = |name: &str| (name.parse().unwrap(), Digest::of(b"object"));
        let objects = ["data", "more", "plain"].map(version).into();
        let policy = &self.f.session.terms().policy;
        let job = policy.draft(&"run".parse().unwrap(), &objects, vec![vec![]], [salt; 32]);
        let job = job.unwrap().to_bytes();
        let approve = Body::Approve(Approve::Job(Digest::of(&job)));
        assert_eq!(self.f.told(approve), Outcome::Approved);
        job
    }

    fn waiting(&mut self, job: &[u8]) -> Box<Waiting> {
        let (admitted, pending) = self.f.submitted(job);
        let (begun, answer) = self.f.session.commit(admitted);
        let taken = self.f.read(&answer, &pending);
        assert!(matches!(taken, Outcome::Submitted { .. }), "{taken:?}");
        match begun {
            Begun::Waits(waiting) => waiting,
            Begun::Starts(_) => panic!("the job started unasked"),
        }
    }

    fn is_given_back(&mut self, waiting: Waiting) {
        match self.f.session.settle(waiting) {
            Settled::GivenBack(_) => {}
            Settled::Starts(_) => panic!("the job started"),
        }
    }

    /// The datasets that job 1 still waits for.
    fn missing(&mut self) -> Vec<String> {
        match &self.f.status().jobs[..] {
            [
                SessionJob {
                    state: JobPhase::Waiting { datasets },
                    ..
                },
            ] => datasets.iter().map(ToString::to_string).collect(),
            jobs => panic!("{jobs:?}"),
        }
    }
}

fn answer(question: &StartQuestion, datasets: &[&str]) -> Body {
    Body::Start(StartAnswer {
        job: question.job,
        challenge: question.challenge,
        datasets: datasets.iter().map(|name| name.parse().unwrap()).collect(),
    })
}

#[test]
fn a_broker_releases_answers_and_asks_and_nothing_else() {
    let mut o = Owners::new();
    let job = o.approved(1);
    let policy = *o.f.session.terms().policy.digest();
    for body in [
        Body::Approve(Approve::Policy(policy)),
        Body::Approve(Approve::Job(Digest::of(&job))),
        submit(&job),
        Body::Cancel(Cancel { number: 1 }),
        Body::End(End {}),
    ] {
        assert_eq!(o.code("alice-broker", &body), "a-broker-s-card");
    }
    // Keys of its owner's datasets, and only of those that name it.
    for dataset in ["more", "plain"] {
        assert_eq!(
            o.code("alice-broker", &release(dataset, 1)),
            "not-the-owner"
        );
    }
    assert_eq!(o.code("bob-broker", &release("plain", 1)), "not-the-owner");
    assert_eq!(o.code("alice", &release("more", 1)), "not-the-owner");
    let held = match o.alice_broker(Body::Status(AskStatus {})) {
        Outcome::Status(status) => status.keys.len(),
        outcome => panic!("{outcome:?}"),
    };
    assert_eq!(held, 3);
}

#[test]
fn a_job_starts_when_the_last_dataset_with_a_broker_was_answered_for() {
    let mut o = Owners::new();
    let job = o.approved(1);
    let mut waiting = o.waiting(&job);
    let question = waiting.question.clone();
    let asked: Vec<&str> = question.datasets.iter().map(|name| name.as_str()).collect();
    assert_eq!(asked, ["data", "more"]);
    assert_eq!(
        (question.job, question.policy),
        (Digest::of(&job), *o.f.session.terms().policy.digest())
    );
    assert_eq!(
        o.alice_broker(answer(&question, &["data"])),
        Outcome::Answered
    );
    assert!(waiting.all_answered.try_recv().is_err());
    assert_eq!(o.missing(), ["more"]);
    // Its owner may as well as its broker.
    assert_eq!(o.bob(answer(&question, &["more"])), Outcome::Answered);
    assert!(waiting.all_answered.try_recv().is_ok());
    assert_eq!(o.f.status().jobs[0].state, JobPhase::Running);
    let number = match o.f.session.settle(*waiting) {
        Settled::Starts(order) => order.number,
        Settled::GivenBack(_) => panic!("all was answered"),
    };
    o.f.session.ended(number);
    let job = o.approved(2);
    assert_eq!(o.code("alice", &submit(&job)), "runs-spent");
}

#[test]
fn an_answer_by_others_or_to_something_else_does_nothing() {
    let mut o = Owners::new();
    let job = o.approved(1);
    let waiting = o.waiting(&job);
    let question = waiting.question.clone();
    let other_job = StartQuestion {
        job: Digest::of(b"another"),
        ..question.clone()
    };
    let mut challenge: StartChallenge = question.challenge;
    challenge.0[0] ^= 1;
    let other_challenge = StartQuestion {
        challenge,
        ..question.clone()
    };
    for (sender, body, code) in [
        ("alice-broker", answer(&other_job, &["data"]), "not-waiting"),
        ("alice", answer(&other_challenge, &["data"]), "not-waiting"),
        ("bob", answer(&question, &["data"]), "not-the-answerer"),
        (
            "bob-broker",
            answer(&question, &["data"]),
            "not-the-answerer",
        ),
        (
            "bob-broker",
            answer(&question, &["more", "data"]),
            "not-the-answerer",
        ),
        // A dataset without a broker needs no answer, and has nobody to give one.
        ("bob", answer(&question, &["plain"]), "not-the-answerer"),
        ("bob", answer(&question, &["none"]), "not-the-answerer"),
        ("alice-broker", answer(&question, &[]), "not-asked"),
    ] {
        assert_eq!(o.code(sender, &body), code, "{sender}");
    }
    assert_eq!(o.missing(), ["data", "more"]);
    o.is_given_back(*waiting);
}

#[test]
fn a_replayed_answer_and_one_to_an_earlier_challenge_do_nothing() {
    let mut o = Owners::new();
    let job = o.approved(1);
    let waiting = o.waiting(&job);
    let question = waiting.question.clone();
    o.f.sequence += 1;
    let body = answer(&question, &["data"]);
    let (bytes, pending) = o.f.seal(&o.alice, &body, o.f.sequence);
    for expected in ["", "replayed"] {
        let Received::Answered(answer) = o.f.session.receive(&bytes) else {
            panic!("a job was admitted");
        };
        match o.f.read(&answer, &pending) {
            Outcome::Answered => assert_eq!(expected, ""),
            Outcome::Refused(refused) => assert_eq!(refused.code, expected),
            outcome => panic!("{outcome:?}"),
        }
    }
    o.is_given_back(*waiting);
    // The same job again has another challenge, and nothing of before counts.
    let waiting = o.waiting(&job);
    assert_ne!(waiting.question.challenge, question.challenge);
    assert_eq!(o.code("bob", &answer(&question, &["more"])), "not-waiting");
    assert_eq!(o.missing(), ["data", "more"]);
    o.is_given_back(*waiting);
}

#[test]
fn what_a_job_took_that_nobody_let_start_is_there_again() {
    let mut o = Owners::new();
    let job = o.approved(1);
    for _ in 0..3 {
        let waiting = o.waiting(&job);
        let other = o.approved(2);
        assert_eq!(o.code("alice", &submit(&other)), "busy");
        assert_eq!(o.code("alice", &Body::End(End {})), "busy");
        o.is_given_back(*waiting);
        assert!(o.f.status().keys.iter().all(|key| key.runs == 1));
    }
    // What the host was told of stays that job's number.
    let waiting = o.waiting(&job);
    let number = waiting.number();
    assert_eq!(number, 4);
    let cancel = Body::Cancel(Cancel { number });
    assert_eq!(o.f.told(cancel), Outcome::Cancelled);
    // Nobody can start what was stopped.
    let question = waiting.question.clone();
    assert_eq!(
        o.code("alice", &answer(&question, &["data"])),
        "not-waiting"
    );
    o.is_given_back(*waiting);
    assert_eq!(o.f.told(Body::End(End {})), Outcome::Ended);
}

#[test]
fn a_job_that_waits_has_the_place_of_one_that_runs() {
    let mut o = Owners::with_runs(9);
    let jobs: Vec<_> = (0..5).map(|salt| o.approved(salt)).collect();
    let mut waiting: Vec<_> = jobs[..4].iter().map(|job| o.waiting(job)).collect();
    assert_eq!(o.code("alice", &submit(&jobs[4])), "busy");
    o.is_given_back(*waiting.remove(0));
    waiting.push(o.waiting(&jobs[4]));
    assert_eq!(o.f.status().jobs.len(), 4);
}

/// A host that answers nothing at all.
#[tokio::test(start_paused = true)]
async fn a_job_that_nobody_answers_for_is_given_up_in_time() {
    let mut o = Owners::new();
    let job = o.approved(1);
    let waiting = o.waiting(&job);
    let nowhere = mc2_wire::Address::Unix("/nonexistent/host.sock".into());
    let storage = Storage::new(nowhere, Hex([1; 16]));
    let outbox = Outbox::new(Arc::new(storage));
    let begun = tokio::time::Instant::now();
    let settled = await_start(&outbox, &o.f.session, *waiting).await;
    assert!(matches!(settled, Settled::GivenBack(_)));
    assert_eq!(begun.elapsed(), PATIENCE);
    assert!(o.f.status().keys.iter().all(|key| key.runs == 1));
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_starts_a_job_at_once_even_where_its_host_is_gone() {
    let mut o = Owners::new();
    let job = o.approved(1);
    let waiting = o.waiting(&job);
    let question = waiting.question.clone();
    let nowhere = mc2_wire::Address::Unix("/nonexistent/host.sock".into());
    let storage = Storage::new(nowhere, Hex([1; 16]));
    let outbox = Outbox::new(Arc::new(storage));
    assert_eq!(
        o.alice_broker(answer(&question, &["data"])),
        Outcome::Answered
    );
    assert_eq!(o.bob(answer(&question, &["more"])), Outcome::Answered);
    let begun = tokio::time::Instant::now();
    let settled = await_start(&outbox, &o.f.session, *waiting).await;
    assert!(matches!(settled, Settled::Starts(_)));
    assert_eq!(begun.elapsed(), std::time::Duration::ZERO);
}

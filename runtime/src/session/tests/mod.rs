//! Admitting a job, then committing to it or giving it back.

mod starts;

use std::{collections::BTreeMap, sync::Arc};

use ed25519_dalek::SigningKey;
use mc2_protocol::{
    DataKey, Digest, Identity, SecretKey,
    crypto::hpke::PrivateKey,
    documents::message::{
        Answer, Approve, AskStatus, Body, Cancel, End, HeldKey, JobApprovals, JobPhase, Outcome,
        PendingAnswer, Refused, Release, SealedMessage, SessionJob, SessionStatus, Submit,
    },
    policy::Policy,
};

use super::{Accounts, Admitted, Begun, Order, Received, Session, Terms};
use crate::random;

const POLICY: &str = r#"
version = 1
name = "one"
expires = 2999-12-31T00:00:00Z
visible = "access"
[enclave]
tee = ["sim"]
platforms = "any"
tcb = "up-to-date"
[[component]]
name = "workload"
sha256 = "4ec7c53222c8a758c722e2111541035ce700d5ae7bd0898c5f1b1a743e6450fd"
[[dataset]]
name = "data"
owner = "alice"
[[job]]
name = "run"
submit = ["alice"]
runs = RUNS
approve = { who = ["alice"], when = "job" }
errors = "full"
limits = { memory = "1GiB", time = "1h", output = "1GiB" }
[[job.step]]
component = "workload"
inputs = { data = "dataset:data" }
args = "any"
outputs = { "result" = ["alice"] }
"#;

/// A session with its one party, who has released its key for `runs` runs.
struct Fixture {
    session: Session,
    party: Identity,
    sequence: u64,
}

impl Fixture {
    fn new(allowed: u32, released: u32) -> Self {
        let party = identity("alice");
        let text = POLICY.replace("RUNS", &allowed.to_string());
        let text = format!("{text}[[party]]\ncard = \"{}\"\n", party.card());
        let mut fixture = Self::under(text, party);
        assert_eq!(fixture.told(release("data", released)), Outcome::Released);
        fixture
    }

    /// A session under a policy, opened by one of its parties.
    fn under(text: String, party: Identity) -> Self {
        let terms = Terms {
            digest: Digest::of(b"session"),
            record: Vec::new(),
            policy: Policy::parse(text.as_bytes()).unwrap(),
            components: BTreeMap::new(),
            signing_key: SigningKey::from_bytes(&[3; 32]),
        };
        let opener = *party.card().digest();
        Self {
            session: Session::new(
                terms,
                PrivateKey::generate(&mut random::rng()),
                opener,
                Accounts::default(),
            ),
            party,
            sequence: 0,
        }
    }

    /// The exact bytes of a job, approved.
    fn approved(&mut self, salt: u8) -> Vec<u8> {
        let objects = [("data".parse().unwrap(), Digest::of(b"object"))];
        let policy = &self.session.terms().policy;
        let name = "run".parse().unwrap();
        let job = policy.draft(&name, &objects.into(), vec![Vec::new()], [salt; 32]);
        let job = job.unwrap().to_bytes();
        let approve = Approve::Job(Digest::of(&job));
        assert_eq!(self.told(Body::Approve(approve)), Outcome::Approved);
        job
    }

    fn send(&mut self, body: Body) -> (Received, PendingAnswer) {
        let (bytes, pending) = self.seal(&self.party, &body, self.sequence + 1);
        self.sequence += 1;
        (self.session.receive(&bytes), pending)
    }

    fn seal(&self, sender: &Identity, body: &Body, sequence: u64) -> (Vec<u8>, PendingAnswer) {
        SealedMessage::seal(
            body,
            self.session.terms().digest,
            &self.session.private_key.public_key(),
            sender,
            sequence,
            &mut random::rng(),
        )
    }

    fn read(&self, answer: &Answer, pending: &PendingAnswer) -> Outcome {
        let key = self.session.terms().signing_key.verifying_key();
        pending.open(answer, &key).unwrap()
    }

    /// The answer to what is answered at once.
    fn told(&mut self, body: Body) -> Outcome {
        match self.send(body) {
            (Received::Answered(answer), pending) => self.read(&answer, &pending),
            (Received::Admitted(_), _) => panic!("a job was admitted"),
        }
    }

    fn submitted(&mut self, job: &[u8]) -> (Admitted, PendingAnswer) {
        match self.send(submit(job)) {
            (Received::Admitted(admitted), pending) => (admitted, pending),
            (Received::Answered(answer), pending) => {
                panic!("{:?}", self.read(&answer, &pending))
            }
        }
    }

    fn refusal(&mut self, body: Body) -> String {
        match self.told(body) {
            Outcome::Refused(Refused { code, .. }) => code,
            outcome => panic!("{outcome:?}"),
        }
    }
}

impl Fixture {
    fn status(&mut self) -> SessionStatus {
        match self.told(Body::Status(AskStatus {})) {
            Outcome::Status(status) => status,
            outcome => panic!("{outcome:?}"),
        }
    }
}

fn identity(name: &str) -> Identity {
    Identity::generate(name.parse().unwrap(), &mut random::rng())
}

/// A key for so many runs of a dataset, whose object is called as it is.
fn release(dataset: &str, runs: u32) -> Body {
    let key = DataKey {
        dataset: dataset.parse().unwrap(),
        object: Digest::of(b"object"),
        secret: SecretKey::from_bytes([7; 32]),
    };
    Body::Release(Release {
        key,
        length: None,
        runs,
    })
}

fn started(begun: Begun) -> Box<Order> {
    match begun {
        Begun::Starts(order) => order,
        Begun::Waits(_) => panic!("the job waits for its start"),
    }
}

fn submit(job: &[u8]) -> Body {
    Body::Submit(Submit {
        job: job.into(),
        nonce: mc2_protocol::encoding::Hex([1; 32]),
        endorsements: Vec::new(),
    })
}

fn busy() -> Refused {
    Refused::new("receipts-waiting", "full")
}

#[test]
fn what_a_job_took_comes_back_whole_when_it_does_not_start() {
    let mut f = Fixture::new(1, 1);
    let job = f.approved(1);
    for _ in 0..3 {
        let (admitted, pending) = f.submitted(&job);
        assert_eq!(admitted.order.number, 1);
        assert_eq!(admitted.order.keys.len(), 1);
        assert_eq!(admitted.order.approvals.len(), 1);
        let answer = f.session.give_back(admitted, busy());
        assert_eq!(f.read(&answer, &pending), Outcome::Refused(busy()));
    }
    let (admitted, pending) = f.submitted(&job);
    let (begun, answer) = f.session.commit(admitted);
    let number = started(begun).number;
    assert_eq!(f.read(&answer, &pending), Outcome::Submitted { number });
    f.session.ended(number);
    // Now key, approval and run are spent for good.
    assert_eq!(f.refusal(submit(&job)), "not-approved");
    let job = f.approved(2);
    assert_eq!(f.refusal(submit(&job)), "runs-spent");
    assert_eq!(f.told(Body::End(End {})), Outcome::Ended);
}

#[test]
fn who_lacks_only_what_may_come_back_is_told_to_wait() {
    for (allowed, released) in [(1, 2), (2, 1)] {
        let mut f = Fixture::new(allowed, released);
        let (one, other) = (f.approved(1), f.approved(2));
        let (admitted, _) = f.submitted(&one);
        assert_eq!(f.refusal(submit(&other)), "busy");
        assert_eq!(f.refusal(submit(&one)), "busy");
        assert_eq!(f.refusal(Body::End(End {})), "busy");
        f.session.give_back(admitted, busy());
        let (admitted, _) = f.submitted(&other);
        f.session.commit(admitted);
        let code = f.refusal(submit(&one));
        assert_eq!(code, if allowed == 1 { "runs-spent" } else { "no-key" });
    }
}

#[test]
fn a_number_is_one_job_s_whoever_is_given_back() {
    let mut f = Fixture::new(9, 9);
    let jobs: Vec<_> = (0..4).map(|salt| f.approved(salt)).collect();
    let (first, _) = f.submitted(&jobs[0]);
    let (second, _) = f.submitted(&jobs[1]);
    let (first_number, second_number) = (first.order.number, second.order.number);
    f.session.give_back(first, busy());
    f.session.commit(second);
    let (third, _) = f.submitted(&jobs[2]);
    assert!(![first_number, second_number].contains(&third.order.number));
    // A job that is about to start is stopped like one that runs.
    let number = third.order.number;
    let cancel = Body::Cancel(Cancel { number });
    assert_eq!(f.told(cancel), Outcome::Cancelled);
    assert!(third.order.cancellation.is_cancelled());
}

#[test]
fn an_approval_of_a_job_takes_a_place_until_its_run_has_started() {
    let mut f = Fixture::new(9, 9);
    let party = *f.party.card().digest();
    let places = Arc::clone(&f.session.accounts.approvals);
    let mut held: Vec<_> = std::iter::from_fn(|| places.take(party, 1)).collect();
    let another = || Body::Approve(Approve::Job(Digest::of(b"another")));
    assert_eq!(f.refusal(another()), "approvals-waiting");
    // An approval of the policy takes none.
    let policy = Approve::Policy(*f.session.terms().policy.digest());
    assert_eq!(f.told(Body::Approve(policy)), Outcome::Approved);
    held.pop();
    let job = f.approved(1);
    assert_eq!(f.refusal(another()), "approvals-waiting");
    // The same one again changes nothing, and needs nothing.
    let again = Body::Approve(Approve::Job(Digest::of(&job)));
    assert_eq!(f.told(again), Outcome::Approved);
    let (admitted, _) = f.submitted(&job);
    // A job that is about to start may be given back, and its approval with it.
    assert_eq!(f.refusal(another()), "approvals-waiting");
    let (begun, _) = f.session.commit(admitted);
    f.session.ended(started(begun).number);
    assert_eq!(f.told(another()), Outcome::Approved);
}

#[test]
fn the_status_says_what_each_job_still_needs_and_how_far_it_is() {
    let mut f = Fixture::new(9, 2);
    let held = |runs| HeldKey {
        dataset: "data".parse().unwrap(),
        object: Digest::of(b"object"),
        runs,
    };
    let party = *f.party.card().digest();
    let at_first = SessionStatus {
        keys: vec![held(2)],
        ..SessionStatus::default()
    };
    assert_eq!(f.status(), at_first);
    let policy = *f.session.terms().policy.digest();
    let approve = Body::Approve(Approve::Policy(policy));
    assert_eq!(f.told(approve), Outcome::Approved);
    let job = f.approved(1);
    let digest = Digest::of(&job);
    let approvals = JobApprovals {
        job: digest,
        by: vec![party],
    };
    let approved = SessionStatus {
        approved: vec![party],
        jobs_approved: vec![approvals],
        ..at_first
    };
    assert_eq!(f.status(), approved);
    let (admitted, _) = f.submitted(&job);
    let with_job = |state| SessionStatus {
        approved: vec![party],
        keys: vec![held(1)],
        jobs: vec![SessionJob {
            number: 1,
            digest,
            state,
        }],
        ..SessionStatus::default()
    };
    assert_eq!(f.status(), with_job(JobPhase::Starting));
    f.session.commit(admitted);
    assert_eq!(f.status(), with_job(JobPhase::Running));
    f.session.ended(1);
    assert!(f.status().jobs.is_empty());
}

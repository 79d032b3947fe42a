//! Rows 11, 13 and 27: a model that no party may read is trained, kept, and scored with in later
//! jobs and sessions of the one policy, as often as the policy says.

use std::{collections::BTreeMap, time::SystemTime};

use ed25519_dalek::SigningKey;
use mc2_attestation::{Outcome as CheckOutcome, SimKey, sim};
use mc2_client::{
    custody::{self, CustodyKey},
    session::{Session, SessionError},
    state::{State, ledger::LedgerError},
    verify::{Expected, Verified, verify},
};
use mc2_protocol::{
    DataKey, Digest, Identity, Name,
    documents::{
        custody::{CustodyOf, CustodySecret},
        dsse::Envelope,
        job::Job,
        message::{Body, Outcome, Release, SealedMessage},
        receipt::{OutputSecret, Receipt, STATEMENT_TYPE, Statement},
        record::report_data,
    },
    policy::Policy,
};
use mc2_tests::{Finished, Stack, identity, now, parse, program, release, rng};

/// The model has an odd length, and is padded.
const MODEL: usize = 70_001;

/// Two parties: `me` has the data and submits, `you` keeps the model.
struct Two {
    stack: Stack,
    you: Identity,
    policy: Policy,
}

impl Two {
    async fn new() -> Self {
        let stack = Stack::start().await;
        let you = identity("you");
        let policy = policy(&stack, &you, "two").await;
        Self { stack, you, policy }
    }

    async fn session(&self) -> Session<'_> {
        let parties = [&self.stack.me, &self.you];
        self.stack.approved(self.policy.clone(), &parties).await
    }

    /// Trains in a session of its own: the model, and the receipt of it.
    async fn trained(&self) -> (Finished, Verified) {
        let session = self.session().await;
        let sealed = self.stack.seal("rows", &rows()).await;
        let keys = vec![release("rows", &sealed, 1)];
        let now = SystemTime::now();
        let me = &self.stack.me;
        let released = session.release(me, &self.stack.ledger, keys, now).await;
        released.expect("a release");
        let objects = BTreeMap::from([(parse::<Name>("rows"), sealed.object)]);
        let job = draft(&session, "train", &objects, &["copy", "rows", "model"]);
        let finished = self.stack.submit_job(&session, me, &job).await;
        let finished = finished.expect("a receipt");
        assert_eq!(finished.reason(), "succeeded", "{}", finished.stdout());
        let verified = self.verified(&finished.envelope, &finished.session);
        (finished, verified)
    }

    fn verified(&self, envelope: &Envelope, session: &Digest) -> Verified {
        let trust = self.stack.trust();
        let verdict = verify(envelope, &self.expected(&trust, session));
        verdict.accept().unwrap_or_else(|broken| panic!("{broken}"))
    }

    fn expected<'a>(
        &'a self,
        trust: &'a mc2_attestation::TrustStore,
        session: &'a Digest,
    ) -> Expected<'a> {
        Expected {
            trust,
            allow_simulated: true,
            now: SystemTime::now(),
            policy: Some(&self.policy),
            components: None,
            nonce: None,
            session: Some(session),
            job: None,
            number: None,
            submitter: None,
            collateral: None,
        }
    }

    /// The one key that a training left with `you`.
    fn kept(&self, verified: &Verified) -> CustodyKey {
        let mut keys = custody::kept(verified, &self.you).expect("what is sealed to you");
        assert_eq!(keys.len(), 1);
        keys.remove(0)
    }
}

fn rows() -> Vec<u8> {
    (0..MODEL).map(|at| (at % 251) as u8).collect()
}

async fn policy(stack: &Stack, you: &Identity, name: &str) -> Policy {
    let component = stack.component("hostile").await;
    let text = format!(
        r#"version = 1
name = "{name}"
# {now}
expires = 2999-12-31T00:00:00Z
visible = "access"
[enclave]
tee = ["sim"]
platforms = "any"
tcb = "up-to-date"
[[party]]
card = "{me}"
[[party]]
card = "{you}"
[[component]]
name = "workload"
sha256 = "{component}"
[[dataset]]
name = "rows"
owner = "me"
[[job]]
name = "train"
submit = ["me"]
approve = {{ who = "all", when = "session" }}
runs = 2
limits = {{ memory = "64MiB", time = "60s", output = "1MiB" }}
errors = "full"
[[job.step]]
component = "workload"
args = "any"
inputs = {{ rows = "dataset:rows" }}
outputs = {{ model = {{ custody = "you", runs = 3 }}, stdout = ["me"] }}
padding = "power-of-two"
[[job]]
name = "run"
submit = ["me", "you"]
approve = {{ who = "all", when = "session" }}
runs = 9
limits = {{ memory = "64MiB", time = "60s", output = "1MiB" }}
errors = "full"
[[job.step]]
component = "workload"
args = "any"
inputs = {{ model = "custody:model" }}
outputs = {{ scores = ["me"], stdout = ["me"] }}
padding = "power-of-two"
"#,
        now = now(),
        me = stack.me.card(),
        you = you.card(),
    );
    Policy::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn draft(
    session: &Session<'_>,
    job: &str,
    objects: &BTreeMap<Name, Digest>,
    arguments: &[&str],
) -> Job {
    let mut salt = [0; 32];
    rand_core::Rng::fill_bytes(&mut rng(), &mut salt);
    let arguments = arguments.iter().map(|&one| one.to_owned()).collect();
    let job = session
        .policy()
        .draft(&parse(job), objects, vec![arguments], salt);
    job.expect("a job the policy allows")
}

fn scoring(session: &Session<'_>, kept: &CustodyKey) -> Job {
    let objects = BTreeMap::from([(kept.output.clone(), kept.object)]);
    draft(session, "run", &objects, &["copy", "model", "scores"])
}

fn code(error: SessionError) -> String {
    match error {
        SessionError::Refused { refused, .. } => refused.code,
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn what_is_in_custody_is_taken_by_later_jobs_and_sessions_as_often_as_the_policy_says() {
    let two = Two::new().await;
    let (_, verified) = two.trained().await;
    let state = State::at(two.stack.client_folder().join("yours"));
    state
        .store_custody_key(&two.kept(&verified))
        .expect("it is kept");
    let object = verified.receipt.custody[0].object;
    let kept = state
        .custody_key(&object)
        .expect("a key")
        .expect("that was kept");
    let (me, ledger, now) = (&two.stack.me, state.ledger(), SystemTime::now());
    // Two runs in one session, one in another: the third is the last.
    let mut released = 0;
    for runs in [2, 1] {
        let session = two.session().await;
        let key = [(&kept, runs)];
        let given = session.release_custody(&two.you, &ledger, &key, now).await;
        given.expect("a release");
        released += runs;
        for _ in 0..runs {
            let job = scoring(&session, &kept);
            let finished = two.stack.submit_job(&session, me, &job).await;
            let finished = finished.expect("a receipt");
            assert_eq!(finished.reason(), "succeeded", "{}", finished.stdout());
            // At its true length, however it was padded.
            assert!(finished.outputs["scores"] == rows());
            let [input] = &finished.receipt.inputs[..] else {
                panic!("{:?}", finished.receipt.inputs);
            };
            assert_eq!(
                (input.dataset.as_str(), input.owner.as_str()),
                ("model", "you")
            );
            assert_eq!(input.object, kept.object);
        }
        let job = scoring(&session, &kept);
        let spent = two.stack.submit_job(&session, me, &job).await;
        let Err(mc2_tests::RunFailed::Session(spent)) = spent else {
            panic!("a run more than was released");
        };
        assert_eq!(code(spent), "no-key");
        let key = [(&kept, 4 - released)];
        let more = session.release_custody(&two.you, &ledger, &key, now).await;
        let more = more.expect_err("more runs than the policy gives");
        assert!(
            matches!(
                more,
                SessionError::Ledger(LedgerError::Spent { allowed: 3, .. })
            ),
            "{more:?}"
        );
    }
}

#[tokio::test]
async fn nobody_opens_what_is_in_custody_and_the_receipt_says_who_keeps_it() {
    let two = Two::new().await;
    let (finished, verified) = two.trained().await;
    let [entry] = &verified.receipt.custody[..] else {
        panic!("{:?}", verified.receipt.custody);
    };
    assert_eq!((entry.name.as_str(), entry.runs), ("model", 3));
    assert_eq!(entry.holder.card, *two.you.card().digest());
    assert!(
        verified
            .receipt
            .outputs
            .iter()
            .all(|output| output.name != "model")
    );
    assert!(!finished.outputs.contains_key("model"));
    // For the submitter there is nothing in it, and for the custodian no output's key.
    let none = custody::kept(&verified, &two.stack.me).expect("nothing");
    assert!(none.is_empty());
    let as_output = OutputSecret::open(
        &finished.session,
        &finished.job,
        "model",
        &entry.holder,
        &two.you,
    );
    assert!(as_output.is_err());
    // Nor is it another job's, or for another count.
    let of = CustodyOf {
        session: &finished.session,
        job: &finished.job,
        output: &entry.name,
        runs: entry.runs,
    };
    CustodySecret::open(of, &entry.holder, &two.you).expect("what is sealed to you");
    let other = Digest::of(b"another job");
    for of in [CustodyOf { job: &other, ..of }, CustodyOf { runs: 4, ..of }] {
        assert!(CustodySecret::open(of, &entry.holder, &two.you).is_err());
    }
    // The receipt reaches the custodian, who learns the key from it alone.
    let session = two.session().await;
    let remote = &two.stack.remote;
    drop(session);
    let sealed = remote
        .receipt(&finished.session, 1)
        .await
        .expect("a receipt");
    let envelope = sealed
        .open(&finished.session, &two.you)
        .expect("its reader");
    two.kept(&two.verified(&envelope, &finished.session));
}

/// By a client that does what it should not, too.
#[tokio::test]
async fn only_its_custodian_gives_its_key_and_only_to_its_own_policy() {
    let two = Two::new().await;
    let (_, verified) = two.trained().await;
    let kept = two.kept(&verified);
    let now = SystemTime::now();
    let other = policy(&two.stack, &two.you, "other").await;
    let parties = [&two.stack.me, &two.you];
    let elsewhere = two.stack.approved(other, &parties).await;
    let refused = elsewhere
        .release_custody(&two.you, &two.stack.ledger, &[(&kept, 1)], now)
        .await;
    assert!(matches!(refused, Err(SessionError::OtherPolicy { .. })));
    let session = two.session().await;
    let refused = session
        .release_custody(&two.stack.me, &two.stack.ledger, &[(&kept, 1)], now)
        .await;
    assert!(
        matches!(refused, Err(SessionError::Policy(_))),
        "{refused:?}"
    );
    // The enclave says the same to a client that does not ask its policy.
    let key = || DataKey {
        dataset: kept.output.clone(),
        object: kept.object,
        secret: mc2_protocol::SecretKey::from_bytes([7; 32]),
    };
    for (sender, length, expected) in [
        (&two.stack.me, Some(kept.length), "not-the-custodian"),
        (&two.you, None, "wrong-length"),
    ] {
        let release = Release {
            key: key(),
            length,
            runs: 1,
        };
        assert_eq!(
            told(&two, &session, sender, Body::Release(release)).await,
            expected
        );
    }
    let rows = DataKey {
        dataset: parse("rows"),
        ..key()
    };
    let release = Release {
        key: rows,
        length: Some(1),
        runs: 1,
    };
    let refused = told(&two, &session, &two.stack.me, Body::Release(release)).await;
    assert_eq!(refused, "wrong-length");
    // As an own dataset's key it does not even leave.
    let release = Release {
        key: key(),
        length: Some(kept.length),
        runs: 1,
    };
    let refused = session
        .release(&two.you, &two.stack.ledger, vec![release], now)
        .await;
    assert!(matches!(refused, Err(SessionError::InCustody { .. })));
}

/// The code of the enclave's refusal.
async fn told(two: &Two, session: &Session<'_>, sender: &Identity, body: Body) -> String {
    let (digest, to) = (
        *session.appraised().digest(),
        session.appraised().hpke_public_key(),
    );
    let sequence = u64::MAX - SEQUENCE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let (bytes, pending) = SealedMessage::seal(&body, digest, &to, sender, sequence, &mut rng());
    let answer = two
        .stack
        .remote
        .message(&digest, bytes)
        .await
        .expect("an answer");
    let key = session.appraised().signing_public_key();
    match pending.open(&answer, &key).expect("the enclave's answer") {
        Outcome::Refused(refused) => refused.code,
        outcome => panic!("{outcome:?}"),
    }
}

static SEQUENCE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Whoever makes a receipt anew cannot sign it; and what an enclave under another policy signed
/// says by its entries that they are not this policy's.
#[tokio::test]
async fn an_entry_of_custody_that_is_not_the_policy_s_breaks_the_receipt() {
    let two = Two::new().await;
    let (finished, _) = two.trained().await;
    let trust = two.stack.trust();
    let payload = finished.envelope.payload.as_slice();
    let statement: serde_json::Value = serde_json::from_slice(payload).expect("a statement");
    let signed = |statement: &serde_json::Value, key: &SigningKey| {
        let bytes = serde_json::to_vec(statement).expect("JSON");
        Envelope::sign(STATEMENT_TYPE, bytes, key)
    };
    let forger = SigningKey::from_bytes(&[7; 32]);
    let broken = |envelope: &Envelope| {
        let verdict = verify(envelope, &two.expected(&trust, &finished.session));
        verdict.accept().err().map(|broken| broken.0.id)
    };
    assert_eq!(broken(&finished.envelope), None);
    let changes: [fn(&mut serde_json::Value, &Identity); 3] = [
        |entry, _| entry["runs"] = 1000.into(),
        |entry, me| entry["holder"]["card"] = me.card().digest().to_string().into(),
        |entry, _| entry["step"] = 1.into(),
    ];
    for change in changes {
        let mut altered = statement.clone();
        change(&mut altered["predicate"]["custody"][0], &two.stack.me);
        let mut envelope = finished.envelope.clone();
        envelope.payload = serde_json::to_vec(&altered).expect("JSON").into();
        assert_eq!(broken(&envelope), Some("receipt-signature"));
        assert_eq!(
            broken(&signed(&altered, &forger)),
            Some("receipt-signature")
        );
    }
    // A statement whose subjects are not its entries is none at all.
    let mut altered = statement.clone();
    altered["predicate"]["custody"] = serde_json::json!([]);
    assert!(Statement::claimed(&signed(&altered, &forger)).is_err());
}

/// Even of a runtime that one trusts.
#[tokio::test]
async fn a_receipt_that_gives_a_key_to_somebody_else_than_the_policy_s_custodian_is_refused() {
    let two = Two::new().await;
    let (finished, _) = two.trained().await;
    let key = SigningKey::from_bytes(&[7; 32]);
    let mut trust = two.stack.trust();
    let public = key.verifying_key().to_bytes();
    trust.pin_simulator(SimKey::from_bytes(&public).expect("a key"));
    let mut record: serde_json::Value =
        serde_json::from_slice(finished.receipt.record.as_slice()).expect("a record");
    record["signing_public_key"] = hex::encode(public).into();
    let record = serde_json::to_vec(&record).expect("JSON");
    let report = report_data(&record, &finished.receipt.nonce);
    let executable = std::fs::read(program("mc2-runtime-sim")).expect("the runtime");
    let mut receipt = finished.receipt.clone();
    receipt.evidence = sim::evidence(&report, &Digest::of(&executable), &key);
    receipt.record = record.clone().into();
    let session = Digest::of(&record);
    let passes = |receipt: Receipt| {
        let envelope = Statement::new(receipt).sign(&key);
        let verdict = verify(&envelope, &two.expected(&trust, &session));
        let check = verdict.checks.iter().find(|check| check.id == "custody");
        let check = check.unwrap_or_else(|| panic!("{:?}", verdict.checks));
        check.outcome == CheckOutcome::Passed
    };
    assert!(passes(receipt.clone()));
    let changes: [fn(&mut Receipt, &Identity); 4] = [
        |receipt, _| receipt.custody[0].runs = 1000,
        |receipt, me| receipt.custody[0].holder.card = *me.card().digest(),
        |receipt, _| receipt.custody[0].step = 1,
        |receipt, _| receipt.custody[0].name = parse("scores"),
    ];
    for change in changes {
        let mut altered = receipt.clone();
        change(&mut altered, &two.stack.me);
        assert!(!passes(altered));
    }
}

//! Rows 23 and 27: a receipt that was altered, belongs to another job, or that nobody earned, is
//! refused at the first link that does not hold, before anything is written.

use std::{fs, time::SystemTime};

use ed25519_dalek::SigningKey;
use mc2_attestation::sim;
use mc2_client::{
    open::{Exact, OpenError, Opening, Sealed},
    session::Session,
    verify::{Expected, verify},
};
use mc2_protocol::{
    Digest, SecretKey,
    documents::{
        dsse::Envelope,
        receipt::{OutputSecret, Receipt, STATEMENT_TYPE, SealedReceipt, Statement, Status},
        record::report_data,
    },
    policy::Policy,
};
use mc2_tests::{Asked, Finished, Lie, Run, RunFailed, Stack, identity, program, rng};
use serde_json::Value;

fn copying(text: &str) -> Run {
    Run::of("hostile", &["copy", "data", "result"])
        .input("data", text.as_bytes().to_vec())
        .output("result")
}

struct Done {
    stack: Stack,
    finished: Finished,
    policy: Policy,
}

impl Done {
    async fn new() -> Self {
        let stack = Stack::start().await;
        let run = copying("the result");
        let policy = run.policy(&stack.me);
        let session = stack
            .session_under(&run, policy.clone())
            .await
            .expect("a session");
        let finished = stack.run_in(&session, &run).await.expect("a run");
        drop(session);
        Self {
            stack,
            finished,
            policy,
        }
    }

    /// The first link of this envelope that does not hold, for one who knows the policy, the
    /// session and the job; `None` where all hold.
    fn broken(&self, envelope: &Envelope) -> Option<&'static str> {
        let trust = self.stack.trust();
        let expected = Expected {
            trust: &trust,
            allow_simulated: true,
            now: SystemTime::now(),
            policy: Some(&self.policy),
            components: None,
            nonce: Some(&self.finished.receipt.nonce),
            session: Some(&self.finished.session),
            number: None,
            job: Some(&self.finished.job),
            submitter: Some(self.stack.me.card().digest()),
            collateral: None,
        };
        verify(envelope, &expected)
            .accept()
            .err()
            .map(|broken| broken.0.what)
    }

    fn statement(&self) -> Value {
        serde_json::from_slice(self.finished.envelope.payload.as_slice()).expect("a statement")
    }

    /// The statement signed by somebody else.
    fn forged(&self, statement: &Value, key: &SigningKey) -> Envelope {
        let bytes = serde_json::to_vec(statement).expect("JSON");
        Envelope::sign(STATEMENT_TYPE, bytes, key)
    }
}

/// Row 23.
#[tokio::test]
async fn any_part_of_a_receipt_that_is_altered_breaks_its_signature() {
    let done = Done::new().await;
    assert_eq!(done.broken(&done.finished.envelope), None);
    let payload = done.finished.envelope.payload.as_slice();
    let text = String::from_utf8(payload.to_vec()).expect("JSON");
    for (from, to) in [
        (
            "\"succeeded\"",
            "{\"failed\":{\"step\":0,\"reason\":\"trap\"}}",
        ),
        ("\"number\":1", "\"number\":2"),
        ("\"job_name\":\"run\"", "\"job_name\":\"ran\""),
        ("\"step\":0", "\"step\":1"),
        ("urn:mc2:receipt:v1", "urn:mc2:receipt:v2"),
        ("in-toto.io/Statement/v1", "in-toto.io/Statement/v0.1"),
    ] {
        assert!(text.contains(from), "{from}");
        let mut envelope = done.finished.envelope.clone();
        envelope.payload = text.replacen(from, to, 1).into_bytes().into();
        assert_eq!(done.broken(&envelope), Some("receipt signature"), "{to}");
    }
    for at in (0..payload.len()).step_by(101) {
        let mut altered = payload.to_vec();
        altered[at] ^= 1;
        let mut envelope = done.finished.envelope.clone();
        envelope.payload = altered.into();
        assert_eq!(
            done.broken(&envelope),
            Some("receipt signature"),
            "byte {at}"
        );
    }
    let mut envelope = done.finished.envelope.clone();
    let mut signature = envelope.signatures[0].sig.as_slice().to_vec();
    signature[10] ^= 1;
    envelope.signatures[0].sig = signature.into();
    assert_eq!(done.broken(&envelope), Some("receipt signature"));
}

/// Row 23: signed again by somebody who is no enclave.
#[tokio::test]
async fn a_receipt_signed_by_anybody_else_is_refused() {
    let done = Done::new().await;
    let forger = SigningKey::from_bytes(&[7; 32]);
    let statement = done.statement();
    assert_eq!(
        done.broken(&done.forged(&statement, &forger)),
        Some("receipt signature")
    );

    // With a record that names the forger's key, under the enclave's evidence.
    let mut record: Value =
        serde_json::from_slice(done.finished.receipt.record.as_slice()).expect("a record");
    record["signing_public_key"] = hex::encode(forger.verifying_key().as_bytes()).into();
    let record = serde_json::to_vec(&record).expect("JSON");
    let mut receipt = done.finished.receipt.clone();
    receipt.record = record.clone().into();
    let forged = Statement::new(receipt.clone()).sign(&forger);
    assert_eq!(done.broken(&forged), Some("report data"));

    // Under evidence of the forger's own: a simulator nobody started.
    let report = report_data(&record, &receipt.nonce);
    let executable = fs::read(program("mc2-runtime-sim")).expect("the runtime");
    receipt.evidence = sim::evidence(&report, &Digest::of(&executable), &forger);
    let forged = Statement::new(receipt).sign(&forger);
    assert_eq!(done.broken(&forged), Some("evidence signature"));
}

/// Row 23.
#[tokio::test]
async fn each_thing_one_knows_better_is_compared() {
    let done = Done::new().await;
    let trust = done.stack.trust();
    let other_policy = copying("x").scratch(1 << 20).policy(&done.stack.me);
    let other = Digest::of(b"another");
    let other_nonce = mc2_protocol::encoding::Hex([9; 32]);
    let good = Expected {
        trust: &trust,
        allow_simulated: true,
        now: SystemTime::now(),
        policy: Some(&done.policy),
        components: None,
        nonce: None,
        session: None,
        number: None,
        job: None,
        submitter: None,
        collateral: None,
    };
    let nobody = mc2_attestation::TrustStore::new();
    for (expected, what) in [
        (
            Expected {
                policy: Some(&other_policy),
                ..good
            },
            "receipt's policy",
        ),
        (
            Expected {
                nonce: Some(&other_nonce),
                ..good
            },
            "own nonce",
        ),
        (
            Expected {
                session: Some(&other),
                ..good
            },
            "own session",
        ),
        (
            Expected {
                number: Some(done.finished.receipt.number + 1),
                ..good
            },
            "job number",
        ),
        (
            Expected {
                job: Some(&other),
                ..good
            },
            "own job",
        ),
        (
            Expected {
                submitter: Some(&other),
                ..good
            },
            "own submission",
        ),
        (
            Expected {
                allow_simulated: false,
                ..good
            },
            "simulator",
        ),
        (
            Expected {
                trust: &nobody,
                ..good
            },
            "evidence signature",
        ),
    ] {
        let verdict = verify(&done.finished.envelope, &expected);
        assert!(
            verdict.in_words().contains(what),
            "{what}: {:?}",
            verdict.in_words()
        );
        let broken = verdict.accept().err().expect("it is refused").0;
        assert_eq!(broken.what, what, "{broken}");
        assert!(!broken.advice.is_empty(), "{what}");
    }
    assert!(verify(&done.finished.envelope, &good).is_accepted());
}

/// Rows 23 and 27.
#[tokio::test]
async fn a_sealed_receipt_that_is_altered_or_another_session_s_does_not_open() {
    let done = Done::new().await;
    let stack = &done.stack;
    let session = done.finished.session;
    let sealed = stack
        .remote
        .receipt(&session, 1)
        .await
        .expect("the receipt");
    sealed.open(&session, &stack.me).expect("it opens");
    let bytes = sealed.to_bytes();
    for at in (0..bytes.len()).step_by(bytes.len() / 150) {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        let opened = SealedReceipt::parse(&altered).and_then(|it| it.open(&session, &stack.me));
        assert!(opened.is_err(), "byte {at}");
    }
    assert!(
        sealed
            .open(&Digest::of(b"another session"), &stack.me)
            .is_err()
    );
    let stranger = identity("me");
    let error = sealed
        .open(&session, &stranger)
        .expect_err("a stranger")
        .to_string();
    assert!(error.contains("not sealed to this card"), "{error}");
}

/// Row 27.
#[tokio::test]
async fn a_result_nobody_computed_is_refused_before_anything_is_written() {
    let (stack, liar) = Stack::lying_to_client().await;
    let run = copying("the result");
    let session = stack.session(&run).await.expect("a session");
    let objects = stack
        .release_inputs(&session, &run, 10)
        .await
        .expect("a release");
    let honest = stack.submit(&session, &run, &objects).await.expect("a run");

    // The host makes up an object and a receipt for it, and seals both as an enclave would.
    let invented = stack.seal("result", b"made up").await;
    let me = stack.me.card().clone();
    let session_digest = honest.session;
    let forger = SigningKey::from_bytes(&[7; 32]);
    let make = move |job: Digest, number: u64| -> Vec<u8> {
        let mut receipt: Receipt = honest.receipt.clone();
        let key = SecretKey::from_bytes(*invented.key.expose());
        let secret = OutputSecret {
            key,
            length: 7,
            sha256: Digest::of(b"made up"),
        };
        let recipients = vec![secret.seal(&session_digest, &job, "result", &me, &mut rng())];
        receipt.outputs.retain(|output| output.name == "result");
        receipt.outputs[0].object = invented.object;
        receipt.outputs[0].recipients = recipients;
        receipt.job = job;
        receipt.number = number;
        receipt.status = Status::Succeeded;
        let envelope = Statement::new(receipt).sign(&forger);
        SealedReceipt::seal(&envelope, &session_digest, &[&me], &mut rng()).to_bytes()
    };
    let job = mc2_tests::draft(&session, &run, &objects);
    let running = session.submit(&stack.me, &job).await.expect("a job");
    let (digest, number) = (running.job, running.number);
    let forged = Lie::change(move |_, _| make(digest, number));
    liar.tell(move |asked| instead_of_the_receipt(asked, &forged));
    match stack.finish(&session, &stack.me, &running).await {
        Err(RunFailed::Receipt(broken)) => assert_eq!(broken.0.what, "receipt signature"),
        other => panic!("{other:?}"),
    }
    liar.repent();
    let finished = stack
        .finish(&session, &stack.me, &running)
        .await
        .expect("the true receipt");
    assert_eq!(finished.outputs["result"], b"the result");
}

/// A receipt is asked for by itself, and answered with a lie.
fn instead_of_the_receipt(asked: &Asked, lie: &Lie) -> Option<Lie> {
    if asked.path.ends_with("/receipt") {
        return Some(lie.clone());
    }
    asked.is_status().then(Lie::without_receipt)
}

/// Row 27.
#[tokio::test]
async fn an_older_job_s_receipt_is_not_this_job_s() {
    let (stack, liar) = Stack::lying_to_client().await;
    let run = copying("the result");
    let session: Session<'_> = stack.session(&run).await.expect("a session");
    let objects = stack
        .release_inputs(&session, &run, 10)
        .await
        .expect("a release");
    let first = stack.submit(&session, &run, &objects).await.expect("a run");
    let of_first = mc2_wire::routes::receipt_path(&first.session, 1);
    let older = Lie::Instead(of_first);
    liar.tell(move |asked| instead_of_the_receipt(asked, &older));
    match stack.submit(&session, &run, &objects).await {
        Err(RunFailed::Receipt(broken)) => assert_eq!(broken.0.what, "own job", "{broken}"),
        other => panic!("{other:?}"),
    }
}

/// Row 23.
#[tokio::test]
async fn outputs_replaced_at_the_host_do_not_open_and_leave_no_file() {
    let stack = Stack::start().await;
    let run = copying(&"a long result ".repeat(20_000));
    let session = stack.session(&run).await.expect("a session");
    let objects = stack
        .release_inputs(&session, &run, 20)
        .await
        .expect("a release");
    let first = stack.submit(&session, &run, &objects).await.expect("a run");
    let second = stack.submit(&session, &run, &objects).await.expect("a run");
    let stored = |finished: &Finished| {
        let output = finished
            .receipt
            .outputs
            .iter()
            .find(|output| output.name == "result");
        let object = output.expect("a result").object;
        stack.host_folder().join("objects").join(object.to_string())
    };
    let (mine, other) = (stored(&first), stored(&second));
    let me = &stack.me;
    for part in ["files/0", "digests/0", "manifest"] {
        let good = fs::read(mine.join(part)).expect("a stored file");
        let mut flipped = good.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let cut = good[..good.len() - 1].to_vec();
        for bad in [
            fs::read(other.join(part)).expect("another's"),
            flipped,
            cut,
            Vec::new(),
        ] {
            fs::remove_file(mine.join(part)).expect("the host's own file");
            fs::write(mine.join(part), bad).expect("the host's own file");
            let opened = stack.open_outputs(&first.receipt, &first.session, me).await;
            match opened {
                Err(RunFailed::Open(OpenError::Sealed { .. } | OpenError::Fetch { .. }))
                | Err(RunFailed::Remote(_)) => {}
                other => panic!("{part}: {other:?}"),
            }
            let left = fs::read_dir(stack.client_folder())
                .expect("a folder")
                .count();
            assert!(left <= 2, "{part}: something was left behind");
        }
        fs::remove_file(mine.join(part)).expect("the host's own file");
        fs::write(mine.join(part), good).expect("the host's own file");
    }
    let outputs = stack.open_outputs(&first.receipt, &first.session, me).await;
    assert_eq!(outputs.expect("as it was")["result"], run.inputs[0].1);
}

/// Rows 23 and 36: an output opens to the plaintext its receipt tells of, or not at all.
#[tokio::test]
async fn an_output_of_another_length_or_digest_than_its_receipt_tells_does_not_open() {
    let done = Done::new().await;
    let (stack, finished) = (&done.stack, &done.finished);
    let output = finished.receipt.outputs.iter();
    let output = output.clone().find(|output| output.name == "result");
    let output = output.expect("a result");
    let (job, name) = (&finished.receipt.job, &output.name);
    let sealed = &output.recipients[0];
    let secret = OutputSecret::open(&finished.session, job, name, sealed, &stack.me);
    let secret = secret.expect("what is mine");
    let manifest = stack.remote.manifest(&output.object).await;
    let manifest = manifest.expect("a manifest");
    let good = Exact::from(&secret);
    let open = async |exact| {
        let opening = Opening {
            manifest: &manifest,
            key: &secret.key,
            exact: Some(exact),
            from: Sealed::Host(&stack.remote, output.object),
        };
        let target = stack.client_folder().join("opened");
        let opened = opening.to_path(&target, &mut |_| ()).await;
        assert_eq!(target.exists(), opened.is_ok());
        opened
    };
    let other = Exact {
        sha256: Digest::of(b"the  esult"),
        ..good
    };
    assert!(matches!(
        open(other).await,
        Err(OpenError::Plaintext { .. })
    ));
    // Longer than all there is.
    let long = Exact { length: 11, ..good };
    assert!(matches!(open(long).await, Err(OpenError::Length { .. })));
    let short = Exact { length: 9, ..good };
    assert!(matches!(
        open(short).await,
        Err(OpenError::Plaintext { .. })
    ));
    open(good).await.expect("as it was");
}

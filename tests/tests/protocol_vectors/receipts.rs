//! A receipt, with what is sealed inside it.

use ed25519_dalek::SigningKey;
use mc2_protocol::{
    Digest, Identity, SecretKey,
    documents::{
        custody::{CustodyOf, CustodySecret, ReceiptCustody},
        dsse::Envelope,
        failure::FailureDetail,
        figures::{InstanceObserved, InstanceUsage, StepObserved, StepOf, StepUsage},
        message::{Approve, Body, SealedMessage},
        receipt::{
            Evidence, OutputSecret, Receipt, ReceiptInput, ReceiptOutput, ReceiptParts,
            ReceiptStep, SealedReceipt, Statement, Status,
        },
        record::report_data,
    },
};
use mc2_tests::counting;
use serde_json::{Value, json};

use crate::inputs::{
    NONCE, OBJECT, POLICY, alice, bob, job, name, record, session, session_private_key,
    session_signing_key, text,
};

pub(crate) fn receipts() -> Value {
    let (submitter, recipient) = (alice(), bob());
    let session = session();
    let job_digest = Digest::of(&job().to_bytes());
    let record_bytes = record().to_bytes();
    let simulator = SigningKey::from_bytes(&[0xa0; 32]);
    let data = report_data(&record_bytes, &NONCE);
    let evidence = mc2_attestation::sim::evidence(&data, &Digest::of(b"executable"), &simulator);
    let rng = &mut counting(0xa1);
    let secret = OutputSecret {
        key: SecretKey::from_bytes([0x70; 32]),
        length: 10,
        sha256: Digest::of(b"0123456789"),
    };
    let (to, job) = (recipient.card(), &job_digest);
    let of = StepOf {
        session: &session,
        job,
        step: 0,
    };
    let usage = StepUsage(vec![
        InstanceUsage {
            memory_peak: 1 << 30,
            input_bytes: 1000,
            output_bytes: 10,
            fuel: None,
        },
        InstanceUsage {
            memory_peak: 1 << 16,
            input_bytes: 0,
            output_bytes: 0,
            fuel: Some(77),
        },
    ]);
    let observed = StepObserved {
        fetched_segments: 3,
        fetched_bytes: 200_000,
        stored_bytes: 72,
        instances: vec![
            InstanceObserved {
                spilled_bytes: 65_536,
                untrusted_wall_ms: 12,
            };
            2
        ],
    };
    let step = ReceiptStep {
        component: name("sql"),
        usage: vec![usage.seal(of, to, rng)],
        observed: vec![observed.seal(of, submitter.card(), rng)],
    };
    let sealed_output = secret.seal(&session, job, "model", to, rng);
    let opened = OutputSecret::open(&session, job, "model", &sealed_output, &recipient).unwrap();
    assert_eq!(
        (opened.length, opened.sha256),
        (secret.length, secret.sha256)
    );
    let scorer = name("scorer");
    let of_custody = CustodyOf {
        session: &session,
        job: &job_digest,
        output: &scorer,
        runs: 100,
    };
    let kept = CustodySecret {
        key: SecretKey::from_bytes([0x72; 32]),
        length: 70_001,
    };
    let sealed_custody = kept.seal(of_custody, to, rng);
    let opened = CustodySecret::open(of_custody, &sealed_custody, &recipient).unwrap();
    assert_eq!(opened.length, kept.length);
    let failure = FailureDetail {
        output: Some(name("importance")),
    };
    let statement = Statement::new(Receipt::new(ReceiptParts {
        record: record_bytes,
        nonce: NONCE,
        evidence,
        endorsements: vec![Evidence {
            media_type: "application/example".to_owned(),
            value: vec![1, 2, 3].into(),
        }],
        policy: POLICY.to_vec(),
        approvals: vec![approval(&submitter)],
        submitter: *submitter.card().digest(),
        job: job_digest,
        job_name: name("train"),
        number: 1,
        inputs: vec![ReceiptInput {
            dataset: name("transactions"),
            owner: "alice".parse().unwrap(),
            object: Digest::of(OBJECT),
        }],
        status: Status::Failed {
            step: 1,
            reason: "missing-output".to_owned(),
        },
        failure: Some(failure.seal(&session, &job_digest, submitter.card(), rng)),
        steps: vec![step],
        outputs: vec![ReceiptOutput {
            name: "model".to_owned(),
            step: 1,
            object: Digest::of(b"output's manifest"),
            recipients: vec![sealed_output],
        }],
        custody: vec![ReceiptCustody {
            name: name("scorer"),
            step: 1,
            object: Digest::of(b"manifest of what is in custody"),
            runs: of_custody.runs,
            holder: sealed_custody,
        }],
    }));
    let envelope = statement.sign(&session_signing_key());
    let readers = [submitter.card(), recipient.card()];
    let sealed = SealedReceipt::seal(&envelope, &session, &readers, rng);
    for reader in [&submitter, &recipient] {
        assert_eq!(sealed.open(&session, reader).unwrap(), envelope);
    }
    json!([{
        "session": session,
        "reader": recipient.to_text().to_string(),
        "signing_public_key": hex::encode(session_signing_key().verifying_key().as_bytes()),
        "sealed_receipt": text(&sealed.to_bytes()),
        "statement": text(envelope.payload.as_slice()),
        "approver": submitter.card().to_string(),
        "output": {
            "key": hex::encode(secret.key.expose()),
            "length": secret.length,
            "sha256": secret.sha256,
        },
        "custody": { "key": hex::encode(kept.key.expose()), "length": kept.length },
        "submitter": submitter.to_text().to_string(),
        "failed_output": failure.output,
        "usage": usage.0.iter().map(|one| {
            json!([one.memory_peak, one.input_bytes, one.output_bytes, one.fuel])
        }).collect::<Vec<_>>(),
        "observed": {
            "step": [observed.fetched_segments, observed.fetched_bytes, observed.stored_bytes],
            "instances": observed.instances.iter().map(|one| {
                json!([one.spilled_bytes, one.untrusted_wall_ms])
            }).collect::<Vec<_>>(),
        },
    }])
}

/// An approval as its sender signed it.
fn approval(sender: &Identity) -> Envelope {
    let body = Body::Approve(Approve::Policy(Digest::of(POLICY)));
    let to = session_private_key().public_key();
    let (bytes, _) = SealedMessage::seal(&body, session(), &to, sender, 0, &mut counting(0));
    let (opened, _) = SealedMessage::parse(&bytes)
        .unwrap()
        .open(&session(), &session_private_key())
        .unwrap();
    opened
        .verify(|_| Some(sender.card()))
        .unwrap()
        .approval
        .unwrap()
}

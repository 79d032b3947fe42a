//! What travels between a client and an enclave, receipts aside.

use ed25519_dalek::SigningKey;
use mc2_protocol::{
    DataKey, Digest, SecretKey,
    documents::{
        control::OpenSession,
        message::{
            Answer, Approve, AskStatus, Body, Cancel, End, GiveKey, GuestSecret, HeldKey,
            JobApprovals, JobPhase, Kind, Outcome, Refused, Release, SealedMessage, SessionJob,
            SessionStatus, StartAnswer, Submit,
        },
        record::report_data,
        storage::{Event, SealedEvent},
    },
    encoding::{Hex, to_json},
};
use mc2_tests::counting;
use serde_json::{Value, json};

use crate::inputs::{
    NONCE, OBJECT, POLICY, alice, bob, job, name, record, session, session_private_key,
    session_signing_key, text,
};

pub(crate) fn records() -> Value {
    let bytes = record().to_bytes();
    json!([{
        "record": text(&bytes),
        "session": session(),
        "nonce": NONCE,
        "report_data": hex::encode(report_data(&bytes, &NONCE)),
    }])
}

pub(crate) fn evidence() -> Value {
    let key = SigningKey::from_bytes(&[0xa0; 32]);
    let record = record().to_bytes();
    let data = report_data(&record, &NONCE);
    let evidence = mc2_attestation::sim::evidence(&data, &Digest::of(b"executable"), &key);
    json!([{
        "simulator_seed": hex::encode(key.to_bytes()),
        "record": text(&record),
        "nonce": NONCE,
        "measurement": Digest::of(b"executable"),
        "evidence": text(&to_json(&evidence)),
    }])
}

pub(crate) fn openings() -> Value {
    let opener = alice();
    let open = OpenSession::sign(POLICY, NONCE, Hex([0x51; 32]), &opener);
    json!([{
        "opener": opener.card().to_string(),
        "open": text(&to_json(&open)),
    }])
}

pub(crate) fn messages() -> Value {
    let sender = alice();
    let bodies = [
        Body::Release(Release {
            key: DataKey {
                dataset: name("transactions"),
                object: Digest::of(OBJECT),
                secret: SecretKey::from_bytes([0x70; 32]),
            },
            length: None,
            runs: 3,
        }),
        Body::Release(Release {
            key: DataKey {
                dataset: name("model"),
                object: Digest::of(OBJECT),
                secret: SecretKey::from_bytes([0x71; 32]),
            },
            length: Some(70_001),
            runs: 1,
        }),
        Body::Approve(Approve::Policy(Digest::of(POLICY))),
        Body::Approve(Approve::Job(Digest::of(&job().to_bytes()))),
        Body::Submit(Submit {
            job: job().to_bytes().into(),
            nonce: NONCE,
            endorsements: vec![],
        }),
        Body::Cancel(Cancel { number: 7 }),
        Body::End(End {}),
        Body::Status(AskStatus {}),
        Body::GuestKey(GiveKey {
            name: name("parquet"),
            key: GuestSecret::new(vec![0x71; 24].into()).unwrap(),
        }),
        Body::Start(StartAnswer {
            job: Digest::of(&job().to_bytes()),
            challenge: Hex([0x52; 32]),
            datasets: vec![name("transactions")],
        }),
    ];
    let outcomes = [
        Outcome::Released,
        Outcome::Released,
        Outcome::Approved,
        Outcome::Refused(Refused {
            code: "not-a-party".to_owned(),
            message: "no".to_owned(),
        }),
        Outcome::Submitted { number: 1 },
        Outcome::Cancelled,
        Outcome::Ended,
        Outcome::Status(status()),
        Outcome::KeyTaken,
        Outcome::Answered,
    ];
    let vectors = bodies.iter().zip(outcomes).enumerate();
    let vectors = vectors.map(|(sequence, (body, outcome))| {
        let to = session_private_key().public_key();
        let rng = &mut counting(0x80);
        let sequence = sequence as u64;
        let (bytes, pending) = SealedMessage::seal(body, session(), &to, &sender, sequence, rng);
        let (opened, key) = SealedMessage::parse(&bytes)
            .unwrap()
            .open(&session(), &session_private_key())
            .unwrap();
        let message = opened.verify(|_| Some(sender.card())).unwrap();
        assert_eq!(message.sequence, sequence);
        let request = Digest::of(&bytes);
        let signing = session_signing_key();
        let rng = &mut counting(0x81);
        let sealed = Answer::new(
            outcome.clone(),
            session(),
            request,
            &signing,
            Some(&key),
            rng,
        );
        let signed = Answer::new(outcome.clone(), session(), request, &signing, None, rng);
        for answer in [&sealed, &signed] {
            let opened = pending.open(answer, &signing.verifying_key()).unwrap();
            assert_eq!(opened, outcome);
        }
        let kind: Kind = body.kind();
        json!({
            "session": session(),
            "session_seed": hex::encode([0x30; 32]),
            "session_signing_key": hex::encode(signing.verifying_key().as_bytes()),
            "sender": sender.card().to_string(),
            "kind": kind,
            "sequence": sequence,
            "message": text(&bytes),
            "request": request,
            "approval": message.approval.map(|approval| text(&to_json(&approval))),
            "body": body,
            "sealed_answer": text(&to_json(&sealed)),
            "signed_answer": text(&to_json(&signed)),
            "outcome": outcome,
        })
    });
    json!(vectors.collect::<Vec<_>>())
}

fn status() -> SessionStatus {
    let digest = Digest::of(&job().to_bytes());
    let running = |number, state| SessionJob {
        number,
        digest,
        state,
    };
    SessionStatus {
        approved: vec![*alice().card().digest()],
        jobs_approved: vec![JobApprovals {
            job: digest,
            by: vec![*bob().card().digest()],
        }],
        keys: vec![HeldKey {
            dataset: name("transactions"),
            object: Digest::of(OBJECT),
            runs: 2,
        }],
        guest_keys: vec![name("parquet")],
        jobs: vec![
            running(1, JobPhase::Running),
            running(2, JobPhase::Starting),
            running(
                3,
                JobPhase::Waiting {
                    datasets: vec![name("transactions")],
                },
            ),
        ],
    }
}

pub(crate) fn jobs() -> Value {
    let bytes = job().to_bytes();
    json!([{ "job": text(&bytes), "digest": Digest::of(&bytes) }])
}

pub(crate) fn events() -> Value {
    let event = Event {
        session: session(),
        number: 1,
        sequence: 0,
        permille: 420,
        text: "joined orders".to_owned(),
    };
    let recipient = bob();
    let signing = session_signing_key();
    let sealed = SealedEvent::seal(&event, recipient.card(), &signing, &mut counting(0xb0));
    let opened = sealed.open(&session(), &signing.verifying_key(), &recipient);
    assert_eq!(opened.unwrap(), event);
    json!([{
        "session": session(),
        "recipient": recipient.to_text().to_string(),
        "signing_public_key": hex::encode(signing.verifying_key().as_bytes()),
        "sealed_event": text(&to_json(&sealed)),
        "event": event,
    }])
}

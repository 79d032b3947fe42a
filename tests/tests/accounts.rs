//! Row 40: what a party makes an enclave remember is counted, and there is an end to it.

use std::{collections::BTreeMap, time::Duration};

use mc2_client::session::Session;
use mc2_protocol::{
    Digest, Identity,
    crypto::label,
    documents::{
        dsse::Envelope,
        message::{Answer, Approve, Body, MESSAGE_TYPE, Outcome},
    },
    encoding::to_json,
};
use mc2_tests::{
    Run, Stack, draft,
    messages::{code, submission},
    rng,
};

fn echo() -> Run {
    Run::of("hostile", &["echo", "done"])
}

fn approval(number: u32) -> Body {
    Body::Approve(Approve::Job(Digest::of(&number.to_be_bytes())))
}

/// Sends an approval written with so many spaces more than it needs.
async fn spaced(
    stack: &Stack,
    session: &Session<'_>,
    sender: &Identity,
    sequence: u64,
    spaces: usize,
) -> Outcome {
    let appraised = session.appraised();
    let payload = format!(
        r#"{{"version":1,"type":"approve","session":"{}","sender":"{}","sequence":{sequence},{}"body":{{"job":"{}"}}}}"#,
        appraised.digest(),
        sender.card().digest(),
        " ".repeat(spaces),
        Digest::of(b"a job"),
    );
    let envelope = Envelope::sign(MESSAGE_TYPE, payload.into_bytes(), sender.signing_key());
    let info = label::context(
        label::MESSAGE,
        &[b"approve".as_slice(), appraised.digest().as_bytes()],
    );
    let (sealed, key) = appraised.hpke_public_key().seal_with_answer_key(
        &info,
        &to_json(&envelope),
        label::ANSWER.as_bytes(),
        &mut rng(),
    );
    let message = serde_json::json!({ "version": 1, "type": "approve", "sealed": sealed });
    let answer = stack
        .deliver(appraised.digest(), message.to_string().into_bytes())
        .await
        .expect("an answer");
    let Answer::Sealed(answer) = answer else {
        panic!("the message was not opened")
    };
    let (nonce, sealed) = answer.0.split_first_chunk().expect("a nonce");
    let opened = mc2_protocol::crypto::aead::Aes256Gcm::new(&key).open(*nonce, b"", sealed);
    let envelope: Envelope = serde_json::from_slice(&opened.expect("ours")).expect("an envelope");
    let content: serde_json::Value =
        serde_json::from_slice(envelope.payload.as_slice()).expect("an answer");
    serde_json::from_value(content["outcome"].clone()).expect("an outcome")
}

/// Row 40.
#[tokio::test]
async fn a_party_leaves_so_many_approvals_and_no_more() {
    let stack = Stack::start().await;
    let session = stack.session(&echo()).await.expect("a session");
    let me = &stack.me;
    for number in 0..64 {
        let outcome = stack
            .say(&session, me, u64::from(number), &approval(number))
            .await;
        assert_eq!(outcome, Outcome::Approved, "{number}");
    }
    let outcome = stack.say(&session, me, 64, &approval(64)).await;
    assert_eq!(code(&outcome), "too-many-approvals");
    // The same one again is none more.
    let outcome = stack.say(&session, me, 65, &approval(0)).await;
    assert_eq!(outcome, Outcome::Approved);
}

/// Row 40.
#[tokio::test]
async fn an_approval_blown_up_with_spaces_is_not_kept() {
    let stack = Stack::start().await;
    let session = stack.session(&echo()).await.expect("a session");
    let me = &stack.me;
    assert_eq!(
        spaced(&stack, &session, me, 1, 100).await,
        Outcome::Approved
    );
    for (sequence, spaces) in [(2, 2_048), (3, 2 << 20)] {
        let outcome = spaced(&stack, &session, me, sequence, spaces).await;
        assert_eq!(code(&outcome), "approval-too-long", "{spaces} spaces");
    }
}

/// Row 40: sessions are for the asking, the enclave's memory is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_runs_sixteen_jobs_at_once_however_many_sessions_ask() {
    let stack = Stack::start().await;
    let run =
        Run::of("hostile", &["sleep", "3000"]).limits(64 << 20, Duration::from_secs(600), 1 << 20);
    // Under one policy, so that one process has them all.
    let policy = run.policy(&stack.me);
    let mut sessions = Vec::new();
    for _ in 0..5 {
        let session = stack.session_under(&run, policy.clone()).await;
        sessions.push(session.expect("a session"));
    }
    let mut outcomes = Vec::new();
    for session in &sessions {
        for sequence in 0..4 {
            let job = draft(session, &run, &BTreeMap::new()).to_bytes();
            let body = submission(session, job);
            outcomes.push(stack.say(session, &stack.me, sequence, &body).await);
        }
    }
    let refused = outcomes.iter().filter(|outcome| code(outcome) == "busy");
    assert_eq!(refused.count(), 4, "{outcomes:?}");
    assert_eq!(stack.runtimes().len(), 1);
}

//! Rows 1, 11 and 12: what was said once is said again, altered, or said to somebody else.

use std::collections::BTreeMap;

use mc2_attestation::{Check, Outcome as CheckOutcome};
use mc2_client::session::{Session, SessionError};
use mc2_protocol::{
    Digest,
    documents::{
        control::SessionOpened,
        dsse::Envelope,
        message::{Answer, Approve, Body, MESSAGE_TYPE, Outcome},
    },
    encoding::to_json,
};
use mc2_tests::{
    Lie, Run, RunFailed, Stack, draft, identity,
    messages::{code, forged, public_outcome, sealed, submission},
    release, rng,
};

fn echo() -> Run {
    Run::of("hostile", &["echo", "done"])
}

fn job(session: &Session<'_>) -> Body {
    submission(
        session,
        draft(session, &echo(), &BTreeMap::new()).to_bytes(),
    )
}

fn broken(opened: Result<Session<'_>, RunFailed>) -> Check {
    match opened {
        Ok(_) => panic!("the session was believed"),
        Err(RunFailed::Appraisal(checks)) => checks
            .into_iter()
            .find(|check| check.outcome == CheckOutcome::Failed)
            .expect("a check that failed"),
        Err(other) => panic!("refused elsewhere: {other:?}"),
    }
}

async fn no_job(stack: &Stack, session: &Session<'_>, number: u64) {
    let status = stack
        .remote
        .job_status(session.appraised().digest(), number, 0)
        .await;
    assert!(status.is_err(), "job {number} ran: {status:?}");
}

/// Row 1.
#[tokio::test]
async fn evidence_made_for_another_nonce_is_refused() {
    let (stack, liar) = Stack::lying_to_client().await;
    liar.remember();
    let first = *stack
        .session(&echo())
        .await
        .expect("an honest session")
        .appraised()
        .digest();
    let opening = |asked: &mc2_tests::Asked| asked.path == "/v1/sessions";
    let replayed = liar.recall(opening).remove(0).response;
    liar.lie(Lie::Bytes(replayed.clone()), opening);
    let check = broken(stack.session(&echo()).await);
    assert_eq!(check.what, "report data");
    assert!(check.advice.len() > 10, "{check}");

    // The old evidence beside a new record, and the new evidence beside the old record.
    let old: SessionOpened = serde_json::from_slice(&replayed).expect("a session");
    for swap_record in [false, true] {
        let old = old.clone();
        liar.lie(
            Lie::change(move |_, honest| {
                let mut new: SessionOpened = serde_json::from_slice(&honest).expect("a session");
                if swap_record {
                    new.record = old.record.clone();
                } else {
                    new.evidence = old.evidence.clone();
                }
                serde_json::to_vec(&new).expect("JSON")
            }),
            opening,
        );
        let check = broken(stack.session(&echo()).await);
        assert_eq!(check.what, "report data");
    }
    liar.repent();
    let session = stack.session(&echo()).await.expect("honest again");
    assert_ne!(*session.appraised().digest(), first);
}

/// Row 11.
#[tokio::test]
async fn a_message_relayed_again_is_acted_on_once() {
    let stack = Stack::start().await;
    let session = stack.session(&echo()).await.expect("a session");
    let digest = *session.appraised().digest();
    let key = session.appraised().signing_public_key();
    let (bytes, pending) = sealed(&session, &stack.me, 7, &job(&session));
    let answer = stack
        .deliver(&digest, bytes.clone())
        .await
        .expect("an answer");
    let outcome = pending.open(&answer, &key).expect("the enclave's");
    assert!(
        matches!(outcome, Outcome::Submitted { number: 1 }),
        "{outcome:?}"
    );
    for _ in 0..3 {
        let answer = stack
            .deliver(&digest, bytes.clone())
            .await
            .expect("an answer");
        let outcome = pending.open(&answer, &key).expect("the enclave's");
        assert_eq!(code(&outcome), "replayed");
    }
    no_job(&stack, &session, 2).await;
}

/// Row 11.
#[tokio::test]
async fn numbers_may_come_in_any_order_once_each_and_not_from_long_ago() {
    let stack = Stack::start().await;
    let session = stack.session(&echo()).await.expect("a session");
    let nothing = Body::Approve(Approve::Job(Digest::of(b"none")));
    let taken = async |sequence: u64| {
        let outcome = stack.say(&session, &stack.me, sequence, &nothing).await;
        code(&outcome) != "replayed"
    };
    // One that was left in a queue is taken however far ahead later ones are, and once.
    for (sequence, expected) in [
        (5_000, true),
        (4_990, true),
        (4_990, false),
        (5_000, false),
        (1, true),
        (1, false),
        (1 << 40, true),
        (2, true),
    ] {
        assert_eq!(taken(sequence).await, expected, "{sequence}");
    }
    for sequence in 10_000..11_024 {
        assert!(taken(sequence).await, "{sequence}");
    }
    for (sequence, expected) in [(3, false), (5_000, false), (9_999, false), (11_024, true)] {
        assert_eq!(taken(sequence).await, expected, "{sequence}");
    }
}

/// Row 11.
#[tokio::test]
async fn a_message_to_one_session_says_nothing_in_another() {
    let stack = Stack::start().await;
    let one = stack.session(&echo()).await.expect("a session");
    let policy = one.policy().clone();
    let other = stack
        .session_under(&echo(), policy)
        .await
        .expect("another of the same policy");
    let (bytes, _) = sealed(&one, &stack.me, 1, &job(&one));
    let answer = stack
        .deliver(other.appraised().digest(), bytes.clone())
        .await
        .expect("an answer");
    assert_eq!(code(&public_outcome(&other, &answer)), "unreadable");
    no_job(&stack, &other, 1).await;

    // Sealed to the other session's key, signed for the first.
    let key = other.appraised().hpke_public_key();
    let (bytes, _) = mc2_protocol::documents::message::SealedMessage::seal(
        &job(&one),
        *one.appraised().digest(),
        &key,
        &stack.me,
        1,
        &mut rng(),
    );
    let answer = stack
        .deliver(other.appraised().digest(), bytes)
        .await
        .expect("an answer");
    assert_eq!(code(&public_outcome(&other, &answer)), "unreadable");
    no_job(&stack, &other, 1).await;
}

/// Row 11.
#[tokio::test]
async fn a_key_released_for_one_run_is_good_for_one_run() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["sum", "data"]).input("data", b"some bytes".to_vec());
    let session = stack.session(&run).await.expect("a session");
    let objects = stack
        .release_inputs(&session, &run, 1)
        .await
        .expect("a release");
    let finished = stack.submit(&session, &run, &objects).await.expect("a run");
    assert_eq!(finished.reason(), "succeeded");
    match stack.submit(&session, &run, &objects).await {
        Err(RunFailed::Session(SessionError::Refused { refused, .. })) => {
            assert_eq!(refused.code, "no-key", "{}", refused.message);
        }
        other => panic!("a second run: {other:?}"),
    }
}

/// Row 11.
#[tokio::test]
async fn a_session_s_runs_are_counted() {
    let stack = Stack::start().await;
    let run = echo();
    let policy = run.policy(&stack.me);
    let text = String::from_utf8_lossy(policy.bytes()).replace("runs = 100", "runs = 2");
    let policy = mc2_protocol::policy::Policy::parse(text.as_bytes()).expect("a policy");
    let session = stack.session_under(&run, policy).await.expect("a session");
    for _ in 0..2 {
        let finished = stack
            .submit(&session, &run, &BTreeMap::new())
            .await
            .expect("a run");
        assert_eq!(finished.stdout(), "done\n");
    }
    match stack.submit(&session, &run, &BTreeMap::new()).await {
        Err(RunFailed::Session(SessionError::Refused { refused, .. })) => {
            assert_eq!(refused.code, "runs-spent", "{}", refused.message);
        }
        other => panic!("a third run: {other:?}"),
    }
}

/// Rows 12 and 13: content made by hand, signed by anybody, sealed to this session.
#[tokio::test]
async fn content_that_its_sender_did_not_sign_for_this_session_and_type_is_refused() {
    let stack = Stack::start().await;
    let session = stack.session(&echo()).await.expect("a session");
    let here = *session.appraised().digest();
    let me = stack.me.card().digest().to_string();
    let stranger = identity("me");
    let job = serde_json::to_value(job(&session)).expect("JSON");
    let content = |kind: &str, session: &Digest, sender: &str| {
        let content = serde_json::json!({
            "version": 1, "type": kind, "session": session, "sender": sender, "sequence": 1,
            "body": job,
        });
        content.to_string().into_bytes()
    };
    let good = content("submit", &here, &me);
    let elsewhere = content("submit", &Digest::of(b"another session"), &me);
    let otherwise = content("cancel", &here, &me);
    let theirs = content("submit", &here, &stranger.card().digest().to_string());
    let (mine, other) = (stack.me.signing_key(), stranger.signing_key());
    let forgeries = [
        ("a party's card under another key", &good, other),
        ("a card of no party", &theirs, other),
        ("another's card under an own key", &theirs, mine),
        ("another inner session", &elsewhere, mine),
        ("another inner type", &otherwise, mine),
    ];
    for (what, content, key) in forgeries {
        let envelope = Envelope::sign(MESSAGE_TYPE, content.clone(), key);
        let outcome = forged(&stack, &session, &to_json(&envelope)).await;
        assert_eq!(code(&outcome), "unauthenticated", "{what}: {outcome:?}");
    }
    let envelope = Envelope::sign("application/vnd.in-toto+json", good.clone(), mine);
    let outcome = forged(&stack, &session, &to_json(&envelope)).await;
    assert_eq!(code(&outcome), "unauthenticated", "another payload type");
    no_job(&stack, &session, 1).await;
    // The same by hand and by its sender is a message.
    let envelope = Envelope::sign(MESSAGE_TYPE, good, mine);
    let outcome = forged(&stack, &session, &to_json(&envelope)).await;
    assert!(
        matches!(outcome, Outcome::Submitted { number: 1 }),
        "{outcome:?}"
    );
}

/// Row 20: what a refusal quotes of a message whose sender nobody knows, anybody could have said.
#[tokio::test]
async fn a_refusal_before_the_sender_is_known_quotes_nothing() {
    let stack = Stack::start().await;
    let session = stack.session(&echo()).await.expect("a session");
    let stranger = identity("me");
    let secret = "a-secret-word";
    let envelope = |kind: &str, content: &str| {
        let content = content.as_bytes().to_vec();
        to_json(&Envelope::sign(kind, content, stranger.signing_key()))
    };
    for plaintext in [
        format!("\"{secret}\"").into_bytes(),
        envelope(secret, "{}"),
        envelope(MESSAGE_TYPE, &format!("\"{secret}\"")),
        envelope(MESSAGE_TYPE, &format!("{{\"{secret}\":1}}")),
    ] {
        let outcome = forged(&stack, &session, &plaintext).await;
        assert_eq!(code(&outcome), "unauthenticated", "{outcome:?}");
        assert!(!format!("{outcome:?}").contains(secret), "{outcome:?}");
    }
    // Nor of what does not open, which everybody may read.
    let garbage = format!(r#"{{"version":1,"type":"{secret}","sealed":{{}}}}"#).into_bytes();
    let answer = stack.deliver(session.appraised().digest(), garbage).await;
    let outcome = public_outcome(&session, &answer.expect("an answer"));
    assert_eq!(code(&outcome), "unreadable");
    assert!(!format!("{outcome:?}").contains(secret), "{outcome:?}");
}

/// Row 12.
#[tokio::test]
async fn a_job_altered_on_the_way_is_refused_whichever_bit_it_is() {
    let stack = Stack::start().await;
    let session = stack.session(&echo()).await.expect("a session");
    let digest = *session.appraised().digest();
    let (bytes, pending) = sealed(&session, &stack.me, 3, &job(&session));
    let places = (0..bytes.len().min(80)).chain((80..bytes.len()).step_by(41));
    for place in places.chain([bytes.len() - 1]) {
        let mut altered = bytes.clone();
        altered[place] ^= 1 << (place % 7);
        let answer = stack.deliver(&digest, altered).await.expect("an answer");
        let outcome = public_outcome(&session, &answer);
        assert_eq!(code(&outcome), "unreadable", "byte {place}");
    }
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let answer = stack
            .deliver(&digest, bytes[..length].to_vec())
            .await
            .expect("an answer");
        assert_eq!(
            code(&public_outcome(&session, &answer)),
            "unreadable",
            "cut to {length}"
        );
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    for (from, to) in [
        (r#""type":"submit""#, r#""type":"approve""#),
        (r#""type":"submit""#, r#""type":"submit","type":"submit""#),
        (r#""version":1"#, r#""version":2"#),
        (r#""version":1"#, r#""version":1,"extra":1"#),
    ] {
        assert!(text.contains(from), "{from}");
        let altered = text.replace(from, to).into_bytes();
        let answer = stack.deliver(&digest, altered).await.expect("an answer");
        assert_eq!(
            code(&public_outcome(&session, &answer)),
            "unreadable",
            "{to}"
        );
    }
    no_job(&stack, &session, 1).await;
    // None of it used up the number.
    let answer = stack.deliver(&digest, bytes).await.expect("an answer");
    let outcome = pending.open(&answer, &session.appraised().signing_public_key());
    assert!(
        matches!(outcome, Ok(Outcome::Submitted { number: 1 })),
        "{outcome:?}"
    );
}

/// Row 12.
#[tokio::test]
async fn an_answer_that_is_not_the_enclave_s_to_this_message_is_not_believed() {
    let (stack, liar) = Stack::lying_to_client().await;
    let run = Run::of("hostile", &["sum", "data"]).input("data", b"some bytes".to_vec());
    let session = stack.session(&run).await.expect("a session");
    liar.remember();
    stack
        .release_inputs(&session, &run, 1)
        .await
        .expect("a release");
    let messages = |asked: &mc2_tests::Asked| asked.path.ends_with("/messages");
    let older = liar.recall(messages).remove(0).response;
    let uploaded = stack.seal("data", b"some bytes").await;
    let lies = [
        Lie::Bytes(older),
        Lie::Flip(15),
        Lie::Flip(-40),
        Lie::Cut(1),
        Lie::Bytes(r#"{"sealed":"AAAA"}"#.into()),
        Lie::Bytes("{}".into()),
        Lie::Bytes(r#""released""#.into()),
        Lie::Status(204),
    ];
    for lie in lies {
        let what = format!("{lie:?}");
        liar.lie(lie, messages);
        let keys = vec![release("data", &uploaded, 1)];
        let now = std::time::SystemTime::now();
        let answer = session.release(&stack.me, &stack.ledger, keys, now).await;
        match answer {
            Err(SessionError::Answer { .. } | SessionError::Remote(_)) => {}
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(liar.lies(), 1, "{what}: a release is sent once");
    }
}

/// Row 12.
#[tokio::test]
async fn a_forged_answer_is_told_from_the_enclave_s() {
    let stack = Stack::start().await;
    let session = stack.session(&echo()).await.expect("a session");
    let (_, pending) = sealed(&session, &stack.me, 1, &job(&session));
    let forger = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let outcome = Outcome::Submitted { number: 1 };
    let forged = Answer::new(
        outcome,
        *session.appraised().digest(),
        Digest::of(b"the message"),
        &forger,
        None,
        &mut rng(),
    );
    assert!(
        pending
            .open(&forged, &session.appraised().signing_public_key())
            .is_err()
    );
}

//! Row 38: who may open a session. A card the policy names signs every opening over the process's
//! own challenge, and until that is checked nothing is fetched and nothing compiled.

use http::StatusCode;
use mc2_client::{http::HttpError, remote::RemoteError};
use mc2_protocol::{
    Digest, Identity,
    documents::control::{Challenge, OpenSession},
    encoding::Hex,
    policy::Policy,
};
use mc2_tests::{Asked, Lie, RawRuntime, Run, RunFailed, Stack, identity, policy_of};

const NONCE: Hex<32> = Hex([3; 32]);

/// Makes another opening of one, with a stranger's identity and another policy at hand.
type Change = fn(OpenSession, &Identity, &[u8]) -> OpenSession;

fn echo() -> Run {
    Run::of("hostile", &["echo", "done"])
}

/// A runtime that can have the component.
async fn runtime() -> RawRuntime {
    RawRuntime::serving("hostile").await.0
}

async fn refused(runtime: &RawRuntime, open: &OpenSession) -> String {
    match runtime.replay(open).await {
        Ok(_) => panic!("a session"),
        Err((status, problem)) => {
            assert!(
                [StatusCode::FORBIDDEN, StatusCode::CONFLICT].contains(&status),
                "{status}: {}",
                problem.detail
            );
            problem.code
        }
    }
}

/// Row 38.
#[tokio::test]
async fn a_recorded_opening_is_refused_by_its_own_process_and_by_every_other() {
    let (here, there) = (runtime().await, runtime().await);
    let me = identity("me");
    let policy = echo().policy(&me);
    let challenge = here.challenge(policy.bytes()).await.expect("a challenge");
    let open = OpenSession::sign(policy.bytes(), NONCE, challenge, &me);
    assert_eq!(refused(&there, &open).await, "unknown-challenge");
    here.replay(&open).await.expect("a session");
    for _ in 0..3 {
        assert_eq!(refused(&here, &open).await, "unknown-challenge");
    }
    // The other process's challenge in its place is not what was signed, and is used up.
    let other = there.challenge(policy.bytes()).await.expect("a challenge");
    let moved = OpenSession {
        challenge: other,
        ..open
    };
    assert_eq!(refused(&there, &moved).await, "not-the-opener");
    let late = OpenSession::sign(policy.bytes(), NONCE, other, &me);
    assert_eq!(refused(&there, &late).await, "unknown-challenge");
}

/// Row 38.
#[tokio::test]
async fn nobody_opens_a_session_in_another_s_name() {
    let runtime = runtime().await;
    let (victim, stranger) = (identity("me"), identity("me"));
    let policy = echo().policy(&victim);
    let longer = [policy.bytes(), b"\n"].concat();
    let cases: [(&str, Change); 6] = [
        ("a stranger's key", |open, stranger, _| {
            let theirs =
                OpenSession::sign(open.policy.as_slice(), open.nonce, open.challenge, stranger);
            OpenSession {
                signature: theirs.signature,
                ..open
            }
        }),
        ("a card the policy does not name", |open, stranger, _| {
            OpenSession::sign(open.policy.as_slice(), open.nonce, open.challenge, stranger)
        }),
        ("another nonce", |open, _, _| OpenSession {
            nonce: Hex([4; 32]),
            ..open
        }),
        ("another policy", |open, _, longer| OpenSession {
            policy: longer.into(),
            ..open
        }),
        ("no signature", |open, _, _| OpenSession {
            signature: Hex([0; 64]),
            ..open
        }),
        ("a flipped bit", |mut open, _, _| {
            open.signature.0[40] ^= 1;
            open
        }),
    ];
    for (what, change) in cases {
        let challenge: Challenge = runtime
            .challenge(policy.bytes())
            .await
            .expect("a challenge");
        let open = OpenSession::sign(policy.bytes(), NONCE, challenge, &victim);
        let open = change(open, &stranger, &longer);
        assert_eq!(refused(&runtime, &open).await, "not-the-opener", "{what}");
    }
    // None of it took the process for anybody.
    let other = echo().policy(&stranger);
    runtime
        .open(other.bytes(), NONCE, &stranger)
        .await
        .expect("a session of the stranger's own");
}

/// Row 38: a host that puts a component of its own beside the victim's.
#[tokio::test]
async fn nothing_of_a_stranger_s_is_fetched_before_the_signature_is_checked() {
    let (stack, liar) = Stack::lying_to_runtime().await;
    stack.session(&echo()).await.expect("the tenant's session");
    let planted = stack.component("conformance").await;
    liar.remember();
    let stranger = identity("host");
    let job = r#"
submit = ["me"]
runs = 1
limits = { memory = "64MiB", time = "1min", output = "1MiB" }
[[job.step]]
component = "workload"
args = "any"
"#;
    let policy = policy_of(&[&stack.me], &planted, &[], job);
    match stack.session_of(&stranger, policy).await {
        Err(RunFailed::Remote(RemoteError::Http(HttpError::Refused {
            status: 403,
            problem,
            ..
        }))) => assert_eq!(problem.code, "not-the-opener"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a session"),
    }
    let fetched = liar.recall(|asked| asked.path.starts_with("/v1/components/"));
    assert!(fetched.is_empty(), "{fetched:?}");
}

/// Row 38: every party of a policy may open its sessions.
#[tokio::test]
async fn each_party_of_a_policy_may_open_its_session_and_ask_for_evidence_of_it() {
    let (runtime, component) = RawRuntime::serving("hostile").await;
    let (one, two) = (identity("one"), identity("two"));
    let job = r#"
submit = ["one"]
approve = { who = "all", when = "session" }
errors = "full"
runs = 1
limits = { memory = "64MiB", time = "1min", output = "1MiB" }
[[job.step]]
component = "workload"
args = "any"
padding = "power-of-two"
"#;
    let policy: Policy = policy_of(&[&one, &two], &component, &[], job);
    for opener in [&one, &two] {
        let opened = runtime
            .open(policy.bytes(), NONCE, opener)
            .await
            .expect("a session");
        let session = Digest::of(opened.record.as_slice());
        let path = mc2_wire::routes::evidence_path(&session);
        let ask = format!(r#"{{"nonce":"{}"}}"#, "ab".repeat(32));
        let (status, again) = runtime.ask(http::Method::POST, &path, ask).await;
        assert_eq!(status, StatusCode::OK);
        let again: mc2_protocol::documents::control::SessionOpened =
            serde_json::from_slice(&again).expect("evidence");
        assert_eq!(again.record, opened.record);
        assert_ne!(again.evidence, opened.evidence);
    }
}

/// Row 38: a host can keep a client from opening, and not make it ask for ever.
#[tokio::test]
async fn a_client_whose_challenges_are_never_known_gives_up() {
    let (stack, liar) = Stack::lying_to_client().await;
    let challenge = format!(r#"{{"challenge":"{}"}}"#, "ab".repeat(32));
    liar.lie(Lie::Bytes(challenge.into()), |asked: &Asked| {
        asked.path == "/v1/challenges"
    });
    match stack.session(&echo()).await {
        Err(RunFailed::Remote(RemoteError::Http(error))) => {
            assert_eq!(error.code(), Some("unknown-challenge"), "{error}");
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a session"),
    }
    assert!(liar.lies() <= 20, "asked {} times", liar.lies());
}

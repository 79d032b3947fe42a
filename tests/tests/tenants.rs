//! Row 33: one tenant has a process for its life, and strangers have no say in its sessions.

use std::collections::BTreeMap;

use mc2_attestation::{AppraisalInput, Purpose, UnixSeconds, appraise};
use mc2_protocol::{
    documents::message::{Approve, Body, Cancel, Outcome},
    encoding::Hex,
};
use mc2_tests::{
    RawRuntime, Run, Stack, draft, identity,
    messages::{code, submission},
    now, policy_of, release,
};

const JOB: &str = r#"
submit = ["one"]
approve = { who = "all", when = "session" }
errors = "full"
runs = 1
limits = { memory = "64MiB", time = "1min", output = "1MiB" }
[[job.step]]
component = "workload"
args = "any"
"#;

/// Row 33.
#[tokio::test]
async fn a_process_refuses_everybody_but_its_first_tenant() {
    let (runtime, digest) = RawRuntime::serving("hostile").await;
    let run = Run::of("hostile", &["echo"]);
    let (tenant, stranger) = (identity("one"), identity("two"));
    let nonce = Hex([3; 32]);
    let policy = run.policy(&tenant);
    let opened = runtime
        .open(policy.bytes(), nonce, &tenant)
        .await
        .expect("a session");
    let trust = runtime.trust();
    let appraisal = appraise(&AppraisalInput {
        evidence: &opened.evidence,
        endorsements: &[],
        record_bytes: opened.record.as_slice(),
        nonce: &nonce,
        policy_bytes: policy.bytes(),
        expected_components: None,
        trust: &trust,
        allow_simulated: true,
        purpose: Purpose::Release,
        now: UnixSeconds(now()),
    });
    assert!(appraisal.is_accepted(), "{:?}", appraisal.checks);

    // The stranger alone, and the tenant in the stranger's company.
    let company = policy_of(&[&tenant, &stranger], &digest, &[], JOB);
    for policy in [run.policy(&stranger), company] {
        let (status, problem) = runtime
            .open(policy.bytes(), nonce, &stranger)
            .await
            .expect_err("a stranger's session");
        assert_eq!((status.as_u16(), &*problem.code), (409, "other-tenant"));
        assert!(
            problem.detail.contains("another process"),
            "{}",
            problem.detail
        );
    }
    // The tenant's own next policy is the same tenant's.
    let next = run.clone().scratch(1 << 20).policy(&tenant);
    assert_ne!(next.digest(), policy.digest());
    runtime
        .open(next.bytes(), nonce, &tenant)
        .await
        .expect("a second policy of one party");
}

/// Row 33.
#[tokio::test]
async fn a_policy_of_several_parties_has_a_process_to_itself() {
    let (runtime, digest) = RawRuntime::serving("hostile").await;
    let run = Run::of("hostile", &["echo"]);
    let (one, two) = (identity("one"), identity("two"));
    let nonce = Hex([3; 32]);
    let policy = policy_of(&[&one, &two], &digest, &[], JOB);
    runtime
        .open(policy.bytes(), nonce, &one)
        .await
        .expect("a session");
    runtime
        .open(policy.bytes(), nonce, &two)
        .await
        .expect("another session of the same policy");
    let other = policy_of(
        &[&one, &two],
        &digest,
        &[],
        &JOB.replace("runs = 1", "runs = 2"),
    );
    for policy in [other, run.policy(&one)] {
        let (_, problem) = runtime
            .open(policy.bytes(), nonce, &one)
            .await
            .expect_err("a session");
        assert_eq!(problem.code, "other-tenant");
    }
}

/// Row 33.
#[tokio::test]
async fn the_host_starts_another_process_for_another_tenant() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["echo", "mine"]);
    let mine = stack.session(&run).await.expect("a session");
    let first = stack.runtimes();
    assert_eq!(first.len(), 1);
    let stranger = identity("two");
    let theirs = stack
        .session_of(&stranger, run.policy(&stranger))
        .await
        .expect("a session");
    let both = stack.runtimes();
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(both.contains(&first[0]));
    let nothing = BTreeMap::new();
    let job = draft(&theirs, &run, &nothing);
    let (mine, theirs) = tokio::join!(
        stack.submit(&mine, &run, &nothing),
        stack.submit_job(&theirs, &stranger, &job),
    );
    assert_eq!(mine.expect("a receipt").stdout(), "mine\n");
    assert_eq!(theirs.expect("a receipt").stdout(), "mine\n");
}

/// Row 33.
#[tokio::test]
async fn a_stranger_s_messages_to_a_session_do_nothing() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["sum", "data"]).input("data", b"mine".to_vec());
    let session = stack.session(&run).await.expect("a session");
    let objects = stack
        .release_inputs(&session, &run, 1)
        .await
        .expect("a release");
    // Of the same name, too.
    for stranger in [identity("stranger"), identity("me")] {
        let job = draft(&session, &run, &objects).to_bytes();
        let uploaded = stack.seal("data", b"theirs").await;
        let bodies = [
            submission(&session, job),
            Body::Approve(Approve::Policy(*session.policy().digest())),
            Body::Cancel(Cancel { number: 1 }),
            Body::Release(release("data", &uploaded, 1)),
        ];
        for (sequence, body) in bodies.iter().enumerate() {
            let outcome = stack
                .say(&session, &stranger, sequence as u64 + 1, body)
                .await;
            assert_eq!(code(&outcome), "unauthenticated", "{outcome:?}");
        }
    }
    let job = draft(&session, &run, &objects).to_bytes();
    let outcome = stack
        .say(&session, &stack.me, 1 << 52, &submission(&session, job))
        .await;
    assert!(
        matches!(outcome, Outcome::Submitted { number: 1 }),
        "{outcome:?}"
    );
}

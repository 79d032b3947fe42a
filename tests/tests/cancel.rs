//! Stopping jobs: who may, and what is left of one that was.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use mc2_client::{
    http::{HttpError, Request},
    session::SessionError,
};
use mc2_protocol::{
    documents::{
        message::{Body, Cancel, JobPhase},
        record::session_digest,
    },
    encoding::Hex,
};
use mc2_tests::{RawRuntime, Run, Stack, draft, identity, messages::code, policy_of};
use mc2_wire::routes::job_path;

#[tokio::test]
async fn a_cancelled_job_ends_as_such_and_releases_nothing() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["slow-write", "1000"]).output("result");
    let session = stack.session(&run).await.expect("a session");
    for arguments in [&["slow-write", "1000"][..], &["loop"], &["sleep", "1000"]] {
        let run = Run {
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
            ..run.clone()
        };
        let job = draft(&session, &run, &BTreeMap::new());
        let running = session.submit(&stack.me, &job).await.expect("a job");
        running.cancel(&stack.me).await.expect("it is stopped");
        let finished = stack
            .finish(&session, &stack.me, &running)
            .await
            .expect("a receipt");
        assert_eq!(finished.reason(), "cancelled", "{arguments:?}");
        assert!(!finished.outputs.contains_key("result"), "{arguments:?}");
        // Once more is no error.
        running.cancel(&stack.me).await.expect("it had ended");
    }
    let good = Run::of("hostile", &["overwrite"]).output("result");
    let finished = stack
        .submit(&session, &good, &BTreeMap::new())
        .await
        .expect("a receipt");
    assert_eq!(finished.reason(), "succeeded");
}

#[tokio::test]
async fn stopping_one_job_leaves_the_others_alone() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["sleep", "1000"]);
    let session = stack.session(&run).await.expect("a session");
    let job = draft(&session, &run, &BTreeMap::new());
    let first = session.submit(&stack.me, &job).await.expect("a job");
    let short = Run::of("hostile", &["sleep", "0.5"]);
    let job = draft(&session, &short, &BTreeMap::new());
    let second = session.submit(&stack.me, &job).await.expect("a job");
    first.cancel(&stack.me).await.expect("it is stopped");
    let second = stack
        .finish(&session, &stack.me, &second)
        .await
        .expect("a receipt");
    assert_eq!(second.stdout(), "slept 0.5 s\n");
    let first = stack
        .finish(&session, &stack.me, &first)
        .await
        .expect("a receipt");
    assert_eq!(first.reason(), "cancelled");
}

/// Row 12.
#[tokio::test]
async fn nobody_stops_a_job_by_asking_the_host_or_the_runtime() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["sleep", "2"]);
    let session = stack.session(&run).await.expect("a session");
    let job = draft(&session, &run, &BTreeMap::new());
    let running = session.submit(&stack.me, &job).await.expect("a job");
    let path = job_path(session.appraised().digest(), running.number);
    match stack.http().send(&Request::delete(path)).await {
        Err(HttpError::Refused { status: 405, .. }) => {}
        other => panic!("{other:?}"),
    }
    let finished = stack
        .finish(&session, &stack.me, &running)
        .await
        .expect("a receipt");
    assert_eq!(finished.stdout(), "slept 2 s\n");
}

/// Row 12: a host that asks the runtime itself.
#[tokio::test]
async fn a_runtime_takes_no_word_of_its_host_s_to_stop_a_job() {
    let (runtime, _) = RawRuntime::serving("hostile").await;
    let run = Run::of("hostile", &["sleep", "1"]);
    let me = identity("me");
    let nonce = Hex([3; 32]);
    let policy = run.policy(&me);
    let opened = runtime
        .open(policy.bytes(), nonce, &me)
        .await
        .expect("a session");
    let session = session_digest(opened.record.as_slice());
    for method in [Method::DELETE, Method::POST, Method::PUT, Method::PATCH] {
        for path in [
            job_path(&session, 1),
            format!("{}/cancel", job_path(&session, 1)),
            format!("/v1/sessions/{session}"),
        ] {
            let (status, _) = runtime.ask(method.clone(), &path, "").await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn only_a_job_s_submitter_may_stop_it() {
    let stack = Stack::start().await;
    let you = identity("you");
    let run = Run::of("hostile", &["sleep", "1000"]);
    let component = stack.component("hostile").await;
    let policy = policy_of(
        &[&stack.me, &you],
        &component,
        &[],
        r#"
submit = ["me", "you"]
approve = { who = ["you"], when = "session" }
errors = "full"
runs = 5
limits = { memory = "64MiB", time = "10min", output = "1MiB" }
[[job.step]]
component = "workload"
args = "any"
padding = "power-of-two"
outputs = { stdout = ["me"] }
"#,
    );
    let session = stack.approved(policy, &[&you]).await;
    let job = draft(&session, &run, &BTreeMap::new());
    let running = session.submit(&stack.me, &job).await.expect("a job");
    match running.cancel(&you).await {
        Err(SessionError::Refused { refused, .. }) => assert_eq!(refused.code, "not-submitter"),
        other => panic!("{other:?}"),
    }
    let stranger = identity("me");
    let cancel = Body::Cancel(Cancel {
        number: running.number,
    });
    let outcome = stack.say(&session, &stranger, 1, &cancel).await;
    assert_eq!(code(&outcome), "unauthenticated");
    let status = session.status(&stack.me).await.expect("a status");
    assert!(matches!(status.jobs[0].state, JobPhase::Running));
    running.cancel(&stack.me).await.expect("it is stopped");
    let finished = stack
        .finish(&session, &stack.me, &running)
        .await
        .expect("a receipt");
    assert_eq!(finished.reason(), "cancelled");
}

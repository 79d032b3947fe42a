//! Row 42: a run is spent when it starts, so what came of it must be had: kept sealed by the
//! runtime until the host has stored it, whatever befalls the host; and where the runtime's
//! process ended, the client is told that the result is lost.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use mc2_client::{http::Request, session::SessionError};
use mc2_protocol::{
    Digest,
    documents::{
        control::JobState,
        message::{Body, Outcome, Submit},
        receipt::{Evidence, Status},
        storage::JobStatus,
    },
};
use mc2_tests::{Apart, Asked, Lie, Run, Stack, draft, messages::code, process, release};
use mc2_wire::routes::job_path;

/// More than any of these tests waits for.
const HANGS: Duration = Duration::from_secs(240);

fn is_receipt(asked: &Asked) -> bool {
    asked.method == "PUT" && asked.path.ends_with("/receipt")
}

async fn until(what: &str, done: impl AsyncFnMut() -> bool) {
    process::until(HANGS, what, done).await;
}

/// Whether the host says at this moment that the job is done.
async fn is_done(stack: &Stack, session: &Digest, number: u64) -> bool {
    let call = Request::get(job_path(session, number), 1 << 20);
    let Ok(answer) = stack.http().send(&call).await else {
        return false;
    };
    let status: JobStatus = serde_json::from_slice(&answer.body).expect("a status");
    status.state == JobState::Done
}

#[tokio::test]
async fn a_host_that_refuses_receipts_for_a_while_gets_them_in_the_end() {
    let (stack, liar) = Stack::lying_to_runtime().await;
    let run = Run::of("hostile", &["echo", "kept"]);
    let session = stack.session(&run).await.expect("a session");
    let digest = *session.appraised().digest();
    for (number, lie) in (1..).zip([Lie::Status(507), Lie::Status(404), Lie::Silent, Lie::Break]) {
        let what = format!("{lie:?}");
        let broken = matches!(lie, Lie::Break);
        liar.lie(lie, is_receipt);
        let job = draft(&session, &run, &BTreeMap::new());
        let running = session.submit(&stack.me, &job).await.expect("a job");
        assert_eq!(running.number, number);
        until(&what, async || liar.lies() >= 1).await;
        // It can be had meanwhile: the host asks the runtime for it.
        let mut receipt = None;
        until("a receipt", async || {
            receipt = running.receipt(&stack.me).await.ok();
            receipt.is_some()
        })
        .await;
        if !broken {
            assert!(!is_done(&stack, &digest, number).await, "{what}");
        }
        liar.repent();
        until("it is stored", async || {
            is_done(&stack, &digest, number).await
        })
        .await;
        let stored = running.receipt(&stack.me).await.expect("the stored one");
        assert_eq!(Some(stored), receipt, "{what}");
        let finished = stack.finish(&session, &stack.me, &running).await;
        assert_eq!(finished.expect("a receipt").stdout(), "kept\n");
    }
}

#[tokio::test]
async fn a_host_that_refuses_outputs_for_a_while_gets_them_in_the_end() {
    let (stack, liar) = Stack::lying_to_runtime().await;
    let data = vec![7; 3_000_000];
    let run = Run::of("hostile", &["copy", "data", "result"])
        .input("data", data.clone())
        .output("result");
    let session = stack.session(&run).await.expect("a session");
    let objects = stack.release_inputs(&session, &run, 9).await.expect("keys");
    let places: [fn(&Asked) -> bool; 2] = [
        |asked| asked.is("PUT", "/v1/uploads/"),
        |asked| asked.path.ends_with("/commit"),
    ];
    for place in places {
        // More often than a request is tried at once.
        let left = AtomicUsize::new(10);
        liar.tell(move |asked| {
            let refuses = place(asked)
                && left
                    .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                        left.checked_sub(1)
                    })
                    .is_ok();
            refuses.then_some(Lie::Status(507))
        });
        let finished = stack
            .submit(&session, &run, &objects)
            .await
            .expect("a receipt");
        assert_eq!((finished.reason(), liar.lies()), ("succeeded", 10));
        assert!(finished.outputs["result"] == data);
    }
}

#[tokio::test]
async fn what_waits_is_bounded_and_jobs_beyond_are_refused_by_name_and_not_spent() {
    let (stack, liar) = Stack::lying_to_runtime().await;
    let run = Run::of("hostile", &["echo", "kept"]);
    let session = stack.session(&run).await.expect("a session");
    let digest = *session.appraised().digest();
    liar.lie(Lie::Status(507), is_receipt);
    // Receipts of nearly 4 MB each.
    let endorsement = Evidence {
        media_type: "application/vnd.example".into(),
        value: vec![0x55; 256 * 1024].into(),
    };
    let mut sequence = 0;
    let mut submit = async || {
        sequence += 1;
        let body = Body::Submit(Submit {
            job: draft(&session, &run, &BTreeMap::new()).to_bytes().into(),
            nonce: *session.nonce(),
            endorsements: vec![endorsement.clone(); 6],
        });
        stack.say(&session, &stack.me, sequence, &body).await
    };
    let mut taken = 0;
    loop {
        match submit().await {
            Outcome::Submitted { number } => {
                taken += 1;
                assert_eq!(number, taken);
            }
            outcome if code(&outcome) == "busy" => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            outcome => {
                assert_eq!(code(&outcome), "receipts-waiting", "{outcome:?}");
                break;
            }
        }
    }
    assert!(
        (10..=18).contains(&taken),
        "{taken} receipts of 4 MB waited"
    );
    liar.repent();
    for number in 1..=taken {
        until("it is stored", async || {
            is_done(&stack, &digest, number).await
        })
        .await;
    }
    until("there is room again", async || match submit().await {
        // The refusal spent nothing.
        Outcome::Submitted { number } => number == taken + 1,
        _ => false,
    })
    .await;
}

#[tokio::test]
async fn a_host_killed_and_started_again_gets_the_receipt_of_the_job_it_left() {
    let apart = Apart::start();
    let run = Run::of("hostile", &["sleep", "4"]);
    // Its own connection, because the test's stays with the session.
    let (digest, number, job) = {
        let session = apart.session(&run).await;
        let job = draft(&session, &run, &BTreeMap::new());
        let running = session.submit(&apart.me, &job).await.expect("a job");
        let digest = *session.appraised().digest();
        (digest, running.number, running.job)
    };
    let state = async |apart: &Apart| apart.state(&digest, number).await;
    until("it is known", async || state(&apart).await.is_some()).await;
    apart.kill_host();
    // It ends while there is no host.
    tokio::time::sleep(Duration::from_secs(5)).await;
    apart.start_host();
    until("it is stored", async || {
        state(&apart).await == Some(JobState::Done)
    })
    .await;
    let sealed = apart
        .remote
        .receipt(&digest, number)
        .await
        .expect("the receipt");
    let envelope = sealed.open(&digest, &apart.me).expect("it opens");
    let payload = String::from_utf8_lossy(envelope.payload.as_slice()).into_owned();
    assert!(payload.contains(&job.to_string()), "another job's receipt");
    let sealed = apart.sealed_receipt(&digest, number).await;
    assert!(apart.host_keeps(&sealed));
}

#[tokio::test]
async fn a_job_whose_runtime_ended_with_the_host_is_lost_and_said_to_be() {
    let apart = Apart::start();
    let run = Run::of("hostile", &["sleep", "100"]);
    let (digest, number) = {
        let session = apart.session(&run).await;
        let job = draft(&session, &run, &BTreeMap::new());
        let running = session.submit(&apart.me, &job).await.expect("a job");
        (*session.appraised().digest(), running.number)
    };
    let state = async |apart: &Apart| apart.state(&digest, number).await;
    until("it runs", async || {
        state(&apart).await == Some(JobState::Running)
    })
    .await;
    apart.kill_host();
    apart.kill_runtime();
    apart.start_host();
    until("it is lost", async || {
        state(&apart).await == Some(JobState::Lost)
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_loses_neither_receipt_nor_result() {
    let apart = Apart::start();
    let run = Run::of("hostile", &["echo", "kept"]);
    let session = apart.session(&run).await;
    let digest = *session.appraised().digest();
    // Room for what the job says, not for its receipt.
    apart.limit_files(Some(4096));
    let job = draft(&session, &run, &BTreeMap::new());
    let running = session.submit(&apart.me, &job).await.expect("a job");
    assert_eq!(
        running.wait(&apart.me, |_| ()).await.expect("its end"),
        JobState::Done
    );
    let sealed = apart.sealed_receipt(&digest, 1).await;
    assert!(!apart.host_keeps(&sealed), "the disk was not full");
    let verified = apart.receipt(&session, &running).await;
    assert_eq!(verified.receipt.status, Status::Succeeded);
    apart.limit_files(None);
    until("it is stored", async || apart.host_keeps(&sealed)).await;
    let again = apart.receipt(&session, &running).await;
    assert_eq!(again.receipt.job, verified.receipt.job);
}

#[tokio::test]
async fn a_disk_that_is_full_for_a_while_costs_a_job_nothing_and_for_ever_its_outputs_alone() {
    let apart = Apart::start();
    let data = vec![9; 200_000];
    let run = Run::of("hostile", &["copy", "data", "result"])
        .input("data", data.clone())
        .output("result");
    let session = apart.session(&run).await;
    let digest = *session.appraised().digest();
    let plain = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(plain.path(), &data).expect("a file");
    let source = mc2_client::seal::source::Source::scan(plain.path()).expect("a source");
    let uploaded = apart
        .remote
        .upload(
            std::sync::Arc::new(source),
            &mc2_tests::parse("data"),
            apart.me.card(),
            std::sync::Arc::new(|_| ()),
        )
        .await
        .expect("an upload");
    let keys = vec![release("data", &uploaded, 2)];
    let now = std::time::SystemTime::now();
    let released = session.release(&apart.me, &apart.ledger, keys, now).await;
    released.expect("a release");
    let objects = BTreeMap::from([(mc2_tests::parse("data"), uploaded.object)]);

    apart.limit_files(Some(4096));
    let job = draft(&session, &run, &objects);
    let running = session.submit(&apart.me, &job).await.expect("a job");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(apart.state(&digest, 1).await, Some(JobState::Running));
    apart.limit_files(None);
    assert_eq!(
        running.wait(&apart.me, |_| ()).await.expect("its end"),
        JobState::Done
    );
    let receipt = apart.receipt(&session, &running).await.receipt;
    assert!(receipt.outputs.iter().any(|output| output.name == "result"));

    apart.limit_files(Some(4096));
    let job = draft(&session, &run, &objects);
    let running = session.submit(&apart.me, &job).await.expect("a job");
    let ended = running.wait(&apart.me, |_| ()).await.expect("its end");
    assert_eq!(ended, JobState::Failed);
    match apart.receipt(&session, &running).await.receipt.status {
        Status::Failed { reason, .. } => assert_eq!(reason, "output-unavailable"),
        Status::Succeeded => panic!("the outputs were stored"),
    }
}

#[tokio::test]
async fn a_wait_has_an_end_and_says_what_is_known() {
    let (stack, liar) = Stack::lying_to_client().await;
    let run = Run::of("hostile", &["echo", "done long ago"]);
    let session = stack.session(&run).await.expect("a session");
    let job = draft(&session, &run, &BTreeMap::new());
    let mut running = session.submit(&stack.me, &job).await.expect("a job");
    assert!(
        running.patience > Duration::from_secs(60),
        "the policy's minute"
    );
    running.patience = Duration::from_millis(1500);
    let is_status = |asked: &Asked| {
        asked.method == "GET" && asked.path.contains("/jobs/") && !asked.path.ends_with("/receipt")
    };
    for lie in [
        Lie::Bytes(br#"{"state":"running","events":[],"next":0}"#.as_slice().into()),
        Lie::Silent,
        Lie::Status(503),
    ] {
        let what = format!("{lie:?}");
        liar.lie(lie, is_status);
        let waited = tokio::time::timeout(HANGS, running.wait(&stack.me, |_| ())).await;
        let error = waited.expect("it waits for ever").expect_err("no end");
        assert!(
            matches!(error, SessionError::WaitedOut { .. }),
            "{what}: {error:?}"
        );
        let text = error.to_string();
        let session = session.appraised().digest().to_string();
        for known in ["run is spent", "job 1", session.as_str()] {
            assert!(text.contains(known), "{text}");
        }
    }
    liar.repent();
    running.patience = HANGS;
    assert_eq!(
        running.wait(&stack.me, |_| ()).await.expect("its end"),
        JobState::Done
    );
}

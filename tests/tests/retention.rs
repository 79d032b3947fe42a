//! What a host removes, and what it refuses to take: never what an open session, a job or an upload
//! on its way needs, however often it looks and however short a time things are kept.

use std::{
    collections::BTreeMap,
    fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mc2_client::{
    http::{HttpError, Request},
    seal::source::Source,
};
use mc2_host::{HostConfig, Quota, Retention};
use mc2_protocol::{Digest, documents::control::JobState, encoding::Hex};
use mc2_tests::{Apart, Run, Stack, StackOptions, draft, parse, process, release};
use mc2_wire::routes::{manifest_path, receipt_path, upload_file_path};
use tempfile::TempDir;

const HANGS: Duration = Duration::from_secs(120);

async fn until(what: &str, done: impl AsyncFnMut() -> bool) {
    process::until(HANGS, what, done).await;
}

/// Everything that may go goes at once.
fn greedy(config: &mut HostConfig) {
    config.retention = Retention {
        every: Duration::from_millis(5),
        // They go with their sessions: a client asks for its receipt after its job has ended.
        receipts: None,
        sessions: Some(Duration::ZERO),
        objects: Some(Duration::ZERO),
        // One is stored a moment before the session that needs it is opened.
        components: Some(Duration::from_secs(60)),
        ..Retention::default()
    };
}

async fn code(stack: &Stack, path: String) -> Option<String> {
    match stack.http().send(&Request::get(path, 1 << 22)).await {
        Ok(_) => None,
        Err(error) => Some(error.code().expect("a code").to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_needed_is_removed_under_jobs_and_all_of_it_afterwards() {
    let stack = Stack::with(StackOptions {
        configure: Some(greedy),
        ..Default::default()
    })
    .await;
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let run = Run::of("hostile", &["copy", "data", "result"])
        .input("data", data.clone())
        .output("result");
    let session = stack.session(&run).await.expect("a session");
    let digest = *session.appraised().digest();
    let objects = stack.release_inputs(&session, &run, 8).await.expect("keys");
    let mut finished = Vec::new();
    for _ in 0..8 {
        let job = stack.submit(&session, &run, &objects).await;
        let job = job.expect("a receipt");
        assert!(job.outputs["result"] == data);
        finished.push(job);
    }
    // Results stay while their session is open.
    for job in &finished {
        let outputs = stack.open_outputs(&job.receipt, &digest, &stack.me).await;
        assert!(outputs.expect("outputs")["result"] == data);
    }
    // So does what is stored while others go.
    let mut stored = Vec::new();
    for _ in 0..20 {
        stored.push(stack.seal("data", &[7; 1000]).await.object);
    }
    for object in &stored {
        assert_eq!(code(&stack, manifest_path(object)).await, None);
    }
    // What no open session may need goes.
    let other = stack.seal("other", &[7; 1000]).await.object;
    until("an object that nobody needs is gone", async || {
        code(&stack, manifest_path(&other)).await.as_deref() == Some("not-found")
    })
    .await;

    // An upload on its way is nobody's object yet, and stays.
    let part = Request::put(upload_file_path(&Hex([9; 16]), 0, 0), vec![7; 100_000]);
    stack.http().send(&part).await.expect("a part");
    let [pid] = stack.runtimes().try_into().expect("one runtime");
    process::kill(pid);
    until("the session is forgotten", async || {
        let receipt = code(&stack, receipt_path(&digest, 1)).await;
        receipt.as_deref() == Some("unknown-session")
    })
    .await;
    let mut all: Vec<Digest> = objects.values().copied().collect();
    let outputs = finished.iter().flat_map(|job| &job.receipt.outputs);
    all.extend(outputs.map(|output| output.object));
    all.extend(stored);
    for object in all {
        until("an object of the session is gone", async || {
            code(&stack, manifest_path(&object)).await.is_some()
        })
        .await;
    }
    let left = fs::read_dir(stack.host_folder().join("objects")).expect("a folder");
    assert_eq!(left.count(), 0);
    let part = format!("uploads/{}/files/0", Hex([9; 16]));
    assert!(stack.host_folder().join(part).exists());
}

#[tokio::test]
async fn a_receipt_that_is_old_enough_goes_with_its_job_in_a_session_that_is_open() {
    let stack = Stack::with(StackOptions {
        configure: Some(|config| {
            config.retention.every = Duration::from_millis(20);
            // Time enough to fetch it.
            config.retention.receipts = Some(Duration::from_secs(5));
        }),
        ..Default::default()
    })
    .await;
    let run = Run::of("hostile", &["echo", "kept"]);
    let session = stack.session(&run).await.expect("a session");
    let digest = *session.appraised().digest();
    let done = stack.submit(&session, &run, &BTreeMap::new()).await;
    assert_eq!(done.expect("a receipt").stdout(), "kept\n");
    until("the receipt is gone", async || {
        let receipt = code(&stack, receipt_path(&digest, 1)).await;
        receipt.as_deref() == Some("unknown-job")
    })
    .await;
    // The session goes on.
    let done = stack.submit(&session, &run, &BTreeMap::new()).await;
    assert_eq!(done.expect("a receipt").stdout(), "kept\n");
}

#[tokio::test]
async fn a_session_that_its_opener_ended_needs_nothing_although_its_runtime_lives() {
    let stack = Stack::with(StackOptions {
        configure: Some(|config| {
            greedy(config);
            config.retention.sessions = None;
        }),
        ..Default::default()
    })
    .await;
    let data = vec![7; 10_000];
    let run = Run::of("hostile", &["copy", "data", "result"])
        .input("data", data.clone())
        .output("result");
    let session = stack.session(&run).await.expect("a session");
    let digest = *session.appraised().digest();
    let objects = stack.release_inputs(&session, &run, 1).await.expect("keys");
    let finished = stack.submit(&session, &run, &objects).await;
    assert!(finished.expect("a receipt").outputs["result"] == data);
    assert_eq!(
        code(&stack, manifest_path(&objects[&parse("data")])).await,
        None
    );
    session.end(&stack.me).await.expect("its end");
    // Where its receipt was not stored yet, the host finds out when it is asked again.
    until("the session is over", async || {
        match session.status(&stack.me).await {
            Err(error) => error.to_string().contains("410"),
            Ok(_) => panic!("a session that was ended answers"),
        }
    })
    .await;
    for object in objects.values() {
        until("an object of the session is gone", async || {
            code(&stack, manifest_path(object)).await.is_some()
        })
        .await;
    }
    // What ran in it is told of still.
    assert_eq!(code(&stack, receipt_path(&digest, 1)).await, None);
    assert_eq!(stack.runtimes().len(), 1);
}

/// Held by the host's word alone: it is killed, and looks for what is too old before the runtime has
/// found it again.
#[tokio::test]
async fn what_an_open_session_needs_outlives_a_killed_host_and_a_job_reads_it() {
    let flags = [
        ["--keep-objects", "0s"],
        ["--keep-sessions", "0s"],
        ["--collect-every", "5ms"],
    ];
    let apart = Apart::with(&flags.concat());
    let data: Vec<u8> = (0..300_000_u32).map(|n| (n % 247) as u8).collect();
    let run = Run::of("hostile", &["copy", "data", "result"])
        .input("data", data.clone())
        .output("result");
    let session = apart.session(&run).await;
    let folder = TempDir::with_prefix("mc2-retention-").expect("a folder");
    let seal = async |name: &str| {
        let plain = folder.path().join(name);
        fs::write(&plain, &data).expect("a file");
        let source = Arc::new(Source::scan(&plain).expect("a source"));
        let (name, card) = (parse(name), apart.me.card());
        let stored = apart.remote.upload(source, &name, card, Arc::new(|_| ()));
        stored.await.expect("an upload")
    };
    let uploaded = seal("data").await;
    for _ in 0..3 {
        apart.kill_host();
        apart.start_host();
        apart.reconnect().await;
        // The collections go on: what nobody needs is gone.
        let other = seal("other").await.object;
        until("an object that nobody needs is gone", async || {
            apart.remote.manifest(&other).await.is_err()
        })
        .await;
        let manifest = apart.remote.manifest(&uploaded.object).await;
        manifest.expect("what the session needs");
    }
    // Once its runtime is back a job reads it.
    until("the runtime is back", async || {
        session.status(&apart.me).await.is_ok()
    })
    .await;
    let keys = vec![release("data", &uploaded, 1)];
    let given = session.release(&apart.me, &apart.ledger, keys, SystemTime::now());
    given.await.expect("a release");
    let objects = BTreeMap::from([(parse("data"), uploaded.object)]);
    let job = draft(&session, &run, &objects);
    let running = session.submit(&apart.me, &job).await.expect("a job");
    let ended = running.wait(&apart.me, |_| ()).await;
    assert_eq!(ended.expect("its end"), JobState::Done);
    apart.receipt(&session, &running).await;
}

#[tokio::test]
async fn a_full_quota_is_said_to_clients_and_costs_no_job_its_outputs() {
    let stack = Stack::with(StackOptions {
        configure: Some(|config| {
            config.quota = Quota {
                object_bytes: Some(300_000),
                sessions: 1,
                ..Quota::default()
            };
        }),
        ..Default::default()
    })
    .await;
    let data = vec![7; 200_000];
    let run = Run::of("hostile", &["copy", "data", "result"])
        .input("data", data.clone())
        .output("result");
    let session = stack.session(&run).await.expect("a session");
    let objects = stack.release_inputs(&session, &run, 1).await.expect("keys");
    // More than is left, though there is more than is left in no single part.
    let part =
        |upload: u8| Request::put(upload_file_path(&Hex([upload; 16]), 0, 0), vec![1; 60_000]);
    stack.http().send(&part(1)).await.expect("a part");
    match stack.http().send(&part(2)).await {
        Err(HttpError::Refused {
            status: 507,
            problem,
            ..
        }) => assert_eq!(problem.code, "quota"),
        other => panic!("{other:?}"),
    }
    let finished = stack.submit(&session, &run, &objects).await;
    assert!(finished.expect("a receipt").outputs["result"] == data);
    // What is dropped makes room, and what jobs left does not.
    let drop = Request::delete(mc2_wire::routes::upload_path(&Hex([1; 16])));
    stack.http().send(&drop).await.expect("dropped");
    let refused = stack.http().send(&part(3)).await.expect_err("no room");
    assert_eq!(refused.code(), Some("quota"));

    let another = stack.session(&run).await.err().expect("a second session");
    assert!(format!("{another:?}").contains("quota"), "{another:?}");
}

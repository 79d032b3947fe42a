//! Row 22: runtime or host ends at any moment. A job is done, failed or lost and never unknown,
//! sealed results stay readable, and nothing half-written has a name.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use mc2_client::{
    http::{Client, HostAddress, HttpError, Request, Trust},
    remote::{Remote, RemoteError},
    session::SessionError,
};
use mc2_protocol::{
    Digest,
    documents::{
        control::JobState,
        message::{Body, Cancel},
    },
    encoding::Hex,
};
use mc2_tests::{Run, RunFailed, Stack, draft, messages::sealed, process, program};
use mc2_wire::routes::{job_path, upload_commit_path, upload_file_path};
use tempfile::TempDir;

fn slow() -> Run {
    Run::of("hostile", &["sleep", "1000"])
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Row 22.
#[tokio::test]
async fn a_killed_runtime_s_jobs_are_lost_and_what_was_done_stays_readable() {
    let stack = Stack::start().await;
    let session = stack.session(&slow()).await.expect("a session");
    let kept = Run::of("hostile", &["echo", "kept"]);
    let done = stack
        .submit(&session, &kept, &BTreeMap::new())
        .await
        .expect("a receipt");
    assert_eq!(done.stdout(), "kept\n");
    let job = draft(&session, &slow(), &BTreeMap::new());
    let running = session.submit(&stack.me, &job).await.expect("a job");
    let [pid] = stack.runtimes().try_into().expect("one runtime");
    let killing = async {
        // It is announced, and under way.
        tokio::time::sleep(Duration::from_millis(200)).await;
        process::kill(pid);
    };
    let (ended, ()) = tokio::join!(running.wait(&stack.me, |_| ()), killing);
    let lost = ended.expect_err("no receipt");
    assert!(matches!(lost, SessionError::Lost { .. }), "{lost:?}");
    assert!(lost.to_string().contains("run is spent"), "{lost}");
    let status = stack
        .remote
        .job_status(&done.session, running.number, 0)
        .await;
    assert_eq!(status.expect("its status").state, JobState::Lost);
    let receipt = stack.remote.receipt(&done.session, running.number).await;
    match receipt {
        Err(RemoteError::Http(error)) => assert_eq!(error.code(), Some("lost"), "{error}"),
        other => panic!("{other:?}"),
    }
    // The session is over, and says so.
    let (message, _) = sealed(&session, &stack.me, 9, &Body::Cancel(Cancel { number: 2 }));
    let refused = stack
        .deliver(&done.session, message)
        .await
        .expect_err("no session");
    assert_eq!(refused.code(), Some("session-over"), "{refused}");
    // What was done is done.
    let sealed = stack
        .remote
        .receipt(&done.session, 1)
        .await
        .expect("the receipt");
    assert_eq!(
        sealed.open(&done.session, &stack.me).expect("it opens"),
        done.envelope
    );
    let outputs = stack
        .open_outputs(&done.receipt, &done.session, &stack.me)
        .await;
    assert_eq!(outputs.expect("outputs")["stdout"], b"kept\n");
    // And work goes on, in another process.
    let again = stack
        .run(&Run::of("hostile", &["echo", "again"]))
        .await
        .expect("a run");
    assert_eq!(again.stdout(), "again\n");
    assert!(!stack.runtimes().contains(&pid));
}

/// Row 22.
#[tokio::test]
async fn a_host_started_again_tells_who_comes_back_the_truth() {
    let stack = Stack::start().await;
    let session = stack.session(&slow()).await.expect("a session");
    let digest = *session.appraised().digest();
    let policy = session.policy().clone();
    let run = |arguments: &[&str]| Run::of("hostile", arguments);
    let done = stack
        .submit(&session, &run(&["echo", "kept"]), &BTreeMap::new())
        .await;
    let done = done.expect("a receipt");
    let failed = stack
        .submit(&session, &run(&["trap"]), &BTreeMap::new())
        .await;
    assert_eq!(failed.expect("a receipt").reason(), "trap");
    let job = draft(&session, &slow(), &BTreeMap::new());
    let running = session.submit(&stack.me, &job).await.expect("a job");
    let announced = Request::get(job_path(&digest, running.number), 1 << 16);
    while stack.http().send(&announced).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let stack = stack.restart(|_| ()).await;
    for (number, state) in [
        (1, JobState::Done),
        (2, JobState::Failed),
        (3, JobState::Lost),
    ] {
        let status = stack
            .remote
            .job_status(&digest, number, 0)
            .await
            .expect("its status");
        assert_eq!(status.state, state, "job {number}");
    }
    let unknown = stack
        .remote
        .job_status(&digest, 4, 0)
        .await
        .expect_err("no such job");
    let RemoteError::Http(unknown) = unknown else {
        panic!("{unknown:?}")
    };
    assert_eq!(unknown.code(), Some("session-over"));
    let outputs = stack.open_outputs(&done.receipt, &digest, &stack.me).await;
    assert_eq!(outputs.expect("outputs")["stdout"], b"kept\n");
    let refused = stack
        .deliver(&digest, b"{}".to_vec())
        .await
        .expect_err("no session");
    assert_eq!(refused.code(), Some("session-over"), "{refused}");
    let session = stack
        .open_session(&stack.remote, policy)
        .await
        .expect("a new session");
    let finished = stack
        .submit(&session, &run(&["echo", "new"]), &BTreeMap::new())
        .await;
    assert_eq!(finished.expect("a receipt").stdout(), "new\n");
}

/// Row 22.
#[tokio::test]
async fn a_client_that_comes_back_finds_its_job() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["sleep", "0.5"]);
    let session = stack.session(&run).await.expect("a session");
    let job = draft(&session, &run, &BTreeMap::new());
    let (message, pending) = sealed(
        &session,
        &stack.me,
        5,
        &mc2_tests::messages::submission(&session, job.to_bytes()),
    );
    // It goes away before the answer comes, and asks again with the same message.
    let first = stack.deliver(session.appraised().digest(), message.clone());
    let _ = tokio::time::timeout(Duration::from_millis(1), first).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = stack
        .deliver(session.appraised().digest(), message)
        .await
        .expect("an answer");
    let outcome = pending.open(&answer, &session.appraised().signing_public_key());
    let outcome = format!("{:?}", outcome.expect("the enclave's"));
    assert!(
        outcome.contains("replayed") || outcome.contains("number: 1"),
        "{outcome}"
    );
    // Another client of the same party.
    let digest = *session.appraised().digest();
    let back = stack.connect();
    let state = loop {
        match back.job_status(&digest, 1, 0).await {
            Ok(status) if status.state != JobState::Running => break status.state,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(state, JobState::Done);
    let receipt = back.receipt(&digest, 1).await.expect("the receipt");
    receipt.open(&digest, &stack.me).expect("it opens");
    let none = back.job_status(&digest, 2, 0).await;
    assert!(none.is_err(), "it ran twice");
}

/// Row 22.
#[tokio::test]
async fn an_upload_that_was_not_committed_is_nothing() {
    let stack = Stack::start().await;
    let upload = Hex([5; 16]);
    let http = stack.http();
    let part = Request::put(upload_file_path(&upload, 0, 0), vec![7; 100_000]);
    http.send(&part).await.expect("a part");
    // Neither is one whose manifest asks for more.
    let whole = stack.seal("data", &[1; 300_000]).await;
    let manifest = whole.manifest.to_bytes();
    let folder = stack
        .host_folder()
        .join("objects")
        .join(whole.object.to_string());
    fs::remove_dir_all(&folder).expect("the host's own folder");
    let commit = Request::post(upload_commit_path(&upload), manifest, 1 << 16);
    match http.send(&commit).await {
        Err(HttpError::Refused {
            status: 422,
            problem,
            ..
        }) => {
            assert_eq!(problem.code, "incomplete", "{}", problem.detail);
        }
        other => panic!("{other:?}"),
    }
    assert!(stack.remote.manifest(&whole.object).await.is_err());
    assert!(!files(&stack.host_folder().join("uploads")).is_empty());
    let stack = stack
        .restart(|folder| {
            // As a crash would leave it.
            fs::write(folder.join("tmp-crashed"), b"half").expect("a file");
        })
        .await;
    assert!(!stack.host_folder().join("tmp-crashed").exists());
    // It may be gone on with, and is no object yet.
    let part = format!("uploads/{upload}/files/0");
    let kept = fs::read(stack.host_folder().join(part)).expect("the part");
    assert!(kept == vec![7; 100_000]);
    assert!(stack.remote.manifest(&whole.object).await.is_err());
    stack.seal("data", &[1; 300_000]).await;
}

/// Row 22: killed, not ended.
#[tokio::test]
async fn a_host_that_is_killed_takes_its_runtimes_with_it_and_remembers_what_it_answered() {
    let folder = TempDir::with_prefix("mc2-killed-").expect("a folder");
    let socket = folder.path().join("client.sock");
    let start = || {
        let mut host = Command::new(program("mc2-host"))
            .args(["serve", "--simulator", "--folder"])
            .arg(folder.path().join("host"))
            .arg("--listen")
            .arg(format!("unix:{}", socket.display()))
            .env("XDG_CACHE_HOME", folder.path().join("cache"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a host");
        process::listening(&mut host);
        host
    };
    let connect = || {
        let address = HostAddress::Unix(socket.clone());
        Client::new(address, &Trust::default()).expect("a client")
    };
    let mut host = start();
    let remote = Remote::new(connect());
    let wasm = fs::read(mc2_tests::component("hostile")).expect("the component");
    let component = Digest::of(&wasm);
    remote
        .put_component(&component, wasm.into())
        .await
        .expect("a component");
    let upload = Hex([6; 16]);
    let part = Request::put(upload_file_path(&upload, 0, 0), vec![7; 50_000]);
    connect().send(&part).await.expect("a part");
    let runtimes = process::with_argument(&folder.path().join("host"));
    let runtimes: Vec<u32> = runtimes
        .into_iter()
        .filter(|pid| *pid != host.id())
        .collect();
    assert_eq!(runtimes.len(), 1);
    process::kill(host.id());
    host.wait().expect("its end");
    for runtime in runtimes {
        process::until_gone(runtime).await;
    }

    let mut host = start();
    let remote = Remote::new(connect());
    assert!(
        remote.has_component(&component).await.expect("an answer"),
        "it was stored"
    );
    // An upload goes on where it was, and nowhere else.
    let part = |offset| Request::put(upload_file_path(&upload, 0, offset), vec![7; 10]);
    let refused = connect().send(&part(60_000)).await.expect_err("a gap");
    assert_eq!(refused.code(), Some("offset"));
    connect().send(&part(50_000)).await.expect("the next part");
    process::kill(host.id());
    host.wait().expect("its end");
}

/// Row 22: the runtime goes while it is asked for a session.
#[tokio::test]
async fn a_runtime_killed_while_it_opens_a_session_is_an_error_and_no_more() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["echo", "fine"]);
    let [pid] = stack.runtimes().try_into().expect("one runtime");
    let killing = async { process::kill(pid) };
    let (opened, ()) = tokio::join!(stack.session(&run), killing);
    if let Err(error) = opened {
        assert!(matches!(error, RunFailed::Remote(_)), "{error:?}");
    }
    process::until_gone(pid).await;
    for attempt in 0.. {
        match stack.run(&run).await {
            Ok(finished) => {
                assert_eq!(finished.stdout(), "fine\n");
                break;
            }
            // One that was killed before it dialed in holds the next start up for a second.
            Err(error) => assert!(attempt < 30, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

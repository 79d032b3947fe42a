//! Row 14: a host that answers with anything but the truth. Enclave and client cap it before they
//! read it, check it before they use it, ask at most three times, and say what was wrong; and
//! when the host is honest again, the same process goes on.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mc2_client::{
    http::HttpError,
    remote::RemoteError,
    session::{Session, SessionError},
};
use mc2_protocol::{Digest, Name, documents::control::JobState};
use mc2_tests::{Asked, Finished, Liar, Lie, Run, RunFailed, Stack, StackOptions, draft};

const LENGTH: usize = 200_000;

struct Rig {
    stack: Stack,
    liar: Liar,
    run: Run,
}

impl Rig {
    async fn runtime_side() -> Self {
        let (stack, liar) = Stack::lying_to_runtime().await;
        Self::new(stack, liar)
    }

    async fn client_side() -> Self {
        let (stack, liar) = Stack::lying_to_client().await;
        Self::new(stack, liar)
    }

    fn new(stack: Stack, liar: Liar) -> Self {
        let data: Vec<u8> = (0..LENGTH).map(|index| (index % 241) as u8).collect();
        let run = Run::of("hostile", &["copy", "data", "result"])
            .input("data", data)
            .output("result")
            .limits(256 << 20, Duration::from_secs(3), 16 << 20);
        Self { stack, liar, run }
    }

    async fn session(&self) -> (Session<'_>, BTreeMap<Name, Digest>) {
        let session = self.stack.session(&self.run).await.expect("a session");
        let objects = self
            .stack
            .release_inputs(&session, &self.run, 100)
            .await
            .expect("a release");
        (session, objects)
    }

    fn good(&self, finished: &Finished) {
        assert_eq!(finished.reason(), "succeeded");
        assert!(
            finished.outputs["result"] == self.run.inputs[0].1,
            "another result"
        );
    }
}

/// Row 14: what the host may answer to a request for sealed bytes.
fn lies() -> Vec<Lie> {
    vec![
        Lie::Flip(0),
        Lie::Flip(-1),
        Lie::Cut(1),
        Lie::Grow(1),
        Lie::Break,
        Lie::Announce(u64::MAX / 2),
        Lie::Endless,
        Lie::Status(500),
        Lie::Status(404),
        Lie::Status(200),
        Lie::Status(204),
        Lie::Status(206),
        Lie::Status(301),
        Lie::Redirect("http://127.0.0.1:1/elsewhere".into()),
        Lie::Gzip,
        Lie::Bytes(Default::default()),
    ]
}

/// Picks requests.
type About = fn(&Asked) -> bool;

async fn every_lie_fails_the_job(about: About) {
    let rig = Rig::runtime_side().await;
    let (session, objects) = rig.session().await;
    for lie in lies() {
        let what = format!("{lie:?}");
        rig.liar.lie(lie, about);
        let finished = rig
            .stack
            .submit(&session, &rig.run, &objects)
            .await
            .expect("a receipt");
        let told = rig.liar.lies();
        assert!((1..=3 * 4).contains(&told), "{what}: asked {told} times");
        assert!(
            ["input-corrupt", "input-unavailable"].contains(&finished.reason()),
            "{what}: {}",
            finished.reason()
        );
        assert!(
            !finished.outputs.contains_key("result"),
            "{what}: a result was released"
        );
    }
    rig.liar.repent();
    rig.good(
        &rig.stack
            .submit(&session, &rig.run, &objects)
            .await
            .expect("a receipt"),
    );
}

/// Row 14.
#[tokio::test]
async fn lies_about_a_manifest_fail_the_job() {
    every_lie_fails_the_job(Asked::is_manifest).await;
}

/// Row 14.
#[tokio::test]
async fn lies_about_sealed_bytes_fail_the_job() {
    every_lie_fails_the_job(Asked::is_file).await;
}

/// Row 14.
#[tokio::test]
async fn lies_about_segment_digests_fail_the_job() {
    every_lie_fails_the_job(Asked::is_digests).await;
}

/// Row 14.
#[tokio::test]
async fn a_host_that_drips_or_says_nothing_runs_into_the_job_s_time_limit() {
    let rig = Rig::runtime_side().await;
    let (session, objects) = rig.session().await;
    for lie in [Lie::Drip, Lie::Silent, Lie::Announce(LENGTH as u64)] {
        let what = format!("{lie:?}");
        // No more is announced than was asked for, so that no cap refuses it at once.
        rig.liar.lie(lie, Asked::is_file);
        let finished = rig
            .stack
            .submit(&session, &rig.run, &objects)
            .await
            .expect("a receipt");
        assert!(
            ["time-limit", "input-unavailable"].contains(&finished.reason()),
            "{what}: {}",
            finished.reason()
        );
        assert!(!finished.outputs.contains_key("result"), "{what}");
    }
    rig.liar.repent();
    rig.good(
        &rig.stack
            .submit(&session, &rig.run, &objects)
            .await
            .expect("a receipt"),
    );
}

/// Row 14.
#[tokio::test]
async fn two_failures_in_passing_are_got_over_and_three_are_not() {
    let rig = Rig::runtime_side().await;
    let (session, objects) = rig.session().await;
    for (failures, reason) in [(2, "succeeded"), (3, "input-unavailable")] {
        let asked_so_far = AtomicUsize::new(0);
        rig.liar.tell(move |asked| {
            let lie =
                asked.is_manifest() && asked_so_far.fetch_add(1, Ordering::Relaxed) < failures;
            lie.then_some(Lie::Status(503))
        });
        let finished = rig
            .stack
            .submit(&session, &rig.run, &objects)
            .await
            .expect("a receipt");
        assert_eq!((finished.reason(), rig.liar.lies()), (reason, failures));
    }
}

/// Row 14.
#[tokio::test]
async fn a_part_that_was_cut_twice_is_asked_for_again_and_no_more_often() {
    let rig = Rig::runtime_side().await;
    let (session, objects) = rig.session().await;
    for (cuts, reason) in [(2, "succeeded"), (3, "input-unavailable")] {
        let asked_so_far = AtomicUsize::new(0);
        rig.liar.tell(move |asked| {
            let lie = asked.is_digests() && asked_so_far.fetch_add(1, Ordering::Relaxed) < cuts;
            lie.then_some(Lie::Cut(1))
        });
        let finished = rig
            .stack
            .submit(&session, &rig.run, &objects)
            .await
            .expect("a receipt");
        assert_eq!((finished.reason(), rig.liar.lies()), (reason, cuts));
    }
}

/// Row 14.
#[tokio::test]
async fn a_host_that_does_not_take_outputs_gets_no_success() {
    let rig = Rig::runtime_side().await;
    let (session, objects) = rig.session().await;
    let no_output = async |what: &str| {
        let finished = rig
            .stack
            .submit(&session, &rig.run, &objects)
            .await
            .expect("a receipt");
        assert_eq!(finished.reason(), "output-unavailable", "{what}");
        assert!(finished.receipt.outputs.is_empty(), "{what}");
    };
    let result = |asked: &Asked| asked.path.starts_with("/v1/uploads/");
    for lie in [
        Lie::Status(500),
        Lie::Status(404),
        Lie::Status(409),
        Lie::Redirect("/v1/uploads/elsewhere".into()),
        Lie::Break,
    ] {
        let what = format!("{lie:?}");
        rig.liar.lie(lie, result);
        no_output(&what).await;
    }
    // Small ones go in one piece.
    for lie in [Lie::Status(500), Lie::Status(404), Lie::Status(409)] {
        let what = format!("{lie:?}");
        rig.liar.lie(lie, |asked| asked.is("PUT", "/v1/objects/"));
        no_output(&what).await;
    }
    // A commit under another id, or of nothing.
    for lie in [
        Lie::Bytes(format!(r#"{{"object":"{}"}}"#, Digest::of(b"another")).into()),
        Lie::Bytes("{}".into()),
        Lie::Bytes(vec![b'['; 60_000].into()),
        Lie::Endless,
    ] {
        let what = format!("{lie:?}");
        rig.liar.lie(lie, |asked| asked.path.ends_with("/commit"));
        no_output(&what).await;
    }
    rig.liar.repent();
    rig.good(
        &rig.stack
            .submit(&session, &rig.run, &objects)
            .await
            .expect("a receipt"),
    );
}

/// Row 14: everything is "stored", and the commit answered as an honest host would, for the object's
/// id is the digest of what is sent. The runtime cannot tell; whoever opens can.
#[tokio::test]
async fn outputs_the_host_says_it_took_and_did_not_are_missed_when_they_are_opened() {
    let (to_runtime, to_client) = (Liar::new(), Liar::new());
    let options = StackOptions {
        wrap_runtime: Some(to_runtime.wrap()),
        wrap_client: Some(to_client.wrap()),
        ..Default::default()
    };
    let rig = Rig::new(Stack::with(options).await, to_runtime);
    let (session, objects) = rig.session().await;
    let manifests = Arc::new(Mutex::new(BTreeMap::new()));
    let kept = Arc::clone(&manifests);
    let commit = Lie::answer(move |_, manifest| {
        let object = Digest::of(&manifest);
        let mut kept = kept.lock().expect("never poisoned");
        kept.insert(format!("/v1/objects/{object}/manifest"), manifest);
        format!(r#"{{"object":"{object}"}}"#).into_bytes()
    });
    let store_nothing = move |asked: &Asked| {
        if asked.is("PUT", "/v1/uploads/") {
            Some(Lie::Swallow)
        } else {
            asked.path.ends_with("/commit").then(|| commit.clone())
        }
    };
    rig.liar.tell(store_nothing);
    // Nothing is there at all; then the host shows the manifests it saw, without what they name.
    for with_manifests in [false, true] {
        let manifests = Arc::clone(&manifests);
        to_client.tell(move |asked| {
            let manifests = manifests.lock().expect("never poisoned");
            let manifest = manifests.get(&asked.path).filter(|_| with_manifests)?;
            Some(Lie::Bytes(manifest.clone().into()))
        });
        let job = draft(&session, &rig.run, &objects);
        let running = session.submit(&rig.stack.me, &job).await.expect("a job");
        let state = running.wait(&rig.stack.me, |_| ()).await;
        assert_eq!(state.expect("its end"), JobState::Done, "{with_manifests}");
        assert!(rig.liar.lies() >= 3, "nothing was swallowed");
        match rig.stack.finish(&session, &rig.stack.me, &running).await {
            Err(RunFailed::Remote(error)) if !with_manifests => {
                assert!(error.to_string().contains("manifest"), "{error}");
            }
            Err(RunFailed::Open(_)) if with_manifests => {}
            other => panic!("{with_manifests}: {other:?}"),
        }
        let left = rig.stack.client_folder().read_dir().expect("a folder");
        let left: Vec<_> = left
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name.to_string_lossy().contains("out-"))
            .collect();
        assert!(left.is_empty(), "{with_manifests}: {left:?}");
    }
}

/// Row 14.
#[tokio::test]
async fn lies_about_a_component_open_no_session() {
    let rig = Rig::runtime_side().await;
    for lie in lies()
        .into_iter()
        .filter(|lie| !matches!(lie, Lie::Status(206)))
    {
        let what = format!("{lie:?}");
        rig.liar
            .lie(lie, |asked| asked.is("GET", "/v1/components/"));
        match rig.stack.session(&rig.run).await {
            Err(RunFailed::Remote(RemoteError::Http(HttpError::Refused { problem, .. }))) => {
                assert_eq!(
                    problem.code, "component-refused",
                    "{what}: {}",
                    problem.detail
                );
            }
            Err(other) => panic!("{what}: {other:?}"),
            Ok(_) => panic!("{what}: a session"),
        }
    }
    rig.liar.repent();
    rig.good(&rig.stack.run(&rig.run).await.expect("a run"));
}

/// Row 14: what a client asks.
#[tokio::test]
async fn lies_to_a_client_are_named_and_leave_nothing_behind() {
    let rig = Rig::client_side().await;
    let (session, objects) = rig.session().await;
    let places: [(&str, About); 6] = [
        ("receipt", |asked| asked.path.ends_with("/receipt")),
        ("small", |asked| asked.path.ends_with("/small")),
        ("manifest", Asked::is_manifest),
        ("file", Asked::is_file),
        ("digests", Asked::is_digests),
        ("messages", |asked| asked.path.ends_with("/messages")),
    ];
    for (place, about) in places {
        for lie in lies() {
            let what = format!("{place}: {lie:?}");
            let (asked_for, told) = (Arc::new(AtomicUsize::new(0)), lie.clone());
            let counted = Arc::clone(&asked_for);
            rig.liar.tell(move |asked| {
                if about(asked) {
                    counted.fetch_add(1, Ordering::Relaxed);
                    return Some(told.clone());
                }
                // So that the receipt is asked for by itself.
                asked.is_status().then(Lie::without_receipt)
            });
            match rig.stack.submit(&session, &rig.run, &objects).await {
                // Who says that an object is not small is asked for its parts.
                Ok(_) if place == "small" && matches!(lie, Lie::Status(404)) => {}
                Ok(_) => panic!("{what}: believed"),
                Err(RunFailed::Remote(_) | RunFailed::Session(_) | RunFailed::Open(_)) => {}
                Err(other) => panic!("{what}: {other:?}"),
            }
            let asked_for = asked_for.load(Ordering::Relaxed);
            assert!(
                (1..=3).contains(&asked_for),
                "{what}: asked {asked_for} times"
            );
            let left: Vec<_> = std::fs::read_dir(rig.stack.client_folder())
                .expect("a folder")
                .map(|entry| entry.expect("an entry").file_name())
                .filter(|name| name.to_string_lossy().contains("out-"))
                .collect();
            assert!(left.is_empty(), "{what}: {left:?}");
        }
    }
}

/// Row 14.
#[tokio::test]
async fn a_host_that_says_done_and_shows_another_receipt_is_found_out() {
    let rig = Rig::client_side().await;
    let (session, objects) = rig.session().await;
    rig.liar.remember();
    rig.good(
        &rig.stack
            .submit(&session, &rig.run, &objects)
            .await
            .expect("a run"),
    );
    // It came with the news of its job's end.
    let mut told = rig.liar.recall(Asked::is_status);
    let first = told.pop().expect("how far it was").response;
    assert!(String::from_utf8_lossy(&first).contains("\"receipt\""));
    rig.liar.lie(Lie::Bytes(first), Asked::is_status);
    match rig.stack.submit(&session, &rig.run, &objects).await {
        Err(RunFailed::Receipt(broken)) => assert_eq!(broken.0.what, "own job", "{broken}"),
        other => panic!("an older receipt: {other:?}"),
    }
    // Done, it says, and there is no receipt.
    rig.liar.tell(|asked| {
        let running = br#"{"state":"done","events":[],"next":0}"#.as_slice();
        if asked.path.ends_with("/receipt") {
            Some(Lie::Status(404))
        } else if asked.method == "GET" && asked.path.contains("/jobs/") {
            Some(Lie::Bytes(running.into()))
        } else {
            None
        }
    });
    match rig.stack.submit(&session, &rig.run, &objects).await {
        Err(RunFailed::Session(SessionError::Remote(_))) => {}
        other => panic!("no receipt: {other:?}"),
    }
    // Lost, it says.
    rig.liar.lie(
        Lie::Bytes(br#"{"state":"lost","events":[],"next":0}"#.as_slice().into()),
        |asked| {
            asked.method == "GET"
                && asked.path.contains("/jobs/")
                && !asked.path.ends_with("/receipt")
        },
    );
    match rig.stack.submit(&session, &rig.run, &objects).await {
        Err(RunFailed::Session(SessionError::Lost { .. })) => {}
        other => panic!("lost: {other:?}"),
    }
}

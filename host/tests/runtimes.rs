//! The runtimes' processes: those a host starts, and those that dial in by themselves.
#![allow(clippy::unwrap_used, reason = "a helper that fails ends its test")]

mod support;

use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use mc2_host::{Address, Host, HostConfig, Launcher, Spawn};
use mc2_protocol::documents::control::JobState;
use support::{Fixture, fake_simulator, problem, spawning};

#[tokio::test]
async fn a_started_runtime_serves_and_ends_with_the_host() {
    let fixture = Fixture::spawning().await;
    assert_eq!(fixture.host.simulator_key(), Some([0x5a; 32]));
    let (session, _) = fixture.open(b"policy").await;
    assert_eq!(fixture.tell(&session, "hello").await.body()[..], *b"hello");
    let (other, _) = fixture.open(b"other policy").await;
    fixture.tell(&session, "announce 1").await;
    fixture.tell(&other, "announce 1").await;

    let gone = fixture.tell(&session, "exit").await;
    assert_eq!(
        problem(&gone),
        (StatusCode::BAD_GATEWAY, "runtime-gone".into())
    );
    assert_eq!(
        fixture.status(&session, 1, "?wait=10").await.state,
        JobState::Lost
    );
    assert_eq!(fixture.status(&other, 1, "").await.state, JobState::Running);
    // The policy gets a new process.
    let (fresh, _) = fixture.open(b"policy").await;
    assert_eq!(fixture.tell(&fresh, "hello").await.body()[..], *b"hello");

    let Fixture { host, folder, .. } = fixture;
    let children = children(folder.path());
    assert_eq!(children.len(), 2);
    host.shutdown().await;
    for child in children {
        assert!(!std::path::Path::new(&format!("/proc/{child}")).exists());
    }
    let sockets = std::fs::read_dir(folder.path().join("state")).unwrap();
    let sockets = sockets.filter(|entry| entry.as_ref().unwrap().path().extension().is_some());
    assert_eq!(sockets.count(), 0);
}

#[tokio::test]
async fn a_runtime_that_ended_does_not_come_back_by_a_dial_that_waited() {
    let fixture = Fixture::spawning().await;
    let (session, _) = fixture.open(b"policy").await;
    let state = fixture.folder.path().join("state");
    let socket = std::fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "sock")
        })
        .unwrap();
    // Accepted while the process lives, used when it is gone.
    let mut waiting = support::peer::Connection::open(&Address::Unix(socket))
        .await
        .unwrap();
    let known = support::build(Method::GET, "/v1/cache/none", "");
    assert!(
        waiting
            .send(known)
            .await
            .unwrap()
            .status()
            .is_client_error()
    );
    fixture.tell(&session, "announce 1").await;
    fixture.tell(&session, "exit").await;
    let status = fixture.status(&session, 1, "?wait=10").await;
    assert_eq!(status.state, JobState::Lost);
    let mut dial = support::build(Method::GET, mc2_wire::routes::CONTROL_PATH, "");
    let headers = dial.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(
        header::UPGRADE,
        HeaderValue::from_static(mc2_wire::routes::CONTROL_PROTOCOL),
    );
    // Most often the connection has gone with the process.
    if let Ok(answer) = waiting.send(dial).await {
        assert_eq!(problem(&answer), (StatusCode::GONE, "runtime-gone".into()));
    }
    fixture.host.shutdown().await;
}

#[tokio::test]
async fn a_runtime_that_does_not_start_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let with = |spawn: Spawn| HostConfig {
        launcher: Launcher::Spawn(spawn),
        ..spawning(folder.path())
    };
    let missing = Host::start(with(Spawn::simulator("/nonexistent/mc2-runtime-sim", "vm"))).await;
    assert!(
        missing
            .err()
            .unwrap()
            .to_string()
            .contains("/nonexistent/mc2-runtime-sim")
    );
    let silent = Spawn {
        arguments: vec!["--no-key".into()],
        ..fake_simulator()
    };
    let error = Host::start(with(silent)).await.err().unwrap().to_string();
    assert!(error.contains("did not print its key"), "{error}");
    assert!(
        error.contains("no key") && !error.contains('\u{1b}'),
        "{error}"
    );
}

/// A runtime that is broken from its second start on, until it is mended.
const BROKEN: &str = r#"#!/bin/sh
echo started >> "$0.starts"
if [ "$(wc -l < "$0.starts")" -gt 1 ] && ! [ -e "$0.mended" ]; then
    echo "MC2-SIM-KEY 5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
    echo "no such engine" >&2
    exit 1
fi
exec "$0.real" "$@"
"#;

#[tokio::test]
async fn a_runtime_that_dies_at_its_start_is_started_again_ever_more_slowly() {
    let folder = tempfile::tempdir().unwrap();
    let script = script(folder.path(), BROKEN);
    let beside = |end: &str| folder.path().join(format!("runtime.{end}"));
    let config = HostConfig {
        launcher: Launcher::Spawn(Spawn::simulator(&script, "vm")),
        ..spawning(folder.path())
    };
    let host = Host::start(config).await.unwrap();
    let starts = || {
        let starts = std::fs::read_to_string(beside("starts")).unwrap();
        starts.lines().count()
    };
    let one = support::try_open(&host, b"one").await;
    assert_eq!(one.status(), StatusCode::OK);
    let (mut failed, mut refused) = (0, 0);
    while failed < 2 || refused < 2 {
        let before = starts();
        let answer = support::try_open(&host, b"two").await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        if answer.headers().contains_key(header::RETRY_AFTER) {
            assert_eq!(problem(&answer).1, "runtime-failed");
            assert!(String::from_utf8_lossy(answer.body()).contains("no such engine"));
            assert_eq!(starts(), before, "none is started meanwhile");
            refused += 1;
        } else {
            assert_eq!(starts(), before + 1);
            failed += 1;
            assert!(failed < 20, "each of them started one");
        }
        // Who has a runtime goes on.
        let one = support::try_open(&host, b"one").await;
        assert_eq!(one.status(), StatusCode::OK);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::write(beside("mended"), "").unwrap();
    while support::try_open(&host, b"two").await.status() != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    host.shutdown().await;
}

/// A simulator that makes its key of something else than it was given, from the second start on.
const OTHER_KEY: &str = r#"#!/bin/sh
echo started >> "$0.starts"
if [ "$(wc -l < "$0.starts")" -gt 1 ]; then
    echo "MC2-SIM-KEY 5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b"
    exec sleep 1000
fi
exec "$0.real" "$@"
"#;

#[tokio::test]
async fn a_simulator_that_signs_with_another_key_than_the_others_serves_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let script = script(folder.path(), OTHER_KEY);
    let config = HostConfig {
        launcher: Launcher::Spawn(Spawn::simulator(&script, "vm")),
        ..spawning(folder.path())
    };
    let host = Host::start(config).await.unwrap();
    let one = support::try_open(&host, b"one").await;
    assert_eq!(one.status(), StatusCode::OK);
    let two = support::try_open(&host, b"two").await;
    assert_eq!(
        problem(&two),
        (StatusCode::BAD_GATEWAY, "runtime-failed".into())
    );
    assert!(String::from_utf8_lossy(two.body()).contains("another key"));
    host.shutdown().await;
}

/// A program of this text in a folder, and beside it the fake runtime as `runtime.real`.
fn script(folder: &std::path::Path, text: &str) -> std::path::PathBuf {
    let script = folder.join("runtime");
    std::fs::write(&script, text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&script, mode).unwrap();
    std::os::unix::fs::symlink(fake_simulator().binary, folder.join("runtime.real")).unwrap();
    script
}

#[tokio::test]
async fn a_host_whose_simulators_key_cannot_be_written_serves_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let config = HostConfig {
        simulator_pins: Some(file.join("simulators")),
        ..spawning(folder.path())
    };
    let host = Host::start(config).await.unwrap();
    let opened = support::try_open(&host, b"one").await;
    assert_eq!(opened.status(), StatusCode::OK);
    host.shutdown().await;
}

#[tokio::test]
async fn places_are_for_tenants_with_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(HostConfig {
        max_runtimes: 1,
        ..spawning(folder.path())
    })
    .await
    .unwrap();
    let fixture = FixtureOver { host };
    assert_eq!(
        fixture.open("refused").await,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(fixture.open("policy").await, StatusCode::OK);
    assert_eq!(
        fixture.open("other policy").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(fixture.open("policy").await, StatusCode::OK);
    fixture.host.shutdown().await;
}

#[tokio::test]
async fn a_runtime_may_reach_the_host_by_loopback_and_a_layer_may_be_put_around_its_routes() {
    let folder = tempfile::tempdir().unwrap();
    let spawn = Spawn {
        link: mc2_host::Link::Loopback,
        ..fake_simulator()
    };
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&seen);
    let wrap = move |router: axum::Router| {
        let counted = std::sync::Arc::clone(&counted);
        router.layer(axum::middleware::from_fn(
            move |request, next: axum::middleware::Next| {
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                next.run(request)
            },
        ))
    };
    let config = HostConfig {
        launcher: Launcher::Spawn(spawn),
        wrap_runtime: Some(std::sync::Arc::new(wrap)),
        ..spawning(folder.path())
    };
    let fixture = FixtureOver {
        host: Host::start(config).await.unwrap(),
    };
    assert_eq!(fixture.open("policy").await, StatusCode::OK);
    assert!(seen.load(std::sync::atomic::Ordering::SeqCst) > 0);
    fixture.host.shutdown().await;
}

struct FixtureOver {
    host: Host,
}

impl FixtureOver {
    async fn open(&self, policy: &str) -> StatusCode {
        support::try_open(&self.host, policy.as_bytes())
            .await
            .status()
    }
}

/// Processes that were started to dial a host in this folder.
fn children(folder: &std::path::Path) -> Vec<u32> {
    let folder = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap();
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(folder)
    })
    .collect()
}

//! Row 39: what one client holds is not another's. Bodies that never end, connections that do
//! nothing, uploads without number: whoever is honest goes on meanwhile. Every deadline is an hour
//! away here, so that nothing but the host's design helps.

#![allow(clippy::unwrap_used, reason = "a test ends where its fixture fails")]

mod support;

use std::time::Duration;

use http::{Method, StatusCode};
use mc2_host::{HostConfig, Pace};
use mc2_protocol::{
    Digest,
    documents::control::{AskChallenge, JobState},
    encoding::to_json,
};
use mc2_wire::routes::{
    CHALLENGES_PATH, SESSIONS_PATH, file_path, receipt_path, upload_commit_path,
    upload_digests_path, upload_file_path,
};
use support::{Fixture, object, peer, upload_id};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const HOUR: Duration = Duration::from_secs(3600);
/// A test that waits for an attacker would wait for ever.
const HANGS: Duration = Duration::from_secs(120);

type Stream = Box<dyn peer::Stream>;

fn patient(config: HostConfig) -> HostConfig {
    let mut config = config;
    config.timeouts.body = Pace {
        pause: HOUR,
        grace: HOUR,
        slowest: 1,
    };
    config.timeouts.head = HOUR;
    config.timeouts.stall = HOUR;
    config.body_memory = 4 << 20;
    config
}

async fn started(change: impl FnOnce(HostConfig) -> HostConfig) -> Fixture {
    let mut fixture = Fixture::start(|config| change(patient(config))).await;
    fixture.add_peer([1; 16]);
    fixture
}

/// Opens a connection and sends these bytes, which are not a whole request.
async fn begin(fixture: &Fixture, bytes: &[u8]) -> Stream {
    let mut stream = peer::connect(&fixture.host.client_addresses()[0])
        .await
        .unwrap();
    // A host that has enough of it says so or closes; either is its right.
    let _ = stream.write_all(bytes).await;
    stream
}

fn head(method: &str, path: &str, header: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n").into_bytes()
}

/// Another's work: an object is stored and read, a session opened, a job run to its receipt.
async fn work_goes_on(fixture: &Fixture, id: u8) {
    let work = async {
        let object = object(600_000 + usize::from(id));
        let upload = upload_id(id);
        let (first, rest) = object.sealed.split_at(400_000);
        for (path, bytes) in [
            (upload_file_path(&upload, 0, 0), first),
            (upload_file_path(&upload, 0, 400_000), rest),
            (upload_digests_path(&upload, 0, 0), &object.digests),
        ] {
            let stored = fixture.ask(Method::PUT, &path, bytes.to_vec()).await;
            assert_eq!(stored.status(), StatusCode::NO_CONTENT);
        }
        let path = upload_commit_path(&upload);
        let commit = fixture.ask(Method::POST, &path, object.manifest.clone());
        assert_eq!(commit.await.status(), StatusCode::OK);
        let stored = fixture.get(&file_path(&object.id, 0)).await;
        assert!(stored.body()[..] == object.sealed);

        let (session, _) = fixture.open(b"policy").await;
        fixture.tell(&session, "announce 1").await;
        fixture.tell(&session, "event 1 half").await;
        assert_eq!(
            fixture.status(&session, 1, "").await.state,
            JobState::Running
        );
        fixture.tell(&session, "end 1 true receipt").await;
        assert_eq!(
            fixture.status(&session, 1, "?wait=30").await.state,
            JobState::Done
        );
        let receipt = fixture.get(&receipt_path(&session, 1)).await;
        assert_eq!(receipt.body()[..], *b"receipt");
    };
    tokio::time::timeout(HANGS, work)
        .await
        .expect("others' work stopped");
}

#[tokio::test]
async fn hundreds_of_slow_bodies_stop_nobody() {
    let fixture = started(|config| config).await;
    let mut held = Vec::new();
    for number in 0..300 {
        let upload = upload_file_path(&upload_id(200), number, 0);
        let (method, path) = match number % 3 {
            0 => ("PUT", upload.as_str()),
            1 => ("POST", SESSIONS_PATH),
            _ => (
                "POST",
                "/v1/uploads/00000000000000000000000000000000/commit",
            ),
        };
        let mut bytes = head(method, path, "content-length: 8000000");
        // Some stop at the first byte, some when they fill the host's memory.
        bytes.resize(
            bytes.len() + if number % 10 == 0 { 1_000_000 } else { 1 },
            b'x',
        );
        held.push(begin(&fixture, &bytes).await);
    }
    work_goes_on(&fixture, 1).await;
    drop(held);
}

#[tokio::test]
async fn endless_bodies_stop_nobody() {
    let fixture = started(|config| config).await;
    let address = fixture.host.client_addresses()[0].clone();
    let endless = (0..32).map(|number| {
        let address = address.clone();
        tokio::spawn(async move {
            let path = upload_file_path(&upload_id(201), number, 0);
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
            loop {
                let mut stream = peer::connect(&address).await.unwrap();
                let head = head("PUT", &path, "transfer-encoding: chunked");
                let mut sent = stream.write_all(&head).await;
                while sent.is_ok() {
                    sent = stream.write_all(&chunk).await;
                    tokio::task::yield_now().await;
                }
            }
        })
    });
    let endless: Vec<_> = endless.collect();
    for id in 1..4 {
        work_goes_on(&fixture, id).await;
    }
    endless.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn idle_connections_are_ended_where_others_need_their_places() {
    let fixture = started(|config| HostConfig {
        max_connections: 24,
        ..config
    })
    .await;
    let mut held = Vec::new();
    for number in 0..200 {
        let bytes: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n",
            _ => b"GET /v1/health HTT",
        };
        held.push(begin(&fixture, bytes).await);
    }
    work_goes_on(&fixture, 1).await;
    // The first to come was the first to go.
    let mut first = held.remove(0);
    assert_eq!(first.read(&mut [0; 16]).await.unwrap_or(0), 0);
    let slow = head("POST", SESSIONS_PATH, "content-length: 1000");
    for _ in 0..200 {
        held.push(begin(&fixture, &slow).await);
    }
    work_goes_on(&fixture, 2).await;
}

#[tokio::test]
async fn begun_uploads_without_number_drop_their_own_kind_first() {
    let fixture = started(|config| config).await;
    let object = object(600_000);
    let put = |upload, bytes: Vec<u8>| {
        let path = upload_file_path(&upload, 0, 0);
        let fixture = &fixture;
        async move { fixture.ask(Method::PUT, &path, bytes).await.status() }
    };
    let honest = upload_id(9);
    assert_eq!(
        put(honest, object.sealed.clone()).await,
        StatusCode::NO_CONTENT
    );
    let address = &fixture.host.client_addresses()[0];
    let mut connection = peer::Connection::open(address).await.unwrap();
    for number in 0..4200_u128 {
        let upload = mc2_protocol::encoding::Hex((number << 8).to_be_bytes());
        let request = support::build(Method::PUT, &upload_file_path(&upload, 0, 0), "x");
        let answer = connection.send(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{number}");
    }
    let digests = upload_digests_path(&honest, 0, 0);
    let answer = fixture
        .ask(Method::PUT, &digests, object.digests.clone())
        .await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let path = upload_commit_path(&honest);
    let commit = fixture.ask(Method::POST, &path, object.manifest.clone());
    assert_eq!(commit.await.status(), StatusCode::OK);
    let runtime = fixture.peer([1; 16]);
    let path = upload_file_path(&upload_id(10), 0, 0);
    let stored = runtime.storage(Method::PUT, &path, "output".into()).await;
    assert_eq!(stored.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn those_without_a_runtime_do_not_keep_others_from_theirs() {
    let fixture = started(|mut config| {
        config.timeouts.absence = HOUR;
        config
    })
    .await;
    fixture.open(b"policy").await;
    let address = fixture.host.client_addresses()[0].clone();
    let strangers = (0..100).map(|number| {
        let ask = AskChallenge {
            policy: Digest::of(format!("stranger {number}").as_bytes()),
        };
        let request = support::build(Method::POST, CHALLENGES_PATH, to_json(&ask));
        let address = address.clone();
        tokio::spawn(async move { peer::request(&address, request).await })
    });
    let strangers: Vec<_> = strangers.collect();
    // Those that may not even wait are told so.
    let busy = fixture_busy(&strangers).await;
    work_goes_on(&fixture, 1).await;
    assert!(busy, "all of them wait");
    strangers.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn fixture_busy(
    strangers: &[tokio::task::JoinHandle<std::io::Result<http::Response<bytes::Bytes>>>],
) -> bool {
    for _ in 0..1000 {
        if strangers
            .iter()
            .filter(|stranger| stranger.is_finished())
            .count()
            >= 36
        {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn a_trickle_and_a_reader_that_does_not_read_are_left() {
    let mut fixture = Fixture::start(|mut config| {
        config.timeouts.body = Pace {
            pause: HOUR,
            grace: Duration::from_millis(300),
            slowest: 1000,
        };
        config.timeouts.stall = Duration::from_millis(300);
        config
    })
    .await;
    fixture.add_peer([1; 16]);
    let object = object(32 << 20);
    let upload = upload_id(3);
    for (part, bytes) in object.sealed.chunks(4 << 20).enumerate() {
        let path = upload_file_path(&upload, 0, (part * (4 << 20)) as u64);
        let answer = fixture.ask(Method::PUT, &path, bytes.to_vec()).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    let digests = upload_digests_path(&upload, 0, 0);
    fixture
        .ask(Method::PUT, &digests, object.digests.clone())
        .await;
    fixture
        .ask(
            Method::POST,
            &upload_commit_path(&upload),
            object.manifest.clone(),
        )
        .await;

    let mut reader = begin(&fixture, &head("GET", &file_path(&object.id, 0), "")).await;
    let mut trickle = begin(
        &fixture,
        &head("POST", SESSIONS_PATH, "content-length: 1000000"),
    )
    .await;
    let answer = async {
        let mut answer = vec![0; 4096];
        loop {
            tokio::select! {
                read = trickle.read(&mut answer) => break answer[..read.unwrap_or(0)].to_vec(),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            let _ = trickle.write_all(b"x").await;
        }
    };
    let answer = tokio::time::timeout(HANGS, answer)
        .await
        .expect("it trickles on");
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("too-slow"),
        "{answer}"
    );

    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut rest = Vec::new();
    let read = tokio::time::timeout(HANGS, reader.read_to_end(&mut rest)).await;
    let _ = read.expect("it is kept for ever");
    assert!(rest.len() < object.sealed.len(), "{} bytes", rest.len());
}

//! A host in a temporary folder, and a client for it.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test ends where its fixture fails")]

pub(crate) mod peer;

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use mc2_host::{Address, Host, HostConfig, Launcher, Pace, Spawn, Timeouts};
use mc2_protocol::{
    Digest, Manifest, SecretKey,
    documents::{
        control::{AskChallenge, ChallengeGiven, OpenSession, Problem, SessionOpened},
        record::session_digest,
        storage::{JobStatus, UploadId},
    },
    encoding::{Hex, to_json},
    sealed::{
        SEGMENT_SIZE, associated_data,
        manifest::{Content, MediaType, SealedStream},
        seal_bytes,
    },
};
use mc2_wire::routes::{
    CHALLENGES_PATH, SESSIONS_PATH, upload_commit_path, upload_digests_path, upload_file_path,
};

/// A host, its folder, and a peer that dialed in where it is to.
pub(crate) struct Fixture {
    pub(crate) host: Host,
    pub(crate) folder: tempfile::TempDir,
    peers: Vec<tokio::task::JoinHandle<()>>,
}

/// An object's parts.
pub(crate) struct Object {
    pub(crate) id: Digest,
    pub(crate) manifest: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
    pub(crate) digests: Vec<u8>,
}

/// A configuration over `folder` that waits for peers to connect, with short waits.
pub(crate) fn config(folder: &std::path::Path) -> HostConfig {
    HostConfig {
        client_listen: vec![Address::Unix(folder.join("client.sock"))],
        runtime_listen: vec![Address::Unix(folder.join("runtime.sock"))],
        timeouts: Timeouts {
            start: Duration::from_secs(10),
            relay: Duration::from_secs(2),
            body: Pace {
                pause: Duration::from_millis(400),
                ..Pace::default()
            },
            absence: Duration::from_millis(300),
            ..Timeouts::default()
        },
        ..HostConfig::new(folder.join("state"), Launcher::Connect)
    }
}

/// How to start the fake runtime as a simulator.
pub(crate) fn fake_simulator() -> Spawn {
    let test = std::env::current_exe().unwrap();
    let binary: PathBuf = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/fake_runtime");
    Spawn::simulator(binary, "vm")
}

/// A configuration over `folder` that starts fake runtimes.
pub(crate) fn spawning(folder: &std::path::Path) -> HostConfig {
    HostConfig {
        launcher: Launcher::Spawn(fake_simulator()),
        runtime_listen: Vec::new(),
        ..config(folder)
    }
}

impl Fixture {
    pub(crate) async fn start(change: impl FnOnce(HostConfig) -> HostConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::start(change(config(folder.path()))).await.unwrap();
        Self {
            host,
            folder,
            peers: Vec::new(),
        }
    }

    pub(crate) fn over(host: Host, folder: tempfile::TempDir) -> Self {
        Self {
            host,
            folder,
            peers: Vec::new(),
        }
    }

    pub(crate) async fn spawning() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::start(spawning(folder.path())).await.unwrap();
        Self {
            host,
            folder,
            peers: Vec::new(),
        }
    }

    /// A host with one peer connected.
    pub(crate) async fn with_peer() -> Self {
        let mut fixture = Self::start(|config| config).await;
        fixture.add_peer([1; 16]);
        fixture
    }

    pub(crate) fn peer(&self, id: [u8; 16]) -> peer::Peer {
        peer::Peer::new(self.host.runtime_addresses()[0].clone(), id)
    }

    pub(crate) fn add_peer(&mut self, id: [u8; 16]) {
        self.peers.push(tokio::spawn(self.peer(id).run()));
    }

    /// A peer that served a policy before it dialed in.
    pub(crate) fn add_taken_peer(&mut self, id: [u8; 16], policy: &'static [u8]) {
        let peer = peer::Peer {
            only: Some(policy),
            ..self.peer(id)
        };
        self.peers.push(tokio::spawn(peer.run()));
    }

    pub(crate) async fn drop_peers(&mut self) {
        for peer in self.peers.drain(..) {
            peer.abort();
            let _ = peer.await;
        }
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        peer::request(&self.host.client_addresses()[0], request)
            .await
            .unwrap()
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        self.send(build(method, path, body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        self.ask(Method::GET, path, "").await
    }

    pub(crate) async fn range(&self, path: &str, range: &str) -> Response<Bytes> {
        let mut request = build(Method::GET, path, "");
        request
            .headers_mut()
            .insert(header::RANGE, range.parse().unwrap());
        self.send(request).await
    }

    /// Opens a session for a policy: its digest, and which process serves it.
    pub(crate) async fn open(&self, policy: &[u8]) -> (Digest, String) {
        let answer = self.try_open(policy).await;
        assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.body());
        let opened: SessionOpened = serde_json::from_slice(answer.body()).unwrap();
        let served_by = String::from_utf8(opened.evidence.value.0).unwrap();
        (session_digest(opened.record.as_slice()), served_by)
    }

    /// Asks for a challenge and a session, again where the process serves another tenant.
    pub(crate) async fn try_open(&self, policy: &[u8]) -> Response<Bytes> {
        try_open(&self.host, policy).await
    }

    /// Has the peer do something.
    pub(crate) async fn tell(&self, session: &Digest, words: &str) -> Response<Bytes> {
        let path = mc2_wire::routes::messages_path(session);
        self.ask(Method::POST, &path, words.to_owned()).await
    }

    pub(crate) async fn status(&self, session: &Digest, number: u64, query: &str) -> JobStatus {
        let path = mc2_wire::routes::job_path(session, number);
        let answer = self.get(&format!("{path}{query}")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.body());
        serde_json::from_slice(answer.body()).unwrap()
    }
}

/// As [`Fixture::try_open`], with a host alone.
pub(crate) async fn try_open(host: &Host, policy: &[u8]) -> Response<Bytes> {
    let address = &host.client_addresses()[0];
    let signer = mc2_protocol::Identity::from_seeds(
        "me".parse().unwrap(),
        &SecretKey::from_bytes([1; 32]),
        SecretKey::from_bytes([2; 32]),
    );
    loop {
        let ask = to_json(&AskChallenge {
            policy: Digest::of(policy),
        });
        let given = peer::request(address, build(Method::POST, CHALLENGES_PATH, ask)).await;
        let given = given.unwrap();
        if given.status() != StatusCode::OK {
            return given;
        }
        let given: ChallengeGiven = serde_json::from_slice(given.body()).unwrap();
        let open = OpenSession::sign(policy, Hex([3; 32]), given.challenge, &signer);
        let open = build(Method::POST, SESSIONS_PATH, to_json(&open));
        let opened = peer::request(address, open).await.unwrap();
        if opened.status() != StatusCode::CONFLICT {
            return opened;
        }
    }
}

pub(crate) fn build(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "mc2-host");
    request.body(Full::new(body.into())).unwrap()
}

/// The code of a refusal, which must be a whole problem.
pub(crate) fn problem(response: &Response<Bytes>) -> (StatusCode, String) {
    let problem: Problem = serde_json::from_slice(response.body())
        .unwrap_or_else(|error| panic!("{error}: {:?}", response.body()));
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        Problem::MEDIA_TYPE
    );
    let status = response.status();
    let whole = Problem::new(status.as_u16(), &problem.code, problem.detail.clone());
    assert_eq!(problem, whole);
    assert!(!problem.detail.is_empty());
    if matches!(status.as_u16(), 429 | 503) {
        let after = response.headers()[header::RETRY_AFTER].to_str().unwrap();
        assert!(after.parse::<u32>().unwrap() > 0);
    }
    (response.status(), problem.code)
}

/// A sealed file of `length` zero bytes.
pub(crate) fn object(length: usize) -> Object {
    let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
    let dataset: mc2_protocol::Name = "data".parse().unwrap();
    let key = SecretKey::generate(&mut rng);
    let ad = associated_data(&dataset);
    let (sealed, file) = seal_bytes(&key, &ad, SEGMENT_SIZE, &vec![0; length], &mut rng);
    let content = Content::File(SealedStream::new(&file));
    let media_type = MediaType::octet_stream();
    let manifest = Manifest::new(dataset, media_type, SEGMENT_SIZE, content, None);
    let manifest = manifest.unwrap().to_bytes();
    Object {
        id: Digest::of(&manifest),
        manifest,
        sealed,
        digests: file.digests,
    }
}

pub(crate) fn upload_id(byte: u8) -> UploadId {
    Hex([byte; 16])
}

/// Uploads an object's parts in pieces of `piece` bytes.
pub(crate) async fn upload(fixture: &Fixture, id: u8, object: &Object, piece: usize) {
    let id = upload_id(id);
    for (at, bytes) in object.sealed.chunks(piece).enumerate() {
        let path = upload_file_path(&id, 0, (at * piece) as u64);
        let answer = fixture.ask(Method::PUT, &path, bytes.to_vec()).await;
        assert_eq!(
            answer.status(),
            StatusCode::NO_CONTENT,
            "{:?}",
            answer.body()
        );
    }
    let path = upload_digests_path(&id, 0, 0);
    let answer = fixture
        .ask(Method::PUT, &path, object.digests.clone())
        .await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

pub(crate) async fn commit(fixture: &Fixture, id: u8, object: &Object) -> Response<Bytes> {
    let path = upload_commit_path(&upload_id(id));
    fixture
        .ask(Method::POST, &path, object.manifest.clone())
        .await
}

/// A host over the folder that the last one left, as `change` leaves it.
pub(crate) async fn next(fixture: Fixture, change: impl FnOnce(&std::path::Path)) -> Fixture {
    let Fixture { host, folder, .. } = fixture;
    host.shutdown().await;
    change(&folder.path().join("state"));
    let host = Host::start(config(folder.path())).await.unwrap();
    Fixture::over(host, folder)
}

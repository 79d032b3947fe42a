//! A runtime process whose host is the test itself: for what an honest host would never ask.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use mc2_attestation::{SimKey, TrustStore};
use mc2_protocol::{
    Digest, Identity,
    documents::{
        control::{AskChallenge, Challenge, ChallengeGiven, OpenSession, Problem, SessionOpened},
        record::Nonce,
    },
    encoding::{parse_json, to_json},
};
use mc2_wire::routes::{CHALLENGES_PATH, CONTROL_PROTOCOL, SESSIONS_PATH};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::UnixListener,
    process::{Child, Command},
    sync::mpsc,
};

use crate::{cache_folder, program, stack::trusting};

type Sender = SendRequest<Full<Bytes>>;
type Components = Arc<Mutex<HashMap<Digest, Bytes>>>;

/// A simulated runtime and the connections it dialled.
pub struct RawRuntime {
    child: Child,
    connections: tokio::sync::Mutex<mpsc::UnboundedReceiver<Sender>>,
    components: Components,
    key: SimKey,
    _folder: TempDir,
}

#[derive(Clone)]
struct Host {
    connections: mpsc::UnboundedSender<Sender>,
    components: Components,
}

impl RawRuntime {
    /// Starts one.
    pub async fn start() -> Self {
        let folder = TempDir::with_prefix("mc2-raw-").expect("a temporary folder");
        let socket = folder.path().join("host.sock");
        let (sender, connections) = mpsc::unbounded_channel();
        let host = Host {
            connections: sender,
            components: Components::default(),
        };
        let components = Arc::clone(&host.components);
        let router = Router::new()
            .route("/v1/control", get(control))
            .route("/v1/components/{digest}", get(component))
            .with_state(host);
        let listener = UnixListener::bind(&socket).expect("a socket");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut child = Command::new(program("mc2-runtime-sim"))
            .arg("--compilation-cache")
            .arg(cache_folder())
            .arg("--host")
            .arg(format!("unix:{}", socket.display()))
            .args(["--engine-profile", "vm"])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a runtime");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let line = stdout
            .lines()
            .next_line()
            .await
            .expect("a line")
            .expect("its key");
        let key = line.strip_prefix("MC2-SIM-KEY ").expect("its key");
        let key = key.parse().expect("a key");
        Self {
            child,
            connections: tokio::sync::Mutex::new(connections),
            components,
            key,
            _folder: folder,
        }
    }

    /// Trusts this runtime and nothing else.
    pub fn trust(&self) -> TrustStore {
        trusting(&program("mc2-runtime-sim"), [self.key])
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a living process")
    }

    /// Gives it these bytes when it asks for the component called `digest`.
    pub fn serve(&self, digest: Digest, bytes: impl Into<Bytes>) {
        self.components
            .lock()
            .expect("never poisoned")
            .insert(digest, bytes.into());
    }

    /// One that can have the built component called `name`, and its digest.
    ///
    /// # Panics
    /// When it was not built.
    pub async fn serving(name: &str) -> (Self, Digest) {
        let runtime = Self::start().await;
        let wasm = std::fs::read(crate::component(name)).expect("the component");
        let digest = Digest::of(&wasm);
        runtime.serve(digest, wasm);
        (runtime, digest)
    }

    /// Asks it for something, as a host does.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> (StatusCode, Bytes) {
        let mut connection = {
            let mut connections = self.connections.lock().await;
            connections.recv().await.expect("a connection")
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "runtime")
            .body(Full::new(body.into()))
            .expect("a request");
        let response = connection.send_request(request).await.expect("an answer");
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .expect("all of it")
            .to_bytes();
        (status, body)
    }

    /// Asks it for a challenge.
    ///
    /// # Errors
    /// Its refusal.
    pub async fn challenge(&self, policy: &[u8]) -> Result<Challenge, (StatusCode, Problem)> {
        let ask = to_json(&AskChallenge {
            policy: Digest::of(policy),
        });
        let answer = self.ask(Method::POST, CHALLENGES_PATH, ask).await;
        Ok(good::<ChallengeGiven>(answer)?.challenge)
    }

    /// Asks it for a session.
    ///
    /// # Errors
    /// Its refusal.
    pub async fn open(
        &self,
        policy: &[u8],
        nonce: Nonce,
        opener: &Identity,
    ) -> Result<SessionOpened, (StatusCode, Problem)> {
        let challenge = self.challenge(policy).await?;
        self.replay(&OpenSession::sign(policy, nonce, challenge, opener))
            .await
    }

    /// Asks it for a session with an opening that was signed before.
    ///
    /// # Errors
    /// Its refusal.
    pub async fn replay(&self, open: &OpenSession) -> Result<SessionOpened, (StatusCode, Problem)> {
        good(self.ask(Method::POST, SESSIONS_PATH, to_json(open)).await)
    }

    /// The executable's file.
    pub fn binary() -> PathBuf {
        program("mc2-runtime-sim")
    }
}

fn good<T: serde::de::DeserializeOwned>(
    (status, body): (StatusCode, Bytes),
) -> Result<T, (StatusCode, Problem)> {
    if status == StatusCode::OK {
        return Ok(parse_json("the answer", &body, 1 << 20).expect("an answer"));
    }
    let problem = parse_json("the problem", &body, 1 << 20).expect("a problem");
    Err((status, problem))
}

async fn control(State(host): State<Host>, mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let Ok((sender, connection)) = handshake(upgraded).await else {
            return;
        };
        let _ = host.connections.send(sender);
        let _ = connection.await;
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(CONTROL_PROTOCOL));
    response
}

async fn component(State(host): State<Host>, Path(digest): Path<String>) -> Response {
    let digest: Option<Digest> = digest.parse().ok();
    let components = host.components.lock().expect("never poisoned");
    match digest.and_then(|digest| components.get(&digest).cloned()) {
        Some(bytes) => Body::from(bytes).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

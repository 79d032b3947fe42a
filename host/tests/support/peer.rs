//! A runtime's side of the two interfaces with no runtime behind it: it opens sessions for any
//! policy and does what the messages it gets say in plain words.

#![allow(
    clippy::unwrap_used,
    reason = "what a test's peer cannot do ends the test"
)]

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use mc2_host::Address;
use mc2_protocol::{
    Digest, Identity, SecretKey,
    crypto::hpke::Sealed,
    documents::{
        control::{ChallengeGiven, OpenSession, Problem, SessionOpened},
        receipt::Evidence,
        record::{self, CompilationCache, Engine, RecordParts, SessionRecord},
        storage::{SealedEvent, UploadId},
    },
    encoding::{Hex, to_json},
};
use mc2_wire::routes::{
    CHALLENGES_PATH, CONTROL_PATH, CONTROL_PROTOCOL, SESSIONS_PATH, events_path, receipt_path,
    spill_path,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// A policy for which the peer answers with the record of another's session.
pub(crate) const OF_ANOTHER: &[u8] = b"of another";

/// Any stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to an address.
pub(crate) async fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Unix(path) => Box::new(tokio::net::UnixStream::connect(path).await?),
        Address::Tcp(address) => Box::new(tokio::net::TcpStream::connect(address).await?),
        Address::Vsock { .. } => return Err(io::Error::other("not in these tests")),
    })
}

/// Makes one request on a connection of its own.
pub(crate) async fn request(
    address: &Address,
    request: Request<Full<Bytes>>,
) -> io::Result<Response<Bytes>> {
    Connection::open(address).await?.send(request).await
}

/// A connection that makes one request after another.
pub(crate) struct Connection {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    driver: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Connection {
    pub(crate) async fn open(address: &Address) -> io::Result<Self> {
        let stream = TokioIo::new(connect(address).await?);
        let (sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .map_err(io::Error::other)?;
        let driver = tokio::spawn(connection);
        Ok(Self { sender, driver })
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> io::Result<Response<Bytes>> {
        let answer = async {
            self.sender.ready().await?;
            let (parts, body) = self.sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Response::from_parts(parts, body))
        };
        answer.await.map_err(io::Error::other)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection whose answer is begun and not read.
pub(crate) struct Listening {
    connection: Connection,
    answer: Option<Response<Incoming>>,
}

impl Listening {
    pub(crate) async fn open(address: &Address) -> Self {
        Self {
            connection: Connection::open(address).await.unwrap(),
            answer: None,
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn begin(&mut self, request: Request<Full<Bytes>>) -> StatusCode {
        let answer = self.connection.sender.send_request(request).await.unwrap();
        let status = answer.status();
        self.answer = Some(answer);
        status
    }
}

/// The peer: an address to dial and a process id to state.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: Address,
    pub(crate) id: String,
    /// The only policy it serves.
    pub(crate) only: Option<&'static [u8]>,
    pub(crate) sessions: Arc<AtomicU64>,
    /// Receipts the host has not stored, by their paths.
    pub(crate) held: Arc<Mutex<HashMap<String, Bytes>>>,
}

impl Peer {
    pub(crate) fn new(address: Address, id: [u8; 16]) -> Self {
        Self {
            address,
            id: hex::encode(id),
            only: None,
            sessions: Arc::default(),
            held: Arc::default(),
        }
    }

    /// Keeps four connections offered until it is dropped.
    pub(crate) async fn run(self) {
        let lanes = (0..4).map(|_| {
            let peer = self.clone();
            async move {
                loop {
                    if peer.offer().await.is_err() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        });
        futures_util::future::join_all(lanes).await;
    }

    /// Dials once and serves that connection until it closes.
    async fn offer(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TokioIo::new(connect(&self.address).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        let driver = tokio::spawn(connection.with_upgrades());
        let dial = Request::get(CONTROL_PATH)
            .header(header::HOST, "mc2-host")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, CONTROL_PROTOCOL)
            .header("mc2-runtime-id", &self.id)
            .body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(dial).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(format!("the host answered {}", answer.status()).into());
        }
        let upgraded = hyper::upgrade::on(answer).await?;
        driver.abort();
        let service = service_fn(|request| async { self.answer(request).await });
        hyper::server::conn::http1::Builder::new()
            .serve_connection(upgraded, service)
            .await?;
        Ok(())
    }

    async fn answer(&self, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let path = parts.uri.path();
        let answer = if path == SESSIONS_PATH {
            self.open(&body)
        } else if path == CHALLENGES_PATH {
            Ok(to_json(&ChallengeGiven {
                challenge: Hex([6; 32]),
            })
            .into())
        } else if let Some(rest) = path.strip_prefix("/v1/sessions/") {
            let session = rest
                .split('/')
                .next()
                .and_then(|digest| digest.parse().ok())
                .unwrap();
            match (parts.method, path.ends_with("/messages")) {
                (Method::POST, true) => self.obey(&session, &body).await,
                (Method::POST, false) => Ok(body),
                (Method::GET, _) => {
                    let held = self.held.lock().unwrap().get(path).cloned();
                    held.ok_or((StatusCode::NOT_FOUND, "not-found"))
                }
                _ => Err((StatusCode::NOT_FOUND, "unknown-route")),
            }
        } else {
            Err((StatusCode::NOT_FOUND, "unknown-route"))
        };
        Ok(match answer {
            Ok(body) => Response::new(Full::new(body)),
            Err((status, code)) => {
                mc2_wire::problem(&Problem::new(status.as_u16(), code, "the peer says so"))
            }
        })
    }

    fn open(&self, body: &[u8]) -> Result<Bytes, (StatusCode, &'static str)> {
        let open: OpenSession = serde_json::from_slice(body).unwrap();
        if open.policy.as_slice() == b"refused" {
            return Err((StatusCode::UNPROCESSABLE_ENTITY, "policy"));
        }
        if self.only.is_some_and(|only| open.policy.as_slice() != only) {
            return Err((StatusCode::CONFLICT, "other-tenant"));
        }
        if open.policy.as_slice() == OF_ANOTHER {
            return Ok(of_policy(Digest::of(b"another")));
        }
        let number = self.sessions.fetch_add(1, Ordering::SeqCst);
        let record = [
            open.policy.as_slice(),
            self.id.as_bytes(),
            &number.to_be_bytes(),
            // No two processes have one session.
            &std::process::id().to_be_bytes(),
        ]
        .concat();
        let evidence = Evidence {
            media_type: "application/vnd.mc2.peer".into(),
            // Which process serves, for the tests that ask.
            value: self.id.clone().into_bytes().into(),
        };
        Ok(to_json(&SessionOpened {
            record: record.into(),
            evidence,
            endorsements: Vec::new(),
        })
        .into())
    }

    async fn obey(
        &self,
        session: &Digest,
        body: &Bytes,
    ) -> Result<Bytes, (StatusCode, &'static str)> {
        let text = String::from_utf8_lossy(body).into_owned();
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["announce", number] => self.event(session, number, Bytes::new()).await,
            ["event", number, text] => {
                let sealed = Sealed {
                    encapsulated_key: text.as_bytes().into(),
                    ciphertext: vec![7; 16].into(),
                };
                let event = SealedEvent {
                    card: Digest::of(b"card"),
                    sealed,
                };
                self.event(session, number, to_json(&event).into()).await
            }
            ["end", number, success, receipt] => self.end(session, number, success, receipt).await,
            ["hold", number, receipt] => {
                let path = receipt_path(session, number.parse().unwrap());
                let receipt = Bytes::from(receipt.to_owned());
                self.held.lock().unwrap().insert(path, receipt);
                Ok(Bytes::new())
            }
            ["spill", page] => {
                let path = spill_path(&UploadId::from(Hex([9; 16])), 3);
                let put = self
                    .storage(Method::PUT, &path, page.to_owned().into())
                    .await;
                assert_eq!(put.status(), StatusCode::NO_CONTENT);
                Ok(self
                    .storage(Method::GET, &path, Bytes::new())
                    .await
                    .into_body())
            }
            ["exit"] => std::process::exit(3),
            ["gone"] => Err((StatusCode::NOT_FOUND, "not-found")),
            ["panic"] => Err((StatusCode::INTERNAL_SERVER_ERROR, "panic")),
            ["redirect"] => Err((StatusCode::FOUND, "elsewhere")),
            ["flood"] => Ok(vec![b'x'; 9 * 1024 * 1024].into()),
            ["silence"] => std::future::pending().await,
            _ => Ok(body.clone()),
        }
    }

    async fn event(
        &self,
        session: &Digest,
        number: &str,
        body: Bytes,
    ) -> Result<Bytes, (StatusCode, &'static str)> {
        let path = events_path(session, number.parse().unwrap());
        Ok(code(&self.storage(Method::POST, &path, body).await))
    }

    async fn end(
        &self,
        session: &Digest,
        number: &str,
        success: &str,
        receipt: &str,
    ) -> Result<Bytes, (StatusCode, &'static str)> {
        let path = receipt_path(session, number.parse().unwrap());
        let path = format!("{path}?success={success}");
        Ok(code(
            &self
                .storage(Method::PUT, &path, receipt.to_owned().into())
                .await,
        ))
    }

    /// Makes a request for storage.
    pub(crate) async fn storage(&self, method: Method, path: &str, body: Bytes) -> Response<Bytes> {
        let asked = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "mc2-host")
            .header("mc2-runtime-id", &self.id)
            .body(Full::new(body))
            .unwrap();
        request(&self.address, asked).await.unwrap()
    }
}

/// A session that was opened under this policy, with a record as runtimes make them.
fn of_policy(policy: Digest) -> Bytes {
    let seeds = [1, 2].map(|byte| SecretKey::from_bytes([byte; 32]));
    let [first, second] = seeds;
    let identity = Identity::from_seeds("me".parse().unwrap(), &first, second);
    let text = |text: &str| text.to_owned();
    let record = SessionRecord::new(RecordParts {
        runtime: record::Runtime {
            name: text("mc2-runtime"),
            version: text("1.0.0"),
        },
        engine: Engine {
            name: text("wasmtime"),
            version: text("1"),
            profile: text("vm"),
            configuration: policy,
        },
        compilation_cache: CompilationCache::Memory,
        tenant: None,
        policy,
        components: Vec::new(),
        hpke_public_key: identity.card().public_key().clone(),
        signing_public_key: identity.card().verifying_key().to_owned(),
    });
    let evidence = Evidence {
        media_type: text("application/vnd.mc2.peer"),
        value: Vec::new().into(),
    };
    to_json(&SessionOpened {
        record: record.to_bytes().into(),
        evidence,
        endorsements: Vec::new(),
    })
    .into()
}

/// The number of a status, so that a test reads it in the answer to its message.
fn code(response: &Response<Bytes>) -> Bytes {
    response.status().as_str().to_owned().into()
}

//! The runtime's side of the control interface: HTTP/1.1 over connections it dialled itself.
//!
//! One idle connection always waits at the host; as soon as a request arrives on it the next is
//! dialled, up to [`CONNECTIONS`]. When the host is gone for good, so is this process, once it holds
//! nothing that a host should still store.

use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use futures_util::future::select;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName},
    server,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use mc2_protocol::{
    Digest,
    documents::{
        control::{AskChallenge, AskEvidence, ChallengeGiven, MAX_LEN, OpenSession, Problem},
        message::{Answer, Kind, SealedMessage},
    },
    encoding::{parse_json, to_json},
};
use mc2_wire::{
    Body, Connect as _, json, problem as wire_problem, read,
    routes::{CHALLENGES_PATH, CONTROL_PATH, CONTROL_PROTOCOL, JOB_NUMBER, SESSIONS_PATH},
    upgrade,
};
use tokio::sync::{Notify, Semaphore};

use crate::{
    room::NoRoom,
    runtime::Runtime,
    session::{Session, SessionError},
};

/// Control connections at once.
const CONNECTIONS: usize = 16;
/// How long a request's head and body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a host that cannot be reached is tried again before the process ends.
const DIALS: u32 = 20;
/// Seconds after which whoever was refused for want of a place may ask again.
const RETRY_AFTER: u32 = 1;
const DIAL_PAUSE: Duration = Duration::from_millis(250);

/// Serves the host until it is gone.
///
/// # Errors
/// The host could not be reached, at first or again.
pub(crate) async fn serve(runtime: Runtime) -> io::Result<()> {
    let runtime = Arc::new(runtime);
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&permits)
            .acquire_owned()
            .await
            // The semaphore is never closed.
            .unwrap_or_else(|error| unreachable!("{error}"));
        let stream = match offer(&runtime).await {
            Ok(stream) => stream,
            // What runs, or waits to be stored, would be lost with this process.
            Err(_) if !runtime.outbox().is_idle() => continue,
            Err(error) => return Err(error),
        };
        runtime.outbox().host_is_back();
        let taken = Arc::new(Taken::default());
        let connection = {
            let (runtime, taken) = (Arc::clone(&runtime), Arc::clone(&taken));
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    taken.mark();
                    let runtime = Arc::clone(&runtime);
                    async move { Ok::<_, Infallible>(answer(&runtime, request).await) }
                });
                // An error ends this connection only; the host sees it as an answer that broke off.
                let _ = server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                drop(permit);
            })
        };
        select(pin!(taken.wait()), connection).await;
    }
}

/// Set once the host has used a connection.
#[derive(Default)]
struct Taken {
    yes: AtomicBool,
    notify: Notify,
}

impl Taken {
    fn mark(&self) {
        if !self.yes.swap(true, Ordering::Relaxed) {
            self.notify.notify_one();
        }
    }

    async fn wait(&self) {
        self.notify.notified().await;
    }
}

/// Dials the host and turns the roles round.
async fn offer(runtime: &Runtime) -> io::Result<TokioIo<hyper::upgrade::Upgraded>> {
    let mut failure = None;
    for dial in 0..DIALS {
        if dial > 0 {
            tokio::time::sleep(DIAL_PAUSE).await;
        }
        match turn_round(runtime).await {
            Ok(upgraded) => return Ok(TokioIo::new(upgraded)),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| io::ErrorKind::NotConnected.into()))
}

async fn turn_round(runtime: &Runtime) -> io::Result<hyper::upgrade::Upgraded> {
    let storage = runtime.storage();
    let stream = storage.address().connect().await?;
    upgrade(stream, CONTROL_PATH, CONTROL_PROTOCOL, storage.headers()).await
}

async fn answer(runtime: &Arc<Runtime>, request: Request<Incoming>) -> Response<Body> {
    match route(runtime, request).await {
        Ok(Said { body, job }) => {
            let mut response = json(StatusCode::OK, Body(body.into()));
            if let Some(number) = job {
                let name = HeaderName::from_static(JOB_NUMBER);
                response.headers_mut().insert(name, number.into());
            }
            response
        }
        Err(problem) => {
            let mut response = wire_problem(&problem);
            if problem.status == StatusCode::TOO_MANY_REQUESTS {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, RETRY_AFTER.into());
            }
            response
        }
    }
}

/// What is answered.
struct Said {
    body: Vec<u8>,
    /// The number of the job that the request began.
    job: Option<u64>,
}

impl From<Vec<u8>> for Said {
    fn from(body: Vec<u8>) -> Self {
        Self { body, job: None }
    }
}

async fn route(runtime: &Arc<Runtime>, request: Request<Incoming>) -> Result<Said, Problem> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    if method == Method::POST && path == CHALLENGES_PATH {
        let body = body(request).await?;
        let ask: AskChallenge =
            parse_json("the challenge request", &body, MAX_LEN).map_err(bad_request)?;
        let challenge = runtime.challenge(&ask.policy).map_err(session_problem)?;
        return Ok(to_json(&ChallengeGiven { challenge }).into());
    }
    let parts: Vec<&str> = path
        .strip_prefix(SESSIONS_PATH)
        .map(|rest| rest.split('/').skip(1).collect())
        .ok_or_else(not_found)?;
    match (method, parts.as_slice()) {
        (Method::POST, []) => {
            let body = body(request).await?;
            let open: OpenSession =
                parse_json("the session request", &body, MAX_LEN).map_err(bad_request)?;
            let opened = runtime.open_session(&open).await.map_err(session_problem)?;
            Ok(to_json(&opened).into())
        }
        (Method::POST, [session, "evidence"]) => {
            let session = runtime.session(&digest(session)?).ok_or_else(not_found)?;
            let body = body(request).await?;
            let ask: AskEvidence =
                parse_json("the evidence request", &body, MAX_LEN).map_err(bad_request)?;
            let opened = runtime
                .evidence(&session, &ask.nonce)
                .await
                .map_err(session_problem)?;
            Ok(to_json(&opened).into())
        }
        (Method::POST, [session, "messages"]) => {
            let session = runtime.session(&digest(session)?).ok_or_else(not_found)?;
            let queued = request.uri().query() == Some("queued=true");
            let body = body(request).await?;
            // Held until the job has its own place, or was refused one.
            let _room = match queued && is_submission(&body) {
                true => Some(runtime.room_for_job(&session).map_err(busy)?),
                false => None,
            };
            let (answer, job) = message(runtime, session, body).await?;
            let body = to_json(&answer);
            Ok(Said { body, job })
        }
        (Method::GET, [session, "jobs", number, "receipt"]) => {
            let number = number.parse().map_err(|_| not_found())?;
            let receipt = runtime.outbox().receipt(digest(session)?, number);
            let receipt = receipt.map(Vec::from).ok_or_else(not_found)?;
            Ok(receipt.into())
        }
        _ => Err(not_found()),
    }
}

/// Handles a message: its answer, and the number of the job that it began. A submission asks the TEE for evidence, which may take as long as the host
/// likes: on a thread of its own, so that nobody else's request waits for one, and to its end, also
/// where the host does not wait for the answer.
async fn message(
    runtime: &Arc<Runtime>,
    session: Arc<Session>,
    body: BytesMut,
) -> Result<(Answer, Option<u64>), Problem> {
    if !is_submission(&body) {
        return Ok(runtime.message(&session, &body));
    }
    let runtime = Arc::clone(runtime);
    tokio::task::spawn_blocking(move || runtime.message(&session, &body))
        .await
        .map_err(|_| failed())
}

async fn body(request: Request<Incoming>) -> Result<BytesMut, Problem> {
    let body = read(request.into_body(), MAX_LEN);
    match tokio::time::timeout(READ_TIMEOUT, body).await {
        Ok(body) => body.map_err(bad_request),
        Err(_) => Err(bad_request("the request's body took too long")),
    }
}

/// Whether a message says on its outside that it submits a job.
fn is_submission(message: &[u8]) -> bool {
    SealedMessage::parse(message).is_ok_and(|message| message.kind == Kind::Submit)
}

/// Nothing was opened and no sequence number spent: the same message may come again.
fn busy(who: NoRoom) -> Problem {
    let code = match who {
        NoRoom::Session => "session-busy",
        NoRoom::Process => "busy",
    };
    problem(StatusCode::TOO_MANY_REQUESTS, code, who)
}

fn digest(text: &str) -> Result<Digest, Problem> {
    text.parse().map_err(|_| not_found())
}

fn problem(status: StatusCode, code: &str, detail: impl ToString) -> Problem {
    Problem::new(status.as_u16(), code, detail.to_string())
}

fn not_found() -> Problem {
    problem(
        StatusCode::NOT_FOUND,
        "not-found",
        "this runtime has no such session or path",
    )
}

/// A panic, whose words may be about anything.
fn failed() -> Problem {
    problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the runtime failed while it handled the message",
    )
}

fn bad_request(error: impl ToString) -> Problem {
    problem(StatusCode::BAD_REQUEST, "bad-request", error)
}

fn session_problem(error: SessionError) -> Problem {
    let status = match &error {
        SessionError::Tenant | SessionError::Challenge => StatusCode::CONFLICT,
        SessionError::Opening(_) => StatusCode::FORBIDDEN,
        SessionError::Policy(_) | SessionError::Component { .. } | SessionError::Tee { .. } => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        SessionError::TooMany => StatusCode::TOO_MANY_REQUESTS,
        SessionError::Attester(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(status, error.code(), error)
}

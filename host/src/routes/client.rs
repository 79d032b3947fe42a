//! What clients may ask.

use std::time::Duration;

use axum::{
    Router, extract,
    response::IntoResponse,
    routing::{get, post, put},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use mc2_protocol::{
    Digest,
    documents::{
        control::{self, AskChallenge, AskEvidence, OpenSession, SessionOpened},
        message, receipt, record,
        storage::MAX_COMPONENT_LEN,
    },
    encoding::{Hex, parse_json, to_json},
};
use mc2_wire::{
    Request, json,
    routes::{self, CHALLENGES_PATH, HEALTH_PATH, SESSIONS_PATH, receipt_path, template},
};
use serde::{Deserialize, Serialize};

use super::{
    extract::{Asked, In, Sent},
    shared::{Answer, component, finish, object_routes, send},
};
use crate::{
    refusal::Refusal,
    runtimes::Runtime,
    state::State,
    store::jobs::{Opened, Owner, Receipt},
    transfer::{Side, incoming::Whole},
    waiting::raised,
};

/// Largest request for evidence or a challenge, in bytes.
const MAX_ASK_LEN: usize = 4096;
/// What a runtime says that serves another tenant for its life.
const OTHER_TENANT: &str = "other-tenant";
/// Longest wait for news of a job.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The routes for clients.
pub(crate) fn client_router(state: State) -> Router {
    let router = object_routes()
        .route(HEALTH_PATH, get(health))
        .route(template::COMPONENT, put(put_component).get(component))
        .route(CHALLENGES_PATH, post(challenge))
        .route(SESSIONS_PATH, post(open_session))
        .route(template::EVIDENCE, post(evidence))
        .route(template::MESSAGES, post(messages))
        .route(template::JOB, get(job_status))
        .route(template::RECEIPT, get(read_receipt));
    finish(router, Side::Client, state)
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    runtimes: usize,
    sessions: usize,
}

async fn health(extract::State(state): extract::State<State>) -> Answer {
    let (runtimes, sessions) = state.runtimes.registry().count();
    let version = env!("CARGO_PKG_VERSION");
    let health = Health {
        status: "ok",
        version,
        runtimes,
        sessions,
    };
    Ok(json(StatusCode::OK, to_json(&health).into()))
}

async fn put_component(
    extract::State(state): extract::State<State>,
    In(digest): In<Digest>,
    body: Sent,
) -> Answer {
    let component = body.pieces(MAX_COMPONENT_LEN);
    state.store.components.put(digest, component).await?;
    tracing::info!(%digest, "a component was stored");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Has the process that serves a policy, or will, give a challenge.
async fn challenge(extract::State(state): extract::State<State>, body: Sent) -> Answer {
    let mut body = body.whole(MAX_ASK_LEN).await?;
    let ask: AskChallenge = parse_json("the request", &body, MAX_ASK_LEN)
        .map_err(|error| Refusal::bad("request", error.to_string()))?;
    let tenant = ask.policy;
    finish_anyway(async move {
        loop {
            let runtime = state.runtimes.runtime_for(tenant).await?;
            let (start, relay) = (state.config.timeouts.start, state.config.timeouts.relay);
            let request = asking(CHALLENGES_PATH.to_owned(), &mut body, relay);
            let answer = runtime.ask(&request, start).await?;
            if !answer.is_problem(OTHER_TENANT) {
                return Ok(answer.into_response());
            }
            // It served somebody before this host was started; it is not asked for this tenant
            // again, so this ends.
            state.runtimes.registry().refuse(&runtime, tenant);
        }
    })
    .await
}

async fn open_session(extract::State(state): extract::State<State>, body: Sent) -> Answer {
    let mut body = body.whole(control::MAX_LEN).await?;
    let open: OpenSession = parse_json("the request", &body, control::MAX_LEN)
        .map_err(|error| Refusal::bad("request", error.to_string()))?;
    let policy = Bytes::from(open.policy.0);
    let tenant = Digest::of(&policy);
    // Compiling may take minutes, and is not in vain when the client goes away meanwhile.
    finish_anyway(async move {
        let runtime = state.runtimes.runtime_for(tenant).await?;
        let (start, open) = (state.config.timeouts.start, state.config.timeouts.open);
        let request = asking(SESSIONS_PATH.to_owned(), &mut body, open);
        let answer = runtime.ask(&request, start).await?;
        if answer.is_problem(OTHER_TENANT) {
            // The client asks for the next one's challenge.
            state.runtimes.registry().refuse(&runtime, tenant);
            return Ok(answer.into_response());
        }
        if !answer.status.is_success() {
            state.runtimes.registry().release_unused(&runtime);
            return Ok(answer.into_response());
        }
        let opened: SessionOpened =
            parse_json("the runtime's answer", &answer.body, control::MAX_LEN).map_err(
                |error| Refusal::new(StatusCode::BAD_GATEWAY, "runtime-answer", error.to_string()),
            )?;
        let session = record::session_digest(opened.record.as_slice());
        let owner = Owner {
            runtime: Hex(runtime.id.0),
            tenant,
        };
        let opened = Opened {
            policy,
            record: opened.record.0.into(),
        };
        let jobs = &state.store.jobs;
        jobs.begin_session(session, owner, opened).await?;
        state.runtimes.registry().add_session(session, &runtime);
        tracing::info!(%session, %tenant, runtime = %runtime.id, "a session was opened");
        Ok(answer.into_response())
    })
    .await
}

async fn evidence(
    extract::State(state): extract::State<State>,
    In(session): In<Digest>,
    body: Sent,
) -> Answer {
    let body = body.whole(MAX_ASK_LEN).await?;
    parse_json::<AskEvidence>("the request", &body, MAX_ASK_LEN)
        .map_err(|error| Refusal::bad("request", error.to_string()))?;
    relay(state, session, routes::evidence_path(&session), body).await
}

async fn messages(
    extract::State(state): extract::State<State>,
    In(session): In<Digest>,
    body: Sent,
) -> Answer {
    let body = body.whole(message::MAX_LEN).await?;
    relay(state, session, routes::messages_path(&session), body).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusQuery {
    #[serde(default)]
    after: u64,
    /// Seconds to wait for news.
    #[serde(default)]
    wait: u64,
}

async fn job_status(
    extract::State(state): extract::State<State>,
    In((session, number)): In<(Digest, u64)>,
    Asked(StatusQuery { after, wait }): Asked<StatusQuery>,
) -> Answer {
    let wait = Duration::from_secs(wait).min(MAX_WAIT);
    let mut ending = state.ending.subscribe();
    let status = tokio::select! {
        status = state.store.jobs.status(session, number, after, wait) => status?,
        // The host is ending: what is known now.
        () = raised(&mut ending) => {
            state.store.jobs.status(session, number, after, Duration::ZERO).await?
        }
    };
    Ok(json(StatusCode::OK, to_json(&status).into()))
}

async fn read_receipt(
    extract::State(state): extract::State<State>,
    In((session, number)): In<(Digest, u64)>,
    headers: HeaderMap,
) -> Answer {
    if let Receipt::Stored(file) = state.store.jobs.receipt(session, number).await? {
        return send(file, &headers, &state);
    }
    let running = || {
        let message = format!("job {number} has not ended yet");
        Refusal::not_found("running", message)
    };
    // It may have ended and its receipt not be stored yet.
    let Some(runtime) = state.runtimes.registry().of_session(&session) else {
        return Err(running());
    };
    let relay = state.config.timeouts.relay;
    let request = Request::get(receipt_path(&session, number), 2 * receipt::MAX_LEN);
    let answer = runtime.ask(&request.within(relay), relay).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return match state.store.jobs.receipt(session, number).await? {
            // Stored in the meantime.
            Receipt::Stored(file) => send(file, &headers, &state),
            Receipt::WithRuntime => Err(running()),
        };
    }
    Ok(answer.into_response())
}

/// Passes a request on to the session's runtime, byte for byte, and its answer back.
async fn relay(state: State, session: Digest, path: String, mut body: Whole) -> Answer {
    let runtime = runtime_of(&state, &session)?;
    // Once sent it is done or not, whether the client waits for the answer or goes away.
    finish_anyway(async move {
        let relay = state.config.timeouts.relay;
        let request = asking(path, &mut body, relay);
        let answer = runtime.ask(&request, relay).await?;
        Ok(answer.into_response())
    })
    .await
}

/// A request of the body's bytes, which has `patience` for its answer.
fn asking(path: String, body: &mut Whole, patience: Duration) -> Request {
    Request::post(path, body.relayed(), control::MAX_LEN).within(patience)
}

fn runtime_of(state: &State, session: &Digest) -> Result<std::sync::Arc<Runtime>, Refusal> {
    state
        .runtimes
        .registry()
        .of_session(session)
        .ok_or_else(|| {
            if state.store.jobs.knows(session) {
                let message = "the session is over: its runtime went away; open a new one";
                Refusal::new(StatusCode::GONE, "session-over", message)
            } else {
                Refusal::not_found(
                    "unknown-session",
                    format!("this host has no session {session}"),
                )
            }
        })
}

/// Runs `work` to its end even where the request it is for is dropped.
async fn finish_anyway(work: impl Future<Output = Answer> + Send + 'static) -> Answer {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|error| Err(Refusal::internal("a task of the host ended early", &error)))
}

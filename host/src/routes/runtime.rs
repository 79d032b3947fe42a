//! What runtimes may ask.

use axum::{body::Body, extract, response::IntoResponse};
use http::{HeaderMap, Request, StatusCode};
use mc2_protocol::{
    Digest,
    documents::{
        receipt,
        storage::{
            Ended, MAX_EVENT_LEN, MAX_PART_LEN, MAX_START_LEN, SealedEvent, StartQuestion, UploadId,
        },
    },
    sealed::small,
};
use mc2_wire::routes::{BULK_PATH, CONTROL_PATH, CONTROL_PROTOCOL, template};

use super::{
    Answer,
    api::Route,
    bulk::bulk,
    extract::{Asked, Caller, From, In, Sent},
    objects::send,
    upgrade::{require, switched},
};
use crate::{
    refusal::Refusal,
    runtime_id::RuntimeId,
    runtimes::{MAX_CONNECTIONS, Runtime},
    state::State,
    store::{blobs::Blob, cache},
};

/// The routes besides those that both sides have.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(CONTROL_PATH, dial),
        Route::get(BULK_PATH, bulk),
        Route::put(template::OBJECT, put_object),
        Route::put(template::SPILL, put_page),
        Route::get(template::SPILL, page),
        Route::delete(template::SPILL, drop_page),
        Route::delete(template::SPILL_AREA, drop_area),
        Route::put(template::CACHE, put_cache),
        Route::get(template::CACHE, cached),
        Route::post(template::EVENTS, event),
        Route::post(template::START, ask_start),
        Route::put(template::RECEIPT, end_job),
    ]
}

/// Turns a connection round: from here on the host is the client on it.
async fn dial(
    extract::State(state): extract::State<State>,
    Caller(id): Caller,
    mut request: Request<Body>,
) -> Answer {
    require(request.headers(), CONTROL_PROTOCOL)?;
    if *state.ending.borrow() {
        return Err(Refusal::busy("ending", "the host is ending"));
    }
    // A process the host started may have dialled just before it ended; it must not come back as
    // another one.
    let runtime = if request.extensions().get::<RuntimeId>().is_some() {
        state.runtimes.registry().get(id).ok_or_else(|| {
            Refusal::new(StatusCode::GONE, "runtime-gone", "this runtime has ended")
        })?
    } else {
        state.runtimes.arrive(id).await?
    };
    if runtime.control.connections() >= MAX_CONNECTIONS {
        let message = format!("{MAX_CONNECTIONS} control connections are open already");
        return Err(Refusal::busy("busy", message));
    }
    runtime.touch();
    state.runtimes.dialed(&runtime);
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                if let Err(error) = runtime.control.serve(upgraded).await {
                    tracing::debug!(%error, runtime = %id, "a control connection ended early");
                }
            }
            Err(error) => {
                tracing::debug!(%error, runtime = %id, "a control connection was not made")
            }
        }
        state.runtimes.connection_closed(&runtime);
    });
    Ok(switched(CONTROL_PROTOCOL))
}

/// A small object in one piece.
async fn put_object(
    extract::State(state): extract::State<State>,
    In(object): In<Digest>,
    body: Sent,
) -> Answer {
    let payer = body.payer.clone();
    let bytes = body.whole(small::MAX_LEN).await?;
    let objects = &state.store.objects;
    objects.put_small(object, payer, bytes.clone()).await?;
    tracing::debug!(%object, "an object was stored");
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn put_page(
    extract::State(state): extract::State<State>,
    From(runtime): From,
    In((area, slot)): In<(UploadId, u64)>,
    body: Sent,
) -> Answer {
    let page = body.whole(MAX_PART_LEN).await?;
    state
        .store
        .spill
        .put(runtime.id, area, slot, page.clone())
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn page(
    extract::State(state): extract::State<State>,
    From(runtime): From,
    In((area, slot)): In<(UploadId, u64)>,
) -> Answer {
    let page = state.store.spill.read(runtime.id, area, slot).await?;
    Ok(page.into_response())
}

async fn drop_page(
    extract::State(state): extract::State<State>,
    From(runtime): From,
    In((area, slot)): In<(UploadId, u64)>,
) -> Answer {
    state.store.spill.drop_page(runtime.id, &area, slot);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn drop_area(
    extract::State(state): extract::State<State>,
    From(runtime): From,
    In(area): In<UploadId>,
) -> Answer {
    state.store.spill.drop_area(runtime.id, &area);
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn put_cache(
    extract::State(state): extract::State<State>,
    In(key): In<Digest>,
    body: Sent,
) -> Answer {
    let entry = body.pieces(cache::MAX_ENTRY_LEN);
    state.store.cache.put(key, entry).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn cached(
    extract::State(state): extract::State<State>,
    In(key): In<Digest>,
    headers: HeaderMap,
) -> Answer {
    let entry = Blob::File(state.store.cache.open(&key)?);
    send(entry, &headers, &state).await
}

/// An event, or, where the body is empty, the news that a job runs.
async fn event(
    extract::State(state): extract::State<State>,
    From(runtime): From,
    In((session, number)): In<(Digest, u64)>,
    body: Sent,
) -> Answer {
    let body = body.whole(MAX_EVENT_LEN).await?;
    own_session(&state, &runtime, &session)?;
    if body.is_empty() {
        state.store.jobs.announce(session, number).await?;
    } else {
        let event =
            SealedEvent::parse(&body).map_err(|error| Refusal::bad("event", error.to_string()))?;
        state.store.jobs.event(session, number, &event).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What a job waits for before it starts, for those who answer.
async fn ask_start(
    extract::State(state): extract::State<State>,
    From(runtime): From,
    In((session, number)): In<(Digest, u64)>,
    body: Sent,
) -> Answer {
    let body = body.whole(MAX_START_LEN).await?;
    own_session(&state, &runtime, &session)?;
    let question =
        StartQuestion::parse(&body).map_err(|error| Refusal::bad("start", error.to_string()))?;
    state
        .store
        .jobs
        .ask_start(session, number, question)
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn end_job(
    extract::State(state): extract::State<State>,
    From(runtime): From,
    In((session, number)): In<(Digest, u64)>,
    Asked(Ended { success }): Asked<Ended>,
    body: Sent,
) -> Answer {
    // A receipt sealed and in base64.
    let receipt = body.whole(2 * receipt::MAX_LEN).await?;
    if receipt.is_empty() {
        return Err(Refusal::bad("receipt", "a receipt is not empty"));
    }
    // A receipt may come after its session was ended.
    let owner = state.store.jobs.owner(&session);
    if owner.is_none_or(|owner| owner.runtime.0 != runtime.id.0) {
        own_session(&state, &runtime, &session)?;
    }
    state
        .store
        .jobs
        .end(session, number, success, receipt.clone())
        .await?;
    tracing::info!(%session, number, success, "a job ended");
    state.runtimes.job_ended(session);
    state.queue.job_ended(&runtime, &session);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Refuses word of a session that another runtime serves, or none any more.
fn own_session(state: &State, runtime: &Runtime, session: &Digest) -> Result<(), Refusal> {
    match state.runtimes.registry().of_session(session) {
        Some(owner) if owner.id == runtime.id => Ok(()),
        Some(_) => {
            let message = "the session is another runtime's";
            Err(Refusal::new(StatusCode::FORBIDDEN, "session", message))
        }
        None => {
            state.store.jobs.require(session)?;
            let message = "the session is over for this host; its jobs are lost";
            Err(Refusal::new(StatusCode::GONE, "session-over", message))
        }
    }
}

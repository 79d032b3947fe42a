//! Routes that clients and runtimes both have: reading components and objects, and uploading.

use axum::{
    Extension, Router, extract,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use http::{HeaderMap, StatusCode};
use mc2_protocol::{
    Digest,
    documents::storage::{Committed, MAX_PART_LEN, UploadId},
    encoding::to_json,
    sealed::manifest,
};
use mc2_wire::{json, routes::template};
use serde::Deserialize;

use super::extract::{Asked, In, Sent};
use crate::{
    refusal::Refusal,
    state::State,
    store::objects::Part,
    transfer::{Side, outgoing::send_file},
};

/// An answer, or the reason why there is none.
pub(super) type Answer = Result<Response, Refusal>;

/// Objects and uploads.
pub(super) fn object_routes() -> Router<State> {
    Router::new()
        .route(template::MANIFEST, get(manifest))
        .route(template::FILE, get(file))
        .route(template::DIGESTS, get(digests))
        .route(template::UPLOAD_FILE, put(put_file))
        .route(template::UPLOAD_DIGESTS, put(put_digests))
        .route(template::UPLOAD_COMMIT, post(commit))
        .route(template::UPLOAD, axum::routing::delete(drop_upload))
}

/// A component's bytes.
pub(super) async fn component(
    extract::State(state): extract::State<State>,
    In(digest): In<Digest>,
    headers: HeaderMap,
) -> Answer {
    send(state.store.components.open(&digest)?, &headers, &state)
}

/// A stored file as an answer.
pub(super) fn send(file: std::fs::File, headers: &HeaderMap, state: &State) -> Answer {
    send_file(file, headers, &state.store.buffers, MAX_PART_LEN as u64)
}

async fn manifest(
    extract::State(state): extract::State<State>,
    In(object): In<Digest>,
    headers: HeaderMap,
) -> Answer {
    send(
        state.store.objects.open_manifest(&object)?,
        &headers,
        &state,
    )
}

async fn file(
    extract::State(state): extract::State<State>,
    In((object, index)): In<(Digest, usize)>,
    headers: HeaderMap,
) -> Answer {
    send(
        state.store.objects.open_part(&object, Part::File, index)?,
        &headers,
        &state,
    )
}

async fn digests(
    extract::State(state): extract::State<State>,
    In((object, index)): In<(Digest, usize)>,
    headers: HeaderMap,
) -> Answer {
    send(
        state
            .store
            .objects
            .open_part(&object, Part::Digests, index)?,
        &headers,
        &state,
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Offset {
    offset: u64,
}

async fn put_file(
    extract::State(state): extract::State<State>,
    In((upload, index)): In<(UploadId, usize)>,
    Asked(Offset { offset }): Asked<Offset>,
    body: Sent,
) -> Answer {
    append(&state, upload, Part::File, index, offset, body).await
}

async fn put_digests(
    extract::State(state): extract::State<State>,
    In((upload, index)): In<(UploadId, usize)>,
    Asked(Offset { offset }): Asked<Offset>,
    body: Sent,
) -> Answer {
    append(&state, upload, Part::Digests, index, offset, body).await
}

async fn append(
    state: &State,
    upload: UploadId,
    part: Part,
    index: usize,
    offset: u64,
    body: Sent,
) -> Answer {
    let side = body.side;
    let bytes = body.gathered(MAX_PART_LEN).await?;
    state
        .store
        .uploads
        .append(side, upload, part, index, offset, bytes)
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn commit(
    extract::State(state): extract::State<State>,
    In(upload): In<UploadId>,
    body: Sent,
) -> Answer {
    let manifest = body.whole(manifest::MAX_LEN).await?;
    let object = state.store.uploads.commit(upload, manifest.clone()).await?;
    tracing::info!(%object, "an object was stored");
    Ok(json(StatusCode::OK, to_json(&Committed { object }).into()))
}

async fn drop_upload(
    extract::State(state): extract::State<State>,
    In(upload): In<UploadId>,
) -> Answer {
    state.store.uploads.drop(upload).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Gives a router its state, its side, and its answers for what it does not have.
pub(super) fn finish(router: Router<State>, side: Side, state: State) -> Router {
    router
        .fallback(|| async {
            Refusal::not_found(
                "unknown-route",
                "there is nothing here; see the protocol's chapter 9",
            )
        })
        .method_not_allowed_fallback(|| async {
            let message = "this route does not take this method";
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", message)
        })
        .layer(Extension(side))
        .with_state(state)
}

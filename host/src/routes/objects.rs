//! Components, objects and uploads: what clients and runtimes both have.

use axum::{extract, response::IntoResponse};
use http::{HeaderMap, StatusCode};
use mc2_protocol::{
    Digest,
    documents::storage::{Committed, MAX_COMPONENT_LEN, MAX_PART_LEN, UploadId},
    encoding::to_json,
    sealed::manifest,
};
use mc2_wire::{bulk::Part, json, routes::template};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer,
    api::{Route, shapes},
    extract::{Asked, In, Sent, whole},
};
use crate::{state::State, store::blobs::Blob};

/// Why an upload is not written to just now.
const WRITING: [&str; 3] = ["offset", "upload-ended", "writing"];

/// What both sides have. A runtime of this release reads files and digests in bulk; another may read
/// them by their routes, as the host that lies in the tests does in a runtime's name.
pub(super) fn shared_routes() -> Vec<Route> {
    vec![
        Route::get(template::COMPONENT, component)
            .does("A component's exact bytes")
            .ranges()
            .refuses(404, &["not-found"]),
        Route::get(template::MANIFEST, manifest)
            .does("An object's manifest, its exact bytes")
            .ranges()
            .refuses(404, &["not-found"]),
        Route::get(template::FILE, file)
            .does("The sealed bytes of one of an object's streams")
            .ranges()
            .refuses(404, &["not-found"]),
        Route::get(template::DIGESTS, digests)
            .does("The list of a stream's segment digests")
            .ranges()
            .refuses(404, &["not-found"]),
        Route::put(template::UPLOAD_FILE, put_file)
            .does("Send the next sealed bytes of a stream")
            .explained(
                "At most 8 MiB. The first one begins the upload. The same bytes at the same place \
                 again are no error, so whatever broke off is sent again, or `GET` of the upload \
                 says where to go on.",
            )
            .query::<Offset>()
            .takes_bytes("Sealed bytes.")
            .answers_nothing()
            .refuses(400, &["index"])
            .refuses(409, &WRITING)
            .refuses(503, &["busy"])
            .refuses(507, &["quota"]),
        Route::put(template::UPLOAD_DIGESTS, put_digests)
            .does("Send the next bytes of a stream's segment digests")
            .explained("As for the stream itself.")
            .query::<Offset>()
            .takes_bytes("Digests of segments.")
            .answers_nothing()
            .refuses(400, &["index"])
            .refuses(409, &WRITING)
            .refuses(503, &["busy"])
            .refuses(507, &["quota"]),
        Route::post(template::UPLOAD_COMMIT, commit)
            .does("Make an upload the object that its manifest names")
            .explained(
                "All streams must be there, in the lengths the manifest implies; else nothing \
                 happens. Again: the same answer.",
            )
            .takes_bytes("The manifest.")
            .answers::<shapes::Committed>(StatusCode::OK, "The object.")
            .refuses(400, &["manifest"])
            .refuses(404, &["unknown-upload"])
            .refuses(422, &["incomplete"]),
        Route::delete(template::UPLOAD, drop_upload)
            .does("Drop an upload that was not committed")
            .answers_nothing()
            .refuses(404, &["unknown-upload"]),
    ]
}

/// What clients have besides.
pub(super) fn client_routes() -> Vec<Route> {
    vec![
        Route::put(template::COMPONENT, put_component)
            .does("Store a component")
            .explained("At most 256 MiB; kept only where they are the bytes the digest names.")
            .takes_bytes("The component's exact bytes.")
            .answers_nothing()
            .refuses(422, &["digest"])
            .refuses(507, &["quota"]),
        Route::get(template::SMALL_OBJECT, small_object)
            .does("A small object in one piece")
            .explained(
                "At most 64 KiB: the manifest's length (4 bytes, big-endian), the manifest, and for \
                 each stream the list of its segments' digests and its sealed bytes.",
            )
            .ranges()
            .refuses(404, &["not-found", "not-small"]),
        Route::get(template::OBJECT, object)
            .does("Which streams an object has, and how long they are")
            .answers::<Stored>(StatusCode::OK, "Its streams in their order.")
            .refuses(404, &["not-found"]),
        Route::get(template::UPLOAD, upload)
            .does("How far an upload is")
            .answers::<Progress>(StatusCode::OK, "The streams that were begun.")
            .refuses(404, &["unknown-upload"]),
    ]
}

/// A stored object.
#[derive(Serialize, ToSchema)]
struct Stored {
    /// Bytes of its manifest.
    manifest: u64,
    streams: Vec<Stream>,
}

/// One stream, or what there is of it.
#[derive(Serialize, ToSchema)]
struct Stream {
    /// Its number in the manifest.
    index: usize,
    /// Its sealed bytes.
    file: u64,
    /// Bytes of the list of its segments' digests.
    digests: u64,
}

/// An upload on its way.
#[derive(Serialize, ToSchema)]
struct Progress {
    streams: Vec<Stream>,
}

async fn put_component(
    extract::State(state): extract::State<State>,
    In(digest): In<Digest>,
    body: Sent,
) -> Answer {
    let payer = body.payer.clone();
    let component = body.pieces(MAX_COMPONENT_LEN);
    state.store.components.put(payer, digest, component).await?;
    tracing::info!(%digest, "a component was stored");
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn object(extract::State(state): extract::State<State>, In(object): In<Digest>) -> Answer {
    let (manifest, streams) = state.store.objects.streams(&object).await?;
    let streams = streams.into_iter().enumerate();
    let stored = Stored {
        manifest,
        streams: streams.map(Stream::new).collect(),
    };
    Ok(json(StatusCode::OK, to_json(&stored).into()))
}

async fn small_object(
    extract::State(state): extract::State<State>,
    In(object): In<Digest>,
    headers: HeaderMap,
) -> Answer {
    let bytes = state.store.objects.small(object).await?;
    send(Blob::Bytes(bytes), &headers, &state).await
}

async fn upload(extract::State(state): extract::State<State>, In(upload): In<UploadId>) -> Answer {
    let streams = state.store.uploads.streams(upload).await?;
    let progress = Progress {
        streams: streams.into_iter().map(Stream::new).collect(),
    };
    Ok(json(StatusCode::OK, to_json(&progress).into()))
}

impl Stream {
    fn new((index, [file, digests]): (usize, [u64; 2])) -> Self {
        Self {
            index,
            file,
            digests,
        }
    }
}

/// A component's bytes.
async fn component(
    extract::State(state): extract::State<State>,
    In(digest): In<Digest>,
    headers: HeaderMap,
) -> Answer {
    let component = state.store.components.open(digest).await?;
    send(component, &headers, &state).await
}

/// A stored file as an answer.
pub(super) async fn send(stored: Blob, headers: &HeaderMap, state: &State) -> Answer {
    let missing = || "no such component, object or part is stored here".to_owned();
    stored
        .send(headers, &state.store.buffers, MAX_PART_LEN as u64, missing)
        .await
}

async fn manifest(
    extract::State(state): extract::State<State>,
    In(object): In<Digest>,
    headers: HeaderMap,
) -> Answer {
    let manifest = state.store.objects.open_manifest(object).await?;
    send(manifest, &headers, &state).await
}

async fn file(
    extract::State(state): extract::State<State>,
    In((object, index)): In<(Digest, usize)>,
    headers: HeaderMap,
) -> Answer {
    let part = state.store.objects.open_part(object, Part::File, index);
    send(part.await?, &headers, &state).await
}

async fn digests(
    extract::State(state): extract::State<State>,
    In((object, index)): In<(Digest, usize)>,
    headers: HeaderMap,
) -> Answer {
    let part = state.store.objects.open_part(object, Part::Digests, index);
    send(part.await?, &headers, &state).await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Offset {
    /// How many bytes of this part there are already.
    #[serde(deserialize_with = "whole")]
    #[param(maximum = 9007199254740991_u64)]
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
    let payer = body.payer.clone();
    let bytes = body.gathered(MAX_PART_LEN).await?;
    state
        .store
        .uploads
        .append(&payer, upload, part, index, offset, bytes)
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
    tracing::debug!(%object, "an object was stored");
    Ok(json(StatusCode::OK, to_json(&Committed { object }).into()))
}

async fn drop_upload(
    extract::State(state): extract::State<State>,
    In(upload): In<UploadId>,
) -> Answer {
    state.store.uploads.drop(upload).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

//! What is answered: the two routers, and the document of the one for clients.
//!
//! `api/` makes a router and its OpenAPI document of one list; each other file has a part of the
//! list and the functions it names.

mod about;
mod api;
mod bulk;
mod events;
mod extract;
mod jobs;
mod notes;
mod objects;
mod queue;
mod runtime;
mod sessions;
mod upgrade;

use std::sync::{Arc, OnceLock};

use axum::{Extension, Router, middleware, response::Response};
use bytes::Bytes;
use http::StatusCode;

use api::Api;

use crate::{gate, refusal::Refusal, state::State, transfer::Side};

/// An answer, or the reason why there is none.
type Answer = Result<Response, Refusal>;

/// The routes for clients.
pub(crate) fn client_router(state: State) -> Router {
    let written = Arc::new(OnceLock::<Bytes>::new());
    let api = Api::new(&state.metrics)
        .with(about::routes(&written))
        .with(objects::shared_routes())
        .with(objects::client_routes())
        .with(sessions::routes())
        .with(jobs::routes())
        .with(events::routes())
        .with(notes::routes())
        .with(queue::routes());
    let (router, document) = api.finish(!state.config.tokens.is_empty());
    // Nothing was written there before.
    let _ = written.set(document.into());
    let gate = Arc::clone(&state.gate);
    finish(router, Side::Client, state).layer(middleware::from_fn_with_state(gate, gate::pass))
}

/// The routes for runtimes.
pub(crate) fn runtime_router(state: State) -> Router {
    let api = Api::new(&state.metrics)
        .with(objects::shared_routes())
        .with(runtime::routes());
    // Runtimes know what they may ask.
    let (router, _) = api.finish(false);
    finish(router, Side::Runtime, state)
}

/// Gives a router its state, its side, and its answers for what it does not have.
fn finish(router: Router<State>, side: Side, state: State) -> Router {
    router
        .fallback(|| async {
            Refusal::not_found(
                "unknown-route",
                "there is nothing here: GET / says where to go on",
            )
        })
        .method_not_allowed_fallback(|| async {
            let message = "this route does not take this method";
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", message)
        })
        .layer(Extension(side))
        .with_state(state)
}

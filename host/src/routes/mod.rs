//! The two routers, and what their routes have in common.

mod client;
mod extract;
mod runtime;
mod shared;

use axum::{Extension, Router, http::StatusCode};

pub use client::client_router;
pub use runtime::runtime_router;

use crate::{
    refusal::Refusal,
    state::{Side, State},
};

/// Gives a router its state, its side, and its answers for what it does not have.
fn finish(router: Router<State>, side: Side, state: State) -> Router {
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

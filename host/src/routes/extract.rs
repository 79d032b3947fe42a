//! Parts of requests, parsed; each refuses with a [`Problem`](mc2_protocol::control::Problem).

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Query};
use http::{StatusCode, request::Parts};
use serde::de::DeserializeOwned;

use crate::{
    refusal::Refusal,
    runtimes::{Runtime, RuntimeId},
    state::State,
};

/// Header by which a runtime that dialed in says which process it is: 32 hexadecimal digits.
const RUNTIME_ID: &str = "mc2-runtime-id";

/// The variable parts of a path.
pub(super) struct In<T>(pub(super) T);

/// The query.
pub(super) struct Asked<T>(pub(super) T);

/// Which runtime process is asking.
pub(super) struct Caller(pub(super) RuntimeId);

/// The runtime process that is asking, which has dialed control before.
pub(super) struct From(pub(super) Arc<Runtime>);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for In<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        let Path(value) = Path::from_request_parts(parts, state)
            .await
            .map_err(|error| Refusal::bad("path", error.body_text()))?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned> FromRequestParts<State> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Refusal> {
        let Query(value) = Query::try_from_uri(&parts.uri)
            .map_err(|error| Refusal::bad("query", error.body_text()))?;
        Ok(Self(value))
    }
}

impl FromRequestParts<State> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Refusal> {
        if let Some(id) = parts.extensions.get::<RuntimeId>() {
            return Ok(Self(*id));
        }
        let stated = parts
            .headers
            .get(RUNTIME_ID)
            .and_then(|value| value.to_str().ok());
        stated.and_then(RuntimeId::parse).map(Self).ok_or_else(|| {
            let message =
                format!("expected the header {RUNTIME_ID} with 32 lower-case hexadecimal digits");
            Refusal::bad("runtime-id", message)
        })
    }
}

impl FromRequestParts<State> for From {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        let Caller(id) = Caller::from_request_parts(parts, state).await?;
        let runtime = state.runtimes.get(id).ok_or_else(|| {
            let message = "this host does not know this runtime: dial control first";
            Refusal::new(StatusCode::FORBIDDEN, "unknown-runtime", message)
        })?;
        runtime.touch();
        Ok(Self(runtime))
    }
}

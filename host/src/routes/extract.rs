//! Parts of requests, parsed; each refuses with a [`Problem`](mc2_protocol::documents::control::Problem).

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
};
use http::{StatusCode, request::Parts};
use mc2_wire::routes::RUNTIME_ID;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, Unexpected},
};

use crate::{
    refusal::Refusal,
    runtime_id::RuntimeId,
    runtimes::Runtime,
    state::State,
    store::kept::Payer,
    transfer::{
        Side,
        incoming::{Gathered, Incoming, Whole},
    },
};

/// The variable parts of a path.
pub(super) struct In<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for In<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        let Path(value) = Path::from_request_parts(parts, state)
            .await
            .map_err(|error| Refusal::bad("path", error.body_text()))?;
        Ok(Self(value))
    }
}

/// The query.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<State> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Refusal> {
        let Query(value) = Query::try_from_uri(&parts.uri)
            .map_err(|error| Refusal::bad("query", error.body_text()))?;
        Ok(Self(value))
    }
}

/// JSON's whole numbers end here, and what is counted here does before.
pub(super) const MOST: u64 = (1 << 53) - 1;

/// A number of a query, at most [`MOST`].
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if number > MOST {
        let expected = format!("a whole number of at most {MOST}");
        return Err(D::Error::invalid_value(
            Unexpected::Unsigned(number),
            &expected.as_str(),
        ));
    }
    Ok(number)
}

/// The body, not read yet.
pub(super) struct Sent {
    body: Body,
    state: State,
    /// Who sends it.
    pub(super) payer: Payer,
}

impl Sent {
    /// Its pieces, at most `limit` bytes in all.
    pub(super) fn pieces(self, limit: usize) -> Incoming {
        Incoming::new(self.body, limit, self.state.config.timeouts.body)
    }

    /// All of it, at most `limit` bytes.
    pub(super) async fn gathered(self, limit: usize) -> Result<Gathered, Refusal> {
        let Self { body, state, payer } = self;
        let body = Incoming::new(body, limit, state.config.timeouts.body);
        state.bodies(payer.side).gather(body).await
    }

    /// All of it in memory, at most `limit` bytes.
    pub(super) async fn whole(self, limit: usize) -> Result<Whole, Refusal> {
        self.gathered(limit).await?.whole().await
    }
}

impl FromRequest<State> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &State) -> Result<Self, Infallible> {
        let side = request.extensions().get().copied();
        Ok(Self {
            payer: Payer {
                // Both routers say which they are; clients are owed less.
                side: side.unwrap_or(Side::Client),
                token: request.extensions().get().cloned(),
            },
            body: request.into_body(),
            state: state.clone(),
        })
    }
}

/// Which runtime process is asking.
pub(super) struct Caller(pub(super) RuntimeId);

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

/// The runtime process that is asking, which has dialed control before.
pub(super) struct From(pub(super) Arc<Runtime>);

impl FromRequestParts<State> for From {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Refusal> {
        let Caller(id) = Caller::from_request_parts(parts, state).await?;
        let runtime = state.runtimes.registry().get(id).ok_or_else(|| {
            let message = "this host does not know this runtime: dial control first";
            Refusal::new(StatusCode::FORBIDDEN, "unknown-runtime", message)
        })?;
        runtime.touch();
        Ok(Self(runtime))
    }
}

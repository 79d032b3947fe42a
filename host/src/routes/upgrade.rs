//! Connections that are turned over to another protocol.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::refusal::Refusal;

/// Refuses a request that does not ask for `protocol`.
pub(super) fn require(headers: &HeaderMap, protocol: &'static str) -> Result<(), Refusal> {
    let asks = |name, value: &str| {
        let header = headers.get(name).and_then(|value| value.to_str().ok());
        header.is_some_and(|found| {
            found
                .split(',')
                .any(|one| one.trim().eq_ignore_ascii_case(value))
        })
    };
    if asks(header::CONNECTION, "upgrade") && asks(header::UPGRADE, protocol) {
        return Ok(());
    }
    let message = format!("expected Connection: Upgrade and Upgrade: {protocol}");
    Err(Refusal::new(
        StatusCode::UPGRADE_REQUIRED,
        "upgrade",
        message,
    ))
}

/// The answer after which the connection speaks `protocol`.
pub(super) fn switched(protocol: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(protocol));
    response
}

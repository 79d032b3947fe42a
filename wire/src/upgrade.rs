//! Turning an HTTP/1.1 connection over to another protocol, from the side that asks for it.

use std::io;

use http::{HeaderMap, Request, StatusCode, header};
use hyper::{client::conn::http1, upgrade::Upgraded};
use hyper_util::rt::TokioIo;

use crate::{address::Stream, body::Body};

/// What is sent when a connection begins, `Host` among it.
pub type Headers = HeaderMap;

/// Asks the host on `stream` for another protocol.
///
/// # Errors
/// The connection breaks, or the answer is not *Switching Protocols*.
pub async fn upgrade(
    stream: Box<dyn Stream>,
    path: &'static str,
    protocol: &'static str,
    headers: &Headers,
) -> io::Result<Upgraded> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // It ends when the connection has been turned over, or breaks.
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::get(path)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, protocol)
        .body(Body::default())
        .map_err(io::Error::other)?;
    for (name, value) in headers {
        request.headers_mut().insert(name, value.clone());
    }
    let response = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(io::Error::other(format!(
            "the host answered {path} with {}, expected 101",
            response.status()
        )));
    }
    hyper::upgrade::on(response).await.map_err(io::Error::other)
}

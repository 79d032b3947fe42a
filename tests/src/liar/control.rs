//! The connections that a runtime turns round, so that the host asks it: lies about those, too. What
//! the host asks and what the runtime answers pass as requests of their own, each told of by its own
//! rule.

use std::{convert::Infallible, io, sync::Arc};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use hyper::{
    body::Incoming,
    client::conn::http1 as client,
    server::conn::http1 as server,
    service::{Service as _, service_fn},
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use mc2_wire::routes::CONTROL_PROTOCOL;
use tokio::sync::Mutex;

use super::{Liar, respond};

/// Bytes on their way to the honest host.
const BUFFER: usize = 64 * 1024;

impl Liar {
    /// Dials the honest host for a runtime that dialled this one, and passes on what the host asks.
    pub(super) async fn turn_round(
        &self,
        honest: TowerToHyperService<Router>,
        request: Request,
    ) -> Response {
        match self.dial(honest, request).await {
            Ok(response) => response,
            Err(error) => respond(502, Body::from(error.to_string())),
        }
    }

    async fn dial(
        &self,
        honest: TowerToHyperService<Router>,
        mut request: Request,
    ) -> Result<Response, hyper::Error> {
        let runtime = hyper::upgrade::on(&mut request);
        let (head, _) = request.into_parts();
        let (near, far) = tokio::io::duplex(BUFFER);
        let mut known = head.extensions;
        known.remove::<OnUpgrade>();
        let service = service_fn(move |mut asked: http::Request<Incoming>| {
            // What the host knows of the runtime's connection, but for the upgrade, which is this one's.
            let upgrade = asked.extensions_mut().remove::<OnUpgrade>();
            *asked.extensions_mut() = known.clone();
            if let Some(upgrade) = upgrade {
                asked.extensions_mut().insert(upgrade);
            }
            honest.call(asked.map(Body::new))
        });
        let serving = server::Builder::new().serve_connection(TokioIo::new(far), service);
        tokio::spawn(serving.with_upgrades());
        let (mut sender, connection) = client::handshake(TokioIo::new(near)).await?;
        tokio::spawn(connection.with_upgrades());
        let mut dial = Request::new(Body::empty());
        *dial.method_mut() = head.method;
        *dial.uri_mut() = head.uri;
        *dial.headers_mut() = head.headers;
        let answer = sender.send_request(dial).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer.map(Body::new));
        }
        let host = hyper::upgrade::on(answer);
        let liar = self.clone();
        tokio::spawn(async move {
            // Whoever hung up meanwhile dials again.
            if let (Ok(runtime), Ok(host)) = (runtime.await, host.await) {
                let _ = liar.pass_on(runtime, host).await;
            }
        });
        let mut response = respond(101, Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static(CONTROL_PROTOCOL));
        Ok(response)
    }

    async fn pass_on(&self, runtime: Upgraded, host: Upgraded) -> hyper::Result<()> {
        let (sender, connection) = client::handshake(runtime).await?;
        let driver = tokio::spawn(connection);
        let sender = Arc::new(Mutex::new(sender));
        let honest = Router::new().fallback(move |request: Request| {
            let sender = Arc::clone(&sender);
            async move {
                let mut sender = sender.lock().await;
                let asked = async {
                    sender.ready().await?;
                    sender.send_request(request).await
                };
                asked
                    .await
                    .map_or_else(|_| broken(), |answer| answer.map(Body::new))
            }
        });
        let honest = TowerToHyperService::new(honest);
        let service = service_fn(|request: http::Request<Incoming>| {
            let (liar, honest) = (self.clone(), honest.clone());
            async move { Ok::<_, Infallible>(liar.answer(honest, request.map(Body::new)).await) }
        });
        let served = server::Builder::new().serve_connection(host, service).await;
        driver.abort();
        served
    }
}

/// An answer that breaks off: the runtime hung up.
fn broken() -> Response {
    let gone = Err::<Bytes, _>(io::Error::other("the runtime hung up"));
    respond(200, Body::from_stream(stream::iter([gone])))
}

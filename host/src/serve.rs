//! Accepting connections and speaking HTTP/1.1 on them.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    address::{Listener, Stream},
    routes::{client_router, runtime_router},
    runtimes::RuntimeId,
    state::{State, raised},
};

/// Most connections of one listener.
const MAX_CONNECTIONS: usize = 1024;
/// A client's request line and headers must have come within this time, and an idle connection is
/// kept as long.
const HEADERS: Duration = Duration::from_secs(75);
/// A TLS handshake must have ended within this time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What a connection may still take to end when the host does.
const ENDING: Duration = Duration::from_secs(2);
/// Bytes hyper reads or gathers at once.
const BUFFER: usize = 256 * 1024;

/// Serves clients on a listener until the host ends.
pub(crate) fn client_side(
    state: &State,
    listener: Listener,
    tls: Option<TlsAcceptor>,
) -> JoinHandle<()> {
    let mut router = client_router(state.clone());
    if let Some(wrap) = &state.config.wrap_client {
        router = wrap(router);
    }
    let service = Service {
        router,
        tls,
        headers: Some(HEADERS),
    };
    tokio::spawn(accept(listener, service, state.ending.subscribe()))
}

/// Serves runtimes on a listener until the host ends; `of` is the runtime it was made for.
pub(crate) fn runtime_side(
    state: &State,
    listener: Listener,
    of: Option<RuntimeId>,
) -> JoinHandle<()> {
    let mut router = runtime_router(state.clone());
    if let Some(wrap) = &state.config.wrap_runtime {
        router = wrap(router);
    }
    if let Some(id) = of {
        router = router.layer(Extension(id));
    }
    let service = Service {
        router,
        tls: None,
        headers: None,
    };
    tokio::spawn(accept(listener, service, state.ending.subscribe()))
}

#[derive(Clone)]
struct Service {
    router: Router,
    tls: Option<TlsAcceptor>,
    headers: Option<Duration>,
}

async fn accept(listener: Listener, service: Service, mut ending: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            accepted = accepted => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            () = raised(&mut ending) => break,
        };
        match stream {
            Ok(stream) => {
                let (service, ending) = (service.clone(), ending.clone());
                connections.spawn(async move {
                    serve(stream, service, ending).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, for instance: it will not be better at once.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    // What is left is ended with the set.
    let _ = tokio::time::timeout(ENDING, all).await;
}

async fn serve(stream: Box<dyn Stream>, service: Service, mut ending: watch::Receiver<bool>) {
    let Service {
        router,
        tls,
        headers,
    } = service;
    let stream: Box<dyn Stream> = match tls {
        None => stream,
        Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => Box::new(stream),
            _ => return,
        },
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(headers)
        .max_buf_size(BUFFER);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection.with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = raised(&mut ending) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

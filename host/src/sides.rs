//! The two sides of a host: listeners for clients and listeners for runtimes, each with its router.

use std::{sync::Arc, time::Duration};

use axum::Extension;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::{
    routes::{client_router, runtime_router},
    runtime_id::RuntimeId,
    state::State,
    transfer::listener::Listener,
    transfer::{connections::Connections, server::Service},
};

/// Most connections of runtimes to one listener.
const RUNTIME_CONNECTIONS: usize = 256;
/// As [`Timeouts::head`](crate::Timeouts::head), for runtimes, which keep a few connections ready.
const RUNTIME_HEAD: Duration = Duration::from_secs(600);

/// Serves clients on a listener until the host ends.
pub(crate) fn serve_clients(
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
        bulk: false,
        head: state.config.timeouts.head,
        stall: state.config.timeouts.stall,
    };
    let connections = Arc::clone(&state.clients);
    service.start(listener, connections, state.ending.subscribe())
}

/// Serves runtimes on a listener until the host ends; `of` is the runtime it was made for.
pub(crate) fn serve_runtimes(
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
        bulk: true,
        head: RUNTIME_HEAD,
        stall: state.config.timeouts.stall,
    };
    let connections = Connections::new(RUNTIME_CONNECTIONS);
    service.start(listener, connections, state.ending.subscribe())
}

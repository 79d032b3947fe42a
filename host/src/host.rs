//! A running host.

use std::{sync::Arc, time::Duration};

use mc2_protocol::Digest;
use mc2_wire::Address;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, rustls};

use crate::{
    config::{HostConfig, Launcher, Tls},
    error::HostError,
    memory,
    refusal::blocking,
    sides::{serve_clients, serve_runtimes},
    simulator_pin::Pins,
    state::State,
    store::Removed,
    transfer::listener::Listener,
    waiting::raised,
};

/// After its start a host looks for what is too old so soon.
const SOON: Duration = Duration::from_secs(60);

/// A running host. Dropping it ends it, too, but does not wait for that; after
/// [`shutdown`](Self::shutdown) nothing of it is left but its folder.
pub struct Host {
    state: State,
    client_addresses: Vec<Address>,
    runtime_addresses: Vec<Address>,
    simulator_key: Option<[u8; 32]>,
    serving: Vec<JoinHandle<()>>,
    /// Kept for its end.
    _pins: Option<Pins>,
}

impl Host {
    /// Opens the folder, listens, and starts the first runtime where it is to start them. Must be
    /// called within a Tokio runtime, which the host keeps using.
    ///
    /// # Errors
    /// [`HostError`]; then nothing listens and no process is left.
    pub async fn start(config: HostConfig) -> Result<Self, HostError> {
        if matches!(config.launcher, Launcher::Connect) && config.runtime_listen.is_empty() {
            return Err(HostError::NoRuntimeAddress);
        }
        let tls = config.tls.clone().map(acceptor).transpose()?;
        let state = State::open(config, |state, listener, id| {
            serve_runtimes(state, listener, Some(id))
        })?;
        let mut host = Self {
            client_addresses: Vec::new(),
            runtime_addresses: Vec::new(),
            simulator_key: None,
            serving: Vec::new(),
            _pins: None,
            state,
        };
        let config = &host.state.config;
        for address in &config.runtime_listen {
            let (listener, bound) = bind(address)?;
            host.runtime_addresses.push(bound);
            host.serving
                .push(serve_runtimes(&host.state, listener, None));
        }
        if matches!(config.launcher, Launcher::Connect) {
            host.state.runtimes.expect();
        }
        if matches!(config.launcher, Launcher::Spawn(_)) {
            let runtime = host.state.runtimes.start().await?;
            host.simulator_key = runtime.child.as_ref().and_then(|child| child.simulator_key);
        }
        host.serving.push(collect(&host.state));
        host.serving.push(give_memory_back(&host.state));
        for address in &config.client_listen {
            let (listener, bound) = bind(address)?;
            let tls = tls.clone().filter(|_| matches!(bound, Address::Tcp(_)));
            host.client_addresses.push(bound);
            host.serving.push(serve_clients(&host.state, listener, tls));
        }
        if let (Some(folder), Some(key)) = (&config.simulator_pins, host.simulator_key) {
            match Pins::write(folder, key, &host.client_addresses) {
                Ok(pins) => host._pins = Some(pins),
                // It serves all the same, and whoever runs it was told the key.
                Err(error) => tracing::warn!(
                    %error,
                    folder = %folder.display(),
                    "clients will not find the simulators' key by themselves: it cannot be written"
                ),
            }
        }
        Ok(host)
    }

    /// Where clients find it, with the ports the system chose.
    pub fn client_addresses(&self) -> &[Address] {
        &self.client_addresses
    }

    /// Where runtimes that dial in by themselves find it.
    pub fn runtime_addresses(&self) -> &[Address] {
        &self.runtime_addresses
    }

    /// The public key that all simulators of this host sign with, for the client that embeds it to
    /// pin. NOT SECURE, and never told over HTTP: a remote client must not learn from a host what
    /// to trust.
    pub fn simulator_key(&self) -> Option<[u8; 32]> {
        self.simulator_key
    }

    /// Ends all connections and runtimes, and waits until they have. Jobs that were running are
    /// lost.
    pub async fn shutdown(mut self) {
        self.end();
        for runtime in self.state.runtimes.registry().all() {
            runtime.until_gone().await;
        }
        self.state.runtimes.until_noted().await;
        for serving in self.serving.drain(..) {
            // It ends by itself; had it panicked, it would be over as well.
            let _ = serving.await;
        }
        // A task may hold the state a moment longer; the folder is free all the same.
        let _ = self.state.lock.unlock();
    }

    fn end(&self) {
        self.state.ending.send_replace(true);
        self.state.runtimes.end();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end();
    }
}

/// Removes what is too old, again and again.
fn collect(state: &State) -> JoinHandle<()> {
    let retention = state.config.retention;
    let (store, mut ending) = (Arc::clone(&state.store), state.ending.subscribe());
    let runtimes = Arc::clone(&state.runtimes);
    let metrics = Arc::clone(&state.metrics);
    tokio::spawn(async move {
        // A host that is started often removes all the same.
        let mut pause = retention.every.min(SOON);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = raised(&mut ending) => return,
            }
            pause = retention.every;
            let (store, ending) = (Arc::clone(&store), ending.clone());
            let runtimes = Arc::clone(&runtimes);
            let collected = blocking(move || {
                let is_served =
                    |session: &Digest| runtimes.registry().of_session(session).is_some();
                store.collect(&retention, &is_served, &|| *ending.borrow())
            });
            match collected.await {
                Ok(removed) if removed == Removed::default() => {}
                Ok(removed) => {
                    tracing::info!(?removed, "what was too old was removed");
                    for (kind, number) in removed.kinds() {
                        metrics.removed(kind, number);
                    }
                }
                Err(error) => tracing::error!(%error, "what is too old could not be removed"),
            }
        }
    })
}

/// Gives what was freed back to the system, again and again.
fn give_memory_back(state: &State) -> JoinHandle<()> {
    let mut ending = state.ending.subscribe();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(memory::EVERY) => {}
                () = raised(&mut ending) => return,
            }
            // Had it panicked, the next may not.
            let _ = tokio::task::spawn_blocking(memory::give_back).await;
        }
    })
}

fn bind(address: &Address) -> Result<(Listener, Address), HostError> {
    let failed = |source| HostError::Listen {
        address: address.clone(),
        source,
    };
    let listener = Listener::bind(address).map_err(failed)?;
    let bound = listener.address().map_err(failed)?;
    Ok((listener, bound))
}

fn acceptor(tls: Tls) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(tls.chain, tls.key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

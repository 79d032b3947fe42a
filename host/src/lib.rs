//! The untrusted half: it stores sealed objects, keeps records of jobs, starts runtimes or waits
//! for them to connect, and passes sealed messages on.
//!
//! Nobody trusts it. It sees ciphertext, manifests and sizes, and depends on `mc2-protocol` for
//! paths, types and the manifest's parser alone: it could not open anything. In turn it trusts
//! neither clients nor runtimes: every body has a limit, every wait an end, and what is stored
//! under a name was whole before it got it.
//!
//! [`Host::start`] with a [`HostConfig`] is all an embedding program needs; the binary `mc2-host`
//! is a thin layer over it. Clients and runtimes get different routers, [`client_router`] and
//! [`runtime_router`]: a client reaches no route that is for runtimes only. `docs/host.md` is the
//! operator's page, protocol.md §9 the specification of the routes.

mod address;
mod body;
mod config;
mod connections;
mod host;
mod incoming;
mod jobs;
mod refusal;
mod routes;
mod runtimes;
mod serve;
mod state;
mod store;

pub use address::{Address, AddressError};
pub use config::{HostConfig, Launcher, Link, OnSimulatorKey, Pace, Spawn, Timeouts, Tls, Wrap};
pub use host::{Host, HostError};
pub use routes::{client_router, runtime_router};
pub use runtimes::LaunchError;
pub use state::State;

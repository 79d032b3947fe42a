//! The untrusted half: it stores sealed objects, keeps records of jobs, starts runtimes or waits
//! for them to connect, and passes sealed messages on.
//!
//! Nobody trusts it. It sees ciphertext, manifests and sizes, and depends on `mc2-protocol` for
//! paths, types and the manifest's parser alone: it could not open anything. In turn it trusts
//! neither clients nor runtimes: every body has a limit, every wait an end, and what is stored
//! under a name was whole before it got it.
//!
//! [`Host::start`] with a [`HostConfig`] is all an embedding program needs; the binary `mc2-host`
//! is a thin layer over it. `docs/host.md` is the operator's page, protocol.md §9 the specification
//! of the routes.
//!
//! The layers, each over those before it: `transfer/` has connections and the bodies on them,
//! `store/` what is kept, `runtimes/` the processes and their control connections, `queue/` what
//! waits for them, `state.rs` all of these together, `routes/` what is answered (clients and
//! runtimes get different routers: a client reaches no route that is for runtimes only) and the
//! OpenAPI document of it, `sides.rs` the listeners. `gate.rs` keeps strangers out, `metrics.rs`
//! counts, `settings/` is how a person states a [`HostConfig`]. Start reading at `host.rs`, which
//! puts them together. `names.rs` and `memory.rs` stand apart:
//! how the static programs look names up, and how memory goes back to the system.

mod clock;
mod config;
mod error;
mod gate;
mod host;
mod memory;
mod metrics;
pub mod names;
mod queue;
mod refusal;
mod routes;
mod runtime_id;
mod runtimes;
mod settings;
mod sides;
mod simulator_pin;
mod state;
mod store;
mod transfer;
mod waiting;

pub use config::{
    HostConfig, Launcher, Link, OnSimulatorKey, Pace, Quota, Rate, Retention, Spawn, Storage,
    Timeouts, Tls, Token, Wrap,
};
pub use error::HostError;
pub use host::Host;
pub use mc2_wire::{Address, AddressError};
pub use runtimes::LaunchError;
pub use settings::{Origin, Settings, SettingsError};
pub use simulator_pin::SimulatorPin;
pub use store::blobs::BucketError;

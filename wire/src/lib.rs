//! What clients, hosts and runtimes speak to each other over (protocol.md §9): where a host is
//! ([`Address`]), what can be asked of it ([`routes`]), and one HTTP/1.1 client that is safe to
//! point at anybody ([`Client`]).
//!
//! Nothing is trusted here, and nothing that comes is understood: answers are capped in size and
//! time, and whoever asked checks what they say. There is no TLS; a client that wants it brings a
//! connector of its own. What is read in bulk has connections of its own ([`bulk`]). Start reading at [`Client`].

mod address;
mod body;
pub mod bulk;
mod client;
mod connection;
mod error;
pub mod routes;
mod upgrade;
mod vsock;

pub use address::{Address, AddressError, Connect, MAX_UNIX_PATH, Stream};
pub use body::{Body, json, problem, read};
pub use client::Client;
pub use connection::{Answer, Connection, Request};
pub use error::{ExchangeError, Failure};
pub use upgrade::{Headers, upgrade};

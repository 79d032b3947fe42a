//! Connections, and the bodies that come and go over them. Knows no route and nothing of what is
//! stored.

pub(crate) mod bulk;
pub(crate) mod connections;
pub(crate) mod incoming;
pub(crate) mod listener;
pub(crate) mod outgoing;
pub(crate) mod server;

use std::net::IpAddr;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// This machine, over a socket of this user's, or its enclave.
    Local,
    /// An address on a network.
    At(IpAddr),
}

/// Who asks. What one side takes of the host is not the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// A client.
    Client,
    /// A runtime.
    Runtime,
}

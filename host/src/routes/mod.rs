//! The two routers.

mod client;
mod extract;
mod runtime;
mod shared;

pub(crate) use client::client_router;
pub(crate) use runtime::runtime_router;

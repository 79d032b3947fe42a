//! The two routers.

mod bulk;
mod client;
mod extract;
mod runtime;
mod shared;
mod upgrade;

pub(crate) use client::client_router;
pub(crate) use runtime::runtime_router;

//! The enclave's half of MC²: what is measured and attested.
//!
//! It trusts the TEE, the image it is part of and nothing else: every byte from
//! the host is hostile, and so is the workload. Start reading at [`Runtime`], which
//! opens sessions for one tenant. What runs a measured component is the crate
//! `mc2_sandbox`.

mod attester;
pub mod cache;
mod control;
pub mod init;
mod job;
mod random;
mod room;
mod runtime;
mod session;
pub mod start;
pub mod storage;

pub use attester::{Attested, Attester, AttesterError, Devices, NoTee, Sought, detect};
pub use job::inputs;
pub use runtime::{Runtime, RuntimeConfig};
pub use session::SessionError;

//! The enclave's half of MC²: what is measured and attested.
//!
//! It trusts the TEE, the image it is part of and nothing else: every byte from
//! the host is hostile, and so is the workload. Start reading at [`Runtime`], which
//! opens sessions for one tenant. What runs a measured component is the crate
//! `mc2_sandbox`.

mod approvals;
mod attester;
mod challenges;
mod control;
mod description;
pub mod inputs;
mod jobs;
mod outbox;
mod outputs;
mod progress;
mod random;
mod runtime;
mod session;
mod spill;
pub mod start;
mod step;
pub mod storage;
mod uploader;

pub use attester::{Attester, AttesterError};
pub use runtime::{Runtime, RuntimeConfig};
pub use session::SessionError;

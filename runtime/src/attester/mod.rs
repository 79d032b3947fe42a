//! Attesters: what a runtime asks its own TEE.

mod contract;

pub use contract::{Attested, Attester, AttesterError};

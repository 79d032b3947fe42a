//! Attesters: what a runtime asks its own TEE.

mod azure;
mod contract;
mod devices;
mod files;
mod ioctl;
mod nitro;
mod sgx;
mod tsm;

pub use contract::{Attested, Attester, AttesterError};
pub use devices::Devices;

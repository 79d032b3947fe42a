//! Attesters: what a runtime asks its own TEE, one file or folder a TEE.
//!
//! [`contract`] says what each of them owes the runtime, [`detect()`](detect::detect) finds the one
//! of this machine, and [`devices`] is where it looks. Whatever a device answers is evidence for
//! somebody else to judge: here it is capped, held against what was asked, and passed on. Nothing
//! is kept under a lock while a TEE thinks: the host may stall it.

mod azure;
mod contract;
mod detect;
mod devices;
mod files;
mod ioctl;
mod nitro;
mod sgx;
mod tsm;

pub use contract::{Attested, Attester, AttesterError};
pub use detect::{NoTee, Sought, detect};
pub use devices::Devices;

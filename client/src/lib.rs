//! The client's side of an MC² runtime: the library behind `mc2` and `mc2-run`.
//!
//! It trusts this machine, its user's state folder and what hardware signs for; the host it talks
//! to is hostile. Data is sealed here ([`mod@seal`]), keys are released only to a session whose
//! evidence was appraised ([`session`]), and a result is opened only after its receipt was followed
//! back to the evidence ([`verify`], [`mod@open`]). Start at [`run`], which is all of it in order.

// Denied by the workspace; `bare` alone proves one use.
#![deny(unsafe_code)]

pub mod appraise;
pub mod bare;
pub mod broker;
pub mod checks;
pub mod cli;
pub mod collateral;
pub mod confirm;
pub mod custody;
pub mod dataset;
pub mod ear;
pub mod enclave;
pub mod event;
pub mod exit;
pub mod files;
pub mod http;
pub mod identity;
pub mod inspect;
pub mod keys;
pub mod new;
pub mod open;
pub mod party;
pub mod policy;
pub mod prune;
pub mod remote;
pub mod results;
pub mod run;
pub mod seal;
pub mod session;
pub mod simulator;
pub mod state;
pub mod stop;
pub mod terminal;
pub mod verbs;
pub mod verify;
pub mod vouch;
pub mod workload;

use std::time::{SystemTime, UNIX_EPOCH};

/// The system's random bytes.
///
/// Reading them fails on no system this runs on; where it did, nothing could be done safely.
pub fn random() -> rand_core::UnwrapErr<getrandom::SysRng> {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// Seconds since 1970.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

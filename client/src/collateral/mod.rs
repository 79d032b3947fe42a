//! What vendors say of their enclaves: certificates, revocation lists, assessments of firmware.
//!
//! Evidence is judged by it, and it grows stale within weeks. A [`Bundle`] is a file of it;
//! [`Collateral`] is what a verifier has at hand, of which it takes what belongs to the evidence
//! beside what came with that. Where it comes from says nothing: only the vendors' signatures in it
//! count.

mod at_hand;
mod bundle;
pub mod fetch;

pub use at_hand::{Chosen, Collateral, CollateralOptions, DEFAULT_DAYS};
pub use bundle::{Bundle, BundleError, Entry};

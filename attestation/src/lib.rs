//! Evidence, who verifies it, and appraisal (RFC 9334's words throughout).
//!
//! A verifier calls [`appraise`] with an enclave's evidence, its session record, the policy it
//! agreed to and its own [`TrustStore`]; it gets every check as a line of its own and, only when
//! all passed, an [`AppraisedSession`]: the one type from which a client takes the key it seals
//! to. Nothing that comes from the host, the evidence or the policy's author is trusted to name
//! what is good: reference values come from the trust store alone.
//!
//! The crate does no I/O, reads no clock and draws no randomness, and it compiles to wasm32.
//! Start with [`appraisal`]; `docs/attestation.md` is the user's side of it.

#![forbid(unsafe_code)]

pub mod appraisal;
mod check;
pub mod claims;
pub mod evidence;
mod measurement;
pub mod tee;
#[cfg(any(test, feature = "test-util"))]
pub mod test_util;
mod time;
#[cfg(feature = "verify")]
pub mod timestamp;
pub mod trust;
#[cfg(feature = "verify")]
mod x509;

#[cfg(feature = "verify")]
pub use appraisal::judge_tpm_quote;
pub use appraisal::{
    Appraisal, AppraisalInput, AppraisedSession, BareEvidence, Judgement, Purpose, Refused,
    appraise, judge,
};
pub use check::{Check, Finding, Outcome};
pub use claims::Claims;
pub use mc2_protocol::documents::receipt::{Endorsement, Evidence};
pub use measurement::{Measurement, MeasurementError};
pub use tee::{Accepted, PlatformFlags, SimKey, Tee, sim};
pub use time::{Interval, UnixSeconds};
pub use trust::{ReferenceValue, TrustStore, releases};

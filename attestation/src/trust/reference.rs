//! Reference values: what a good runtime measures to.

use serde::{Deserialize, Serialize};

use crate::{
    measurement::Measurement,
    tee::{self, Tee},
};

/// The simulator's runtime name.
pub const SIM_RUNTIME: &str = "mc2-runtime-sim";

const MAX_TEXT_LEN: usize = 64;

/// What a runtime must measure to, in one kind of TEE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceValue {
    /// The kind of TEE.
    #[serde(with = "crate::tee")]
    pub tee: Tee,
    /// What that TEE measures.
    pub measurement: Measurement,
    /// Name of the runtime that has it: `mc2-runtime`, or `mc2-runtime-sim`.
    pub runtime: String,
    /// That runtime's version.
    pub version: String,
    /// Whether it must not be given data any more.
    pub revoked: bool,
}

impl ReferenceValue {
    /// Refuses what a missing value decays to: empty names, a measurement of another TEE's length,
    /// and a simulator that calls itself anything but one.
    pub(crate) fn check(&self) -> Result<(), ReferenceValueError> {
        let reason = if self.measurement.as_bytes().len() != tee::measurement_len(self.tee) {
            "its measurement has another length than this kind of enclave's"
        } else if !is_word(&self.runtime) {
            "expected a runtime's name of 1 to 64 printable characters"
        } else if !is_word(&self.version) {
            "expected a version of 1 to 64 printable characters"
        } else if (self.tee == Tee::Sim) != (self.runtime == SIM_RUNTIME) {
            "mc2-runtime-sim is the simulator's runtime, and nothing else is"
        } else {
            return Ok(());
        };
        Err(ReferenceValueError {
            tee: self.tee,
            runtime: self.runtime.clone(),
            version: self.version.clone(),
            reason,
        })
    }
}

/// A reference value that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reference value for {tee} ({runtime:?} {version:?}) is not valid: {reason}")]
pub struct ReferenceValueError {
    tee: Tee,
    runtime: String,
    version: String,
    reason: &'static str,
}

fn is_word(text: &str) -> bool {
    (1..=MAX_TEXT_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

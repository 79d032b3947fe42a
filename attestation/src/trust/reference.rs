//! Reference values: what a good runtime measures to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::register::RegisterValue;
use crate::{
    claims::Register,
    measurement::Measurement,
    tee::{self, Tee},
};

/// The simulator's runtime name.
pub const SIM_RUNTIME: &str = "mc2-runtime-sim";

const MAX_TEXT_LEN: usize = 64;
const MAX_REGISTERS: usize = 32;

/// The registers without which a measurement leaves open what runs, and why it does: MRTD is a TD's
/// firmware alone, which measures the platform's tables (RTMR0), kernel (RTMR1), command line and
/// initrd (RTMR2). PCR0 is the whole image of a Nitro enclave; kernel and first stage (PCR1) and the
/// application (PCR2) are asked for beside it, as AWS gives the three together.
const fn required(tee: Tee) -> (&'static [&'static str], &'static str) {
    match tee {
        Tee::Tdx => (
            &["RTMR0", "RTMR1", "RTMR2"],
            "its measurement is the firmware's alone: it needs RTMR0, RTMR1 and RTMR2 too",
        ),
        Tee::Nitro => (
            &["PCR1", "PCR2"],
            "an enclave image has three measurements: beside PCR0 it needs PCR1 and PCR2",
        ),
        _ => (&[], ""),
    }
}

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
    /// Registers beside the measurement that must hold these values, by the names that claims have
    /// for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub registers: BTreeMap<String, RegisterValue>,
}

impl ReferenceValue {
    /// The first register that is not as this value has it; one that evidence does not state is not
    /// as it should be.
    pub(crate) fn differing<'a>(&'a self, found: &[Register]) -> Option<&'a str> {
        let holds = |name: &str, value: &RegisterValue| {
            let mut named = found.iter().filter(|register| register.name == name);
            let first = named.next();
            first.is_some_and(|register| value.is(&register.value)) && named.next().is_none()
        };
        let mut registers = self.registers.iter();
        registers
            .find(|(name, value)| !holds(name, value))
            .map(|(name, _)| name.as_str())
    }

    /// Refuses what a missing value decays to: empty names, a measurement of another TEE's length,
    /// and a simulator that calls itself anything but one.
    pub(crate) fn check(&self) -> Result<(), ReferenceValueError> {
        let (required, incomplete) = required(self.tee);
        let reason = if self.measurement.as_bytes().len() != tee::measurement_len(self.tee) {
            "its measurement has another length than this kind of enclave's"
        } else if !is_word(&self.runtime) {
            "expected a runtime's name of 1 to 64 printable characters"
        } else if !is_word(&self.version) {
            "expected a version of 1 to 64 printable characters"
        } else if (self.tee == Tee::Sim) != (self.runtime == SIM_RUNTIME) {
            "mc2-runtime-sim is the simulator's runtime, and nothing else is"
        } else if self.registers.len() > MAX_REGISTERS
            || !self.registers.keys().all(|name| is_word(name))
        {
            "expected at most 32 registers with names of 1 to 64 printable characters"
        } else if !self.revoked
            && !required
                .iter()
                .all(|name| self.registers.contains_key(*name))
        {
            incomplete
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

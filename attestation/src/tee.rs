//! What this crate knows of each kind of TEE beyond its name.
//!
//! The kinds themselves are the policy's ([`Tee`]). Only the simulator can be verified in this
//! release; evidence of the others is refused by name. A verifier for one of them gets a module
//! beside [`crate::sim`], its media type stands in [`crate::evidence`] already, and its arm is in
//! `claims::verify`.

pub use mc2_protocol::policy::Tee;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// The name people know a TEE by.
pub const fn title(tee: Tee) -> &'static str {
    match tee {
        Tee::Sim => "the simulator (NOT SECURE)",
        Tee::Sgx => "Intel SGX",
        Tee::Tdx => "Intel TDX",
        Tee::SevSnp => "AMD SEV-SNP",
        Tee::Nitro => "AWS Nitro",
        Tee::AzureVtpm => "Azure vTPM",
    }
}

/// Length in bytes of what a TEE measures: SHA-256 of the simulator's executable, MRENCLAVE, MRTD,
/// the SNP launch digest, PCR0, or the vTPM's SHA-256 PCR.
pub const fn measurement_len(tee: Tee) -> usize {
    match tee {
        Tee::Sim | Tee::Sgx | Tee::AzureVtpm => 32,
        Tee::Tdx | Tee::SevSnp | Tee::Nitro => 48,
    }
}

pub(crate) fn serialize<S: Serializer>(tee: &Tee, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(tee.as_str())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tee, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(|expected| D::Error::custom(format!("expected {expected}")))
}

//! The kinds of TEE, one file each: what evidence of theirs is called, how long their measurement
//! is, and who verifies it.
//!
//! The kinds themselves are the policy's ([`Tee`]). Only the simulator can be verified in this
//! release; evidence of the others is refused by name. A verifier for one of them is a file here
//! that takes that kind's place out of `unverified` and hands over its claims; everything behind that
//! is the same for all.

mod kind;
pub mod sim;
mod sim_key;
mod unverified;

pub use mc2_protocol::policy::Tee;
pub use sim_key::{SimKey, SimKeyError};

pub(crate) use kind::{Anchors, VerifyError};

use mc2_protocol::documents::receipt::Evidence;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

use crate::claims::Claims;
use kind::Kind;

/// The name people know a TEE by.
pub const fn title(tee: Tee) -> &'static str {
    kind(tee).title
}

/// The media type of a TEE's evidence (protocol.md §13).
pub const fn media_type(tee: Tee) -> &'static str {
    kind(tee).media_type
}

/// Length in bytes of what a TEE measures.
pub const fn measurement_len(tee: Tee) -> usize {
    kind(tee).measurement_len
}

/// Verifies evidence of `tee` up to that TEE's own root of trust.
pub(crate) fn verify(
    tee: Tee,
    evidence: &Evidence,
    anchors: &Anchors<'_>,
) -> Result<Claims, VerifyError> {
    match kind(tee).verifier {
        Some(verify) => verify(evidence, anchors),
        None => Err(VerifyError::NotYet {
            tee,
            title: title(tee),
        }),
    }
}

const fn kind(tee: Tee) -> &'static Kind {
    match tee {
        Tee::Sim => &sim::KIND,
        Tee::Sgx => &unverified::SGX,
        Tee::Tdx => &unverified::TDX,
        Tee::SevSnp => &unverified::SEV_SNP,
        Tee::Nitro => &unverified::NITRO,
        Tee::AzureVtpm => &unverified::AZURE_VTPM,
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

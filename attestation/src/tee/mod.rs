//! The kinds of TEE, one file or folder each: how long their measurement is, which checks are made,
//! and who verifies it.
//!
//! The kinds themselves are the policy's ([`Tee`]). A verifier is a pure function of what it is
//! presented; it answers with its checks, the claims, and how long both hold. Everything behind
//! that is the same for all. Verifiers of hardware are there with the feature `verify`; evidence
//! that a build cannot verify is refused by name (`unverified`).

mod checklist;
#[cfg(feature = "verify")]
pub mod dcap;
mod kind;
mod marks;
#[cfg(feature = "verify")]
mod nitro;
mod roots;
pub mod sim;
mod sim_key;
#[cfg(feature = "verify")]
mod snp;
#[cfg(feature = "verify")]
mod snp_tcb;
#[cfg(feature = "verify")]
pub(crate) mod tpm;
mod unverified;
mod verified;

pub use checklist::Line;
#[cfg(feature = "verify")]
pub use dcap::{IntelCollateral, IntelPlatform};
pub use kind::Accepted;
pub use marks::Mark;
pub use mc2_protocol::policy::{PlatformFlags, Tee};
pub use roots::Roots;
#[cfg(feature = "verify")]
pub use roots::{Authorities, Product};
pub use sim_key::{SimKey, SimKeyError};
#[cfg(feature = "verify")]
pub use snp::SnpSigner;
#[cfg(feature = "verify")]
pub use snp_tcb::{SnpTcbError, parse_snp_tcb};
#[cfg(feature = "verify")]
pub(crate) use tpm::report as report_beneath;
#[cfg(feature = "verify")]
pub use tpm::{beneath, plain::TITLE as PLAIN_TPM};
pub use verified::Verified;

pub(crate) use kind::{Anchors, Presented};

use mc2_protocol::evidence::evidence_type;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

use kind::Kind;

/// The name people know a TEE by.
pub const fn title(tee: Tee) -> &'static str {
    kind(tee).title
}

/// The media type of a TEE's evidence (protocol.md §13).
pub const fn media_type(tee: Tee) -> &'static str {
    evidence_type(tee)
}

/// Length in bytes of what a TEE measures.
pub const fn measurement_len(tee: Tee) -> usize {
    kind(tee).measurement_len
}

/// The checks that are made of a TEE's evidence, in order.
pub const fn lines(tee: Tee) -> &'static [Line] {
    kind(tee).lines
}

/// Verifies evidence of `tee` up to that TEE's own root of trust.
pub(crate) fn verify(tee: Tee, presented: &Presented<'_>) -> Verified {
    match kind(tee).verifier {
        Some(verify) => verify(presented),
        None => unverified::refuse(tee, title(tee)),
    }
}

const fn kind(tee: Tee) -> &'static Kind {
    match tee {
        Tee::Sim => &sim::KIND,
        #[cfg(feature = "verify")]
        Tee::Sgx => &dcap::SGX,
        #[cfg(feature = "verify")]
        Tee::Tdx => &dcap::TDX,
        #[cfg(not(feature = "verify"))]
        Tee::Sgx => &unverified::SGX,
        #[cfg(not(feature = "verify"))]
        Tee::Tdx => &unverified::TDX,
        #[cfg(feature = "verify")]
        Tee::SevSnp => &snp::KIND,
        #[cfg(not(feature = "verify"))]
        Tee::SevSnp => &unverified::SEV_SNP,
        #[cfg(feature = "verify")]
        Tee::Nitro => &nitro::KIND,
        #[cfg(not(feature = "verify"))]
        Tee::Nitro => &unverified::NITRO,
        #[cfg(feature = "verify")]
        Tee::AzureVtpm => &tpm::KIND,
        #[cfg(not(feature = "verify"))]
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

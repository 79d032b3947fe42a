//! The checks, one file each. A new one is a file here and a place in [`ALL`], and a line in the
//! table of `docs/attestation.md`.

use super::rule::Rule;

mod clock;
mod compilation_cache;
mod component_revocation;
mod components;
mod engine;
pub(super) mod evidence_type;
mod expiry;
mod kind;
pub(super) mod measurement;
mod own_components;
mod platform;
mod policy;
mod policy_digest;
mod record;
mod report_data;
mod runtime;
mod signature;
mod simulator;
pub(super) mod tcb;
mod tenant;
mod words;

/// Every check in the order it is made, from the outside in: nothing is read before what vouches
/// for it.
pub(super) const ALL: [&dyn Rule; 20] = [
    &policy::PolicyParses,
    &expiry::Expiry,
    &evidence_type::EvidenceType,
    &kind::EnclaveKind,
    &simulator::Simulator,
    &clock::Clock,
    &signature::Signature,
    &report_data::ReportData,
    &measurement::RuntimeMeasurement,
    &platform::ListedPlatform,
    &tcb::PlatformFirmware,
    // Only from here on are the record's bytes known to be those the hardware signed for.
    &record::RecordParses,
    &policy_digest::PolicyDigest,
    &tenant::Tenant,
    &components::Components,
    &own_components::OwnComponents,
    &component_revocation::ComponentRevocation,
    &runtime::RuntimeRelease,
    &engine::KnownEngine,
    &compilation_cache::SafeCache,
];

//! What evidence of each TEE is called, and the formats that are this project's own (protocol.md
//! §13). Who makes evidence and who verifies it share them.

mod event_log;
mod vtpm;

pub use event_log::{Event, EventLog, Register384};
pub use vtpm::{Beneath, PCRS, VtpmError, VtpmEvidence};

use crate::policy::Tee;

/// The media type of a certificate as an endorsement, DER.
pub const CERTIFICATE_TYPE: &str = "application/pkix-cert";
/// The media type of a revocation list as an endorsement, DER.
pub const REVOCATION_LIST_TYPE: &str = "application/pkix-crl";

/// The media type of a TEE's evidence.
pub const fn evidence_type(tee: Tee) -> &'static str {
    match tee {
        Tee::Sim => "application/vnd.mc2.sim-evidence.v1+json",
        Tee::Sgx => "application/vnd.mc2.sgx-quote.v1",
        Tee::Tdx => "application/vnd.mc2.tdx-quote.v1",
        Tee::SevSnp => "application/vnd.mc2.sev-snp-report.v1",
        Tee::Nitro => "application/vnd.mc2.nitro-document.v1+cose",
        Tee::AzureVtpm => "application/vnd.mc2.azure-vtpm.v1+json",
    }
}

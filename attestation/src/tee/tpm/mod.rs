//! A confidential VM of Azure's, which its paravisor gives a virtual TPM: a TPM 2.0 quote that
//! counts only because a hardware report beneath it, of SEV-SNP or TDX, commits to the key that
//! signed the quote. Microsoft's paravisor is trusted, too: it is what the hardware measured.
//!
//! The evidence is `mc2_protocol::evidence`'s, the quote is in `quote`, the paravisor's statement about its keys in
//! `runtime_data`; `verify` makes the checks, those of the report beneath among them. A quote with
//! nothing beneath is in `plain`: to be shown, and nothing that counts.

pub(crate) mod plain;
mod quote;
mod reader;
mod report;
mod runtime_data;
mod signature;
#[cfg(test)]
mod tests;
mod verify;

use mc2_protocol::{
    evidence::{Beneath, VtpmEvidence},
    policy::Tee,
};

use super::kind::Kind;
pub(crate) use report::report;
use verify::{LINES, VERIFIER};

/// A vTPM quote with the report that it hangs on; it measures that report's measurement and the
/// PCRs that a boot leaves the same each time.
pub(super) const KIND: Kind = Kind {
    title: "Azure vTPM",
    measurement_len: 32,
    lines: LINES,
    verifier: VERIFIER,
};

/// The hardware whose report evidence of an Azure vTPM says it hangs on; `None` where it is no such
/// evidence. Nothing of it was verified.
pub fn beneath(evidence: &[u8]) -> Option<Tee> {
    Some(match VtpmEvidence::parse(evidence).ok()?.beneath {
        Beneath::SevSnp => Tee::SevSnp,
        Beneath::Tdx => Tee::Tdx,
    })
}

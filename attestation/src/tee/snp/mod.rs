//! AMD SEV-SNP: an attestation report, signed by a key of the chip (VCEK) or of its operator (VLEK),
//! whose certificate hangs on AMD's root for the product line.
//!
//! The report itself is in `report`, the signer's certificate in `vek`, AMD's authorities in
//! `tee/roots/`, which versions of firmware are good in `tcb`; `verify` makes the checks; `signer` says which certificate a report needs.

mod report;
mod signer;
mod tcb;
#[cfg(test)]
mod tests;
mod vek;
mod verify;

use super::kind::Kind;
pub use signer::SnpSigner;
use verify::{LINES, VERIFIER};

/// An attestation report; it measures the launch digest.
pub(super) const KIND: Kind = Kind {
    title: "AMD SEV-SNP",
    measurement_len: 48,
    lines: LINES,
    verifier: VERIFIER,
};

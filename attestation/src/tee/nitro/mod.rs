//! AWS Nitro Enclaves: an attestation document of the Nitro hypervisor, COSE_Sign1 (RFC 9052) over
//! CBOR, signed by a key whose certificate, in the document too, hangs on AWS's root.
//!
//! The document is in `document`; `verify` makes the checks, which are those of AWS's "Nitro
//! Enclaves Attestation Process" and, beyond it, that the enclave is not in debug mode. As that
//! process says, no revocation lists are asked for: the certificates that hang on the root live for
//! three weeks, a week, a day and three hours.

mod document;
#[cfg(test)]
mod tests;
mod verify;

use super::kind::Kind;
use verify::{LINES, VERIFIER};

/// An attestation document (COSE_Sign1); it measures PCR0.
pub(super) const KIND: Kind = Kind {
    title: "AWS Nitro",
    measurement_len: 48,
    lines: LINES,
    verifier: VERIFIER,
};

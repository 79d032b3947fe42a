//! The TEEs whose evidence is known by its media type and refused by name, in a build without the
//! feature `verify`.

#[cfg(not(feature = "verify"))]
use super::kind::Kind;
use super::{Tee, checklist::Checklist, checklist::Line, verified::Verified};
use crate::check::Finding;

const SIGNATURE: &str = "signature";
/// The one check of evidence that nobody here can read: it fails.
pub(super) const LINES: &[Line] = &[Line::new(SIGNATURE, "evidence signature")];

/// Evidence of a TEE that this build has no verifier for.
pub(super) fn refuse(tee: Tee, title: &str) -> Verified {
    let mut checks = Checklist::new(LINES);
    let finding = Finding::failed(
        format!("evidence signed by {title}"),
        format!("this release cannot verify {title} ({tee}) evidence yet"),
        "do not give this session anything: whoever answered did not prove to be such an enclave",
    );
    checks.make(SIGNATURE, finding);
    Verified::nothing(checks.done())
}

/// A quote, version 3; it measures MRENCLAVE.
#[cfg(not(feature = "verify"))]
pub(super) const SGX: Kind = Kind {
    title: "Intel SGX",
    measurement_len: 32,
    lines: LINES,
    verifier: None,
};

/// A quote, version 4 or 5; it measures MRTD.
#[cfg(not(feature = "verify"))]
pub(super) const TDX: Kind = Kind {
    title: "Intel TDX",
    measurement_len: 48,
    lines: LINES,
    verifier: None,
};

/// An attestation report; it measures the launch digest.
#[cfg(not(feature = "verify"))]
pub(super) const SEV_SNP: Kind = Kind {
    title: "AMD SEV-SNP",
    measurement_len: 48,
    lines: LINES,
    verifier: None,
};

/// An attestation document (COSE_Sign1); it measures PCR0.
#[cfg(not(feature = "verify"))]
pub(super) const NITRO: Kind = Kind {
    title: "AWS Nitro",
    measurement_len: 48,
    lines: LINES,
    verifier: None,
};

/// A vTPM quote with the HCL report it hangs on; it measures a SHA-256 PCR.
#[cfg(not(feature = "verify"))]
pub(super) const AZURE_VTPM: Kind = Kind {
    title: "Azure vTPM",
    measurement_len: 32,
    lines: LINES,
    verifier: None,
};

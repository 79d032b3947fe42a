//! The evidence, JSON (protocol.md §13).

use mc2_protocol::{
    documents::receipt::MAX_EVIDENCE_LEN,
    encoding::{Base64, Hex, JsonError, parse_json},
};
use serde::Deserialize;

use super::quote::PCRS;

const VERSION: u32 = 1;

/// A quote, and all that it hangs on. Nothing in it was verified yet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VtpmEvidence {
    version: u32,
    /// Which hardware made the report.
    pub(super) beneath: Beneath,
    /// The report: an SNP attestation report, or a TDX quote.
    pub(super) report: Base64,
    /// What the report commits to: the paravisor's statement, which names the TPM's key.
    pub(super) runtime_data: Base64,
    /// TPMS_ATTEST.
    pub(super) quote: Base64,
    /// RSASSA-PKCS1-v1_5 with SHA-256 over it, as long as the key.
    pub(super) signature: Base64,
    /// What the SHA-256 PCRs hold, from 0 to 23.
    pub(super) pcrs: Vec<Hex<32>>,
}

/// The hardware beneath a vTPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Beneath {
    /// AMD SEV-SNP.
    #[serde(rename = "sev-snp")]
    SevSnp,
    /// Intel TDX.
    #[serde(rename = "tdx")]
    Tdx,
}

impl Beneath {
    /// Its name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::SevSnp => "sev-snp",
            Self::Tdx => "tdx",
        }
    }
}

impl VtpmEvidence {
    /// Reads it, strictly.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, VtpmError> {
        let evidence: Self = parse_json("the vTPM evidence", bytes, MAX_EVIDENCE_LEN)?;
        if evidence.version != VERSION {
            return Err(VtpmError::Version {
                found: evidence.version,
            });
        }
        if evidence.pcrs.len() != PCRS {
            return Err(VtpmError::Pcrs {
                found: evidence.pcrs.len(),
            });
        }
        Ok(evidence)
    }
}

/// Bytes that are no such evidence.
#[derive(Debug, thiserror::Error)]
pub(super) enum VtpmError {
    /// Not the JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Another version.
    #[error("the vTPM evidence has format version {found}, this release reads version {VERSION}")]
    Version {
        /// The version it states.
        found: u32,
    },
    /// Too few registers, or too many.
    #[error("{found} PCRs, where a TPM has {PCRS}")]
    Pcrs {
        /// How many there are.
        found: usize,
    },
}

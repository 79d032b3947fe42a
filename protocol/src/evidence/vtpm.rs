//! The evidence of an Azure vTPM, JSON.

use serde::{Deserialize, Serialize};

use crate::{
    VERSION,
    documents::receipt::MAX_EVIDENCE_LEN,
    encoding::{Base64, Hex, JsonError, check_version, parse_json, to_json},
};

/// How many PCRs a TPM has.
pub const PCRS: usize = 24;

/// A quote, and all that it hangs on. Nothing in it was verified yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VtpmEvidence {
    version: u32,
    /// Which hardware made the report.
    pub beneath: Beneath,
    /// The report: an SNP attestation report, or a TDX quote.
    pub report: Base64,
    /// What the report commits to: the paravisor's statement, which names the TPM's key.
    pub runtime_data: Base64,
    /// TPMS_ATTEST.
    pub quote: Base64,
    /// RSASSA-PKCS1-v1_5 with SHA-256 over it, as long as the key.
    pub signature: Base64,
    /// What the SHA-256 PCRs hold, from 0 to 23.
    pub pcrs: Vec<Hex<32>>,
}

/// The hardware beneath a vTPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Beneath {
    /// AMD SEV-SNP.
    #[serde(rename = "sev-snp")]
    SevSnp,
    /// Intel TDX.
    #[serde(rename = "tdx")]
    Tdx,
}

impl Beneath {
    /// As the evidence names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SevSnp => "sev-snp",
            Self::Tdx => "tdx",
        }
    }
}

impl VtpmEvidence {
    /// Evidence of this version.
    pub fn new(
        (beneath, report): (Beneath, Vec<u8>),
        runtime_data: Vec<u8>,
        (quote, signature): (Vec<u8>, Vec<u8>),
        pcrs: [[u8; 32]; PCRS],
    ) -> Self {
        Self {
            version: VERSION,
            beneath,
            report: report.into(),
            runtime_data: runtime_data.into(),
            quote: quote.into(),
            signature: signature.into(),
            pcrs: pcrs.map(Hex).to_vec(),
        }
    }

    /// Reads it, strictly.
    ///
    /// # Errors
    /// [`VtpmError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, VtpmError> {
        const WHAT: &str = "the vTPM evidence";
        let evidence: Self = parse_json(WHAT, bytes, MAX_EVIDENCE_LEN)?;
        check_version(WHAT, evidence.version)?;
        if evidence.pcrs.len() != PCRS {
            return Err(VtpmError::Pcrs {
                found: evidence.pcrs.len(),
            });
        }
        Ok(evidence)
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }
}

/// Bytes that are no such evidence.
#[derive(Debug, thiserror::Error)]
pub enum VtpmError {
    /// Not the JSON, or of another version.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Too few registers, or too many.
    #[error("{found} PCRs, where a TPM has {PCRS}")]
    Pcrs {
        /// How many there are.
        found: usize,
    },
}

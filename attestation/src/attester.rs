//! The attester: what a runtime asks its own TEE.

use mc2_protocol::receipt::Evidence;

use crate::Tee;

/// Makes evidence about the process it runs in.
pub trait Attester: Send + Sync {
    /// The kind of TEE this is.
    fn tee(&self) -> Tee;

    /// Evidence whose report data is these 64 bytes ([`mc2_protocol::record::report_data`]).
    ///
    /// # Errors
    /// [`AttesterError`] when the TEE does not answer, or not as it should.
    fn evidence(&self, report_data: &[u8; 64]) -> Result<Evidence, AttesterError>;
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
#[error("{tee} gave no evidence while {doing}: {reason}")]
pub struct AttesterError {
    /// The TEE that was asked.
    pub tee: Tee,
    /// What was being done.
    pub doing: &'static str,
    /// What went wrong.
    pub reason: String,
}

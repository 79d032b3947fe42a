//! The attester: what a runtime asks its own TEE.

use mc2_protocol::{documents::receipt::Evidence, policy::Tee};

/// Makes evidence about the process it runs in.
///
/// ```
/// use mc2_protocol::{policy::Tee, documents::receipt::Evidence};
/// use mc2_runtime::{Attester, AttesterError};
///
/// /// Asks a device that is not there.
/// struct Nothing;
///
/// impl Attester for Nothing {
///     fn tee(&self) -> Tee {
///         Tee::SevSnp
///     }
///
///     fn evidence(&self, _report_data: &[u8; 64]) -> Result<Evidence, AttesterError> {
///         Err(AttesterError {
///             tee: self.tee(),
///             doing: "opening /dev/sev-guest",
///             reason: "there is no such device".to_owned(),
///         })
///     }
/// }
///
/// let error = Nothing.evidence(&[7; 64]).unwrap_err();
/// assert!(error.to_string().contains("/dev/sev-guest"));
/// ```
pub trait Attester: Send + Sync {
    /// The kind of TEE this is.
    fn tee(&self) -> Tee;

    /// Evidence whose report data is these 64 bytes ([`mc2_protocol::documents::record::report_data`]).
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

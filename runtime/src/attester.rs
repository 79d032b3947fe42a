//! The attester: what a runtime asks its own TEE.

use mc2_protocol::{policy::Tee, receipt::Evidence};

/// Makes evidence about the process it runs in.
///
/// ```
/// use ed25519_dalek::SigningKey;
/// use mc2_attestation::{Attester, AttesterError, Evidence, Tee, sim};
/// use mc2_protocol::Digest;
///
/// struct Simulator(SigningKey);
///
/// impl Attester for Simulator {
///     fn tee(&self) -> Tee {
///         Tee::Sim
///     }
///
///     fn evidence(&self, report_data: &[u8; 64]) -> Result<Evidence, AttesterError> {
///         Ok(sim::evidence(report_data, &Digest::of(b"the executable"), &self.0))
///     }
/// }
///
/// let simulator = Simulator(SigningKey::from_bytes(&[1; 32]));
/// let evidence = simulator.evidence(&[7; 64])?;
/// assert_eq!(mc2_attestation::evidence::tee_of(&evidence, &[]), Ok(simulator.tee()));
/// # Ok::<(), AttesterError>(())
/// ```
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

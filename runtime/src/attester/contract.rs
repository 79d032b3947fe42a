//! What every attester owes the runtime.

use std::fmt;

use mc2_protocol::{
    Digest, SecretKey,
    documents::receipt::{Endorsement, Evidence},
    evidence::evidence_type,
    policy::Tee,
};

/// Makes evidence about the process it runs in.
///
/// ```
/// use mc2_protocol::policy::Tee;
/// use mc2_runtime::{Attested, Attester, AttesterError};
///
/// /// Asks a device that is not there.
/// struct Nothing;
///
/// impl Attester for Nothing {
///     fn tee(&self) -> Tee {
///         Tee::SevSnp
///     }
///
///     fn evidence(&self, _report_data: &[u8; 64]) -> Result<Attested, AttesterError> {
///         let doing = "opening /dev/sev-guest";
///         Err(AttesterError::new(self.tee(), doing, "there is no such device"))
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
    /// It may take long, for the host has a hand in it. Several may be asked for at once, and none
    /// waits for another.
    ///
    /// # Errors
    /// [`AttesterError`] when the TEE does not answer, or not as it should.
    fn evidence(&self, report_data: &[u8; 64]) -> Result<Attested, AttesterError>;

    /// Has the TEE's own registers say that this process was started for one policy, once, before
    /// there is any evidence. Where whoever starts the enclave does that, it is checked.
    ///
    /// # Errors
    /// [`AttesterError`] where the registers say something else already.
    fn fix_tenant(&mut self, _policy: &Digest) -> Result<(), AttesterError> {
        Ok(())
    }

    /// A key that only this runtime gets, measured the same and not in debug mode, on this machine,
    /// also after a restart.
    ///
    /// # Errors
    /// [`AttesterError`] where the TEE has none.
    fn lasting_key(&self) -> Result<SecretKey, AttesterError> {
        Err(AttesterError::new(
            self.tee(),
            "deriving a key for a lasting compilation cache",
            "this kind of enclave derives no key from what it measured: start the runtime without \
             --compilation-cache lasting",
        ))
    }
}

/// What a TEE said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// The evidence.
    pub evidence: Evidence,
    /// What it had at hand for whoever judges it. Whoever does may bring more.
    pub endorsements: Vec<Endorsement>,
}

impl Attested {
    /// The TEE's own bytes, with nothing beside.
    pub fn new(tee: Tee, bytes: Vec<u8>) -> Self {
        Self {
            evidence: Evidence {
                media_type: evidence_type(tee).to_owned(),
                value: bytes.into(),
            },
            endorsements: Vec::new(),
        }
    }
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
#[error("{tee} gave no evidence while {doing}: {reason}")]
pub struct AttesterError {
    /// The TEE that was asked.
    pub tee: Tee,
    /// What was being done.
    pub doing: String,
    /// What went wrong.
    pub reason: String,
}

impl AttesterError {
    /// What went wrong with `tee` while doing something.
    pub fn new(tee: Tee, doing: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self {
            tee,
            doing: doing.into(),
            reason: reason.to_string(),
        }
    }
}

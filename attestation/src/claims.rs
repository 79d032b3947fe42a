//! What verified evidence says: the verifiers of all TEEs end here.

use mc2_protocol::{
    policy::{Platform, TcbStatus},
    receipt::Evidence,
};

use crate::{Measurement, Tee, TrustStore, sim, tee};

/// The claims of evidence whose signature was verified.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    /// The 64 bytes the runtime asked it to sign.
    pub(crate) report_data: [u8; 64],
    /// What it says it loaded.
    pub(crate) measurement: Measurement,
    /// The machine and the state of its firmware; `None` for the simulator alone.
    pub(crate) hardware: Option<Hardware>,
}

/// What hardware says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Hardware {
    /// The ids it can be listed by.
    pub(crate) platforms: Vec<Platform>,
    /// The state of its firmware and microcode.
    pub(crate) tcb: TcbStatus,
}

/// Why there are no claims.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VerifyError {
    /// A TEE that has no verifier here.
    #[error(
        "this release cannot verify {} ({tee}) evidence yet",
        tee::title(*tee)
    )]
    NotYet {
        /// The kind of TEE.
        tee: Tee,
    },
    /// The simulator's evidence is not good.
    #[error(transparent)]
    Sim(#[from] sim::SimError),
}

/// Verifies evidence of `tee` up to that TEE's own root of trust.
pub(crate) fn verify(
    tee: Tee,
    evidence: &Evidence,
    trust: &TrustStore,
) -> Result<Claims, VerifyError> {
    match tee {
        Tee::Sim => Ok(sim::verify(evidence, trust.simulators())?),
        Tee::Sgx | Tee::Tdx | Tee::SevSnp | Tee::Nitro | Tee::AzureVtpm => {
            Err(VerifyError::NotYet { tee })
        }
    }
}

//! Why a session was not opened.

use mc2_protocol::{Name, documents::control::OpeningError, policy::PolicyError};
use mc2_sandbox::MeasureError;

use crate::AttesterError;

/// Why a session was not opened. Unsigned: until there is a session, nothing can sign.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The policy is not one this runtime can enforce.
    #[error("the policy is refused: {0}")]
    Policy(#[from] PolicyError),
    /// The challenge is another process's, or was taken before.
    #[error(
        "the challenge is none of this runtime process's, or was used before: ask for another and \
         sign again"
    )]
    Challenge,
    /// No party of the policy asks.
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// A component the policy names could not be measured.
    #[error("component {name} is refused: {source}")]
    Component {
        /// Its name in the policy.
        name: Name,
        /// Why.
        source: MeasureError,
    },
    /// The process serves somebody else for as long as it lives.
    #[error(
        "this runtime process already serves another tenant and serves nobody else for its life: \
         the host must start another process"
    )]
    Tenant,
    /// The policy is for other hardware.
    #[error("the policy does not allow the kind of enclave this runtime is in, {own}")]
    Tee {
        /// What this runtime is in.
        own: &'static str,
    },
    /// Too many sessions in one process.
    #[error("this runtime process holds as many sessions as it may; start another")]
    TooMany,
    /// The TEE gave no evidence.
    #[error(transparent)]
    Attester(#[from] AttesterError),
}

impl SessionError {
    /// A stable word in kebab case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Policy(_) => "policy-refused",
            Self::Challenge => "unknown-challenge",
            Self::Opening(_) => "not-the-opener",
            Self::Component { .. } => "component-refused",
            Self::Tenant => "other-tenant",
            Self::Tee { .. } => "other-tee",
            Self::TooMany => "too-many-sessions",
            Self::Attester(_) => "no-evidence",
        }
    }
}

//! What an appraisal looks at.

use mc2_protocol::documents::{
    receipt::{Endorsement, Evidence},
    record::{ComponentDigest, Nonce},
};

use crate::{time::UnixSeconds, trust::TrustStore};

/// Everything an appraisal looks at. It asks nobody else for anything.
#[derive(Clone, Copy)]
pub struct AppraisalInput<'a> {
    /// The enclave's evidence.
    pub evidence: &'a Evidence,
    /// The vendor's collateral the evidence is verified with; the simulator has none.
    pub endorsements: &'a [Endorsement],
    /// The session record's bytes, exactly as they came.
    pub record_bytes: &'a [u8],
    /// The nonce this verifier chose.
    pub nonce: &'a Nonce,
    /// The policy's bytes, from this verifier's own copy.
    pub policy_bytes: &'a [u8],
    /// The components this verifier measured itself, in the policy's order, where it has them.
    pub expected_components: Option<&'a [ComponentDigest]>,
    /// This verifier's reference values.
    pub trust: &'a TrustStore,
    /// Whether the simulator may pass at all. NOT SECURE.
    pub allow_simulated: bool,
    /// What the appraisal is for.
    pub purpose: Purpose,
    /// The verifier's time.
    pub now: UnixSeconds,
}

/// What an appraisal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To give the session keys, approvals or jobs: the policy must not have expired.
    Release,
    /// To verify a receipt: an expired policy stops no one from reading what it allowed.
    Receipt,
}

//! What this crate knows of a kind of TEE beyond its name.

#[cfg(feature = "verify")]
use mc2_protocol::policy::SnpTcb;
use mc2_protocol::{
    documents::receipt::{Endorsement, Evidence},
    policy::{Enclave, PlatformFlags},
};

use super::{checklist::Line, marks::Mark, roots::Roots, sim_key::SimKey, verified::Verified};
use crate::time::UnixSeconds;

/// One kind of TEE.
pub(super) struct Kind {
    /// The name people know it by.
    pub(super) title: &'static str,
    /// Length in bytes of what it measures.
    pub(super) measurement_len: usize,
    /// The checks its verifier makes, in order.
    pub(super) lines: &'static [Line],
    /// Who verifies its evidence up to its own root of trust; `None` where this build cannot.
    pub(super) verifier: Option<Verifier>,
}

/// Verifies evidence, whose size and media type were checked: a pure function, which neither
/// panics nor allocates more than a few times what it is given.
pub(super) type Verifier = fn(&Presented<'_>) -> Verified;

/// Evidence with all a verifier judges it by.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(feature = "verify"),
    allow(dead_code, reason = "the simulator needs no more")
)]
pub(crate) struct Presented<'a> {
    /// The evidence.
    pub(crate) evidence: &'a Evidence,
    /// What its vendor says of it: certificates, revocation lists, TCB info. Nothing in them
    /// counts but the vendor's signatures.
    pub(crate) endorsements: &'a [Endorsement],
    /// Where its chain of trust may end.
    pub(crate) anchors: Anchors<'a>,
    /// What the verifier does without, and the least it takes.
    pub(crate) accepted: Accepted,
    /// How new the vendors' collateral was that it saw before.
    pub(crate) seen: &'a [Mark],
    /// The verifier's time.
    pub(crate) now: UnixSeconds,
}

/// Where the chains of evidence end.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(feature = "verify"),
    allow(dead_code, reason = "a simulator's chain is its key")
)]
pub(crate) struct Anchors<'a> {
    /// The simulators this client pinned.
    pub(crate) simulators: &'a [SimKey],
    /// The vendors' roots.
    pub(crate) roots: &'a Roots,
}

/// What a verifier knowingly does without, and the least it takes. The default does without
/// nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Evidence is judged although no list says whether its certificates were revoked.
    pub missing_crl: bool,
    /// The least TCB evaluation data number taken: Intel's count of its own assessments.
    pub min_tcb_evaluation: u32,
    /// The least versions of SNP firmware and microcode that count as up to date; where it is
    /// `None`, none does, for AMD signs no list of good ones.
    #[cfg(feature = "verify")]
    pub min_snp_tcb: Option<SnpTcb>,
    /// What Intel's certificate may say of a platform's configuration.
    pub platform: PlatformFlags,
}

impl Accepted {
    /// What a policy says of it. Collateral is never missed where a policy is agreed to.
    pub(crate) fn by(enclave: &Enclave) -> Self {
        Self {
            missing_crl: false,
            min_tcb_evaluation: enclave.min_tcb_evaluation,
            #[cfg(feature = "verify")]
            min_snp_tcb: enclave.min_snp_tcb,
            platform: enclave.allow,
        }
    }
}

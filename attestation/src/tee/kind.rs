//! What this crate knows of a kind of TEE beyond its name.

use mc2_protocol::{documents::receipt::Evidence, policy::Tee};

use super::sim_key::SimKey;
use crate::claims::Claims;

/// One kind of TEE.
pub(super) struct Kind {
    /// The name people know it by.
    pub(super) title: &'static str,
    /// The media type of its evidence.
    pub(super) media_type: &'static str,
    /// Length in bytes of what it measures.
    pub(super) measurement_len: usize,
    /// Who verifies its evidence up to its own root of trust; `None` where this release cannot.
    pub(super) verifier: Option<Verifier>,
}

/// Verifies evidence, whose size and media type were checked.
pub(super) type Verifier = fn(&Evidence, &Anchors<'_>) -> Result<Claims, VerifyError>;

/// What a verifier brings along: where the chains of evidence end.
pub(crate) struct Anchors<'a> {
    /// The simulators this client pinned.
    pub(crate) simulators: &'a [SimKey],
}

/// Why there are no claims.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VerifyError {
    /// A TEE that has no verifier here.
    #[error("this release cannot verify {title} ({tee}) evidence yet")]
    NotYet {
        /// The kind of TEE.
        tee: Tee,
        /// Its name.
        title: &'static str,
    },
    /// The evidence is not good; the verifier says why.
    #[error("{0}")]
    Refused(Box<dyn std::error::Error>),
}

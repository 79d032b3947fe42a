//! What a verifier says of evidence.

use super::marks::Mark;
use crate::{check::Check, claims::Claims, time::Interval};

/// Evidence after its verifier, whether it was good or not.
#[derive(Debug)]
pub struct Verified {
    /// Every check of the verifier, in order. The evidence is good only if all passed.
    pub checks: Vec<Check>,
    /// What it says, where its signatures are good. Checks may have failed all the same: an
    /// enclave in debug mode signs truly that it is one.
    pub claims: Option<Claims>,
    /// When these checks come out as they did: from the latest beginning to the earliest end
    /// among all certificates and lists that were looked at.
    pub holds: Interval,
    /// How new the collateral is, where its signatures are good.
    pub marks: Vec<Mark>,
}

impl Verified {
    /// Nothing was established beyond these checks.
    pub(super) const fn nothing(checks: Vec<Check>) -> Self {
        Self {
            checks,
            claims: None,
            holds: Interval::NEVER,
            marks: Vec::new(),
        }
    }
}

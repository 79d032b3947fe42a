//! What an appraisal has established so far.

use mc2_protocol::{
    documents::record::{SessionRecord, session_digest},
    policy::Policy,
};

use super::{input::AppraisalInput, verdict::AppraisedSession};
use crate::{
    claims::Claims,
    tee::{Mark, Tee},
    time::Interval,
    trust::ReferenceValue,
};

/// What an appraisal looks at, and what its checks have established of it. Each fact is set by one
/// check, so that nothing is read before what vouches for it.
pub(super) struct Facts<'a> {
    /// What came from outside: nothing in it is believed yet.
    pub(super) input: &'a AppraisalInput<'a>,
    /// The verifier's policy, parsed: by `policy`.
    pub(super) policy: Option<Policy>,
    /// Whose evidence it is: by `evidence_type`.
    pub(super) tee: Option<Tee>,
    /// What the evidence says, its signature being good: by `signature`.
    pub(super) claims: Option<Claims>,
    /// How long its verifier's checks hold: by `signature`.
    pub(super) holds: Interval,
    /// How new the vendor's collateral is: by `signature`.
    pub(super) marks: Vec<Mark>,
    /// The record's bytes, once the hardware vouches for exactly these: by `report_data`.
    pub(super) vouched: Option<&'a [u8]>,
    /// What the runtime measured to: by `measurement`.
    pub(super) reference: Option<&'a ReferenceValue>,
    /// The record those bytes hold: by `record`.
    pub(super) record: Option<SessionRecord>,
}

impl<'a> Facts<'a> {
    /// Nothing is established.
    pub(super) const fn new(input: &'a AppraisalInput<'a>) -> Self {
        Self {
            input,
            policy: None,
            tee: None,
            claims: None,
            holds: Interval::NEVER,
            marks: Vec::new(),
            vouched: None,
            reference: None,
            record: None,
        }
    }

    /// The session all this is about; good only if every check passed.
    pub(super) fn into_session(self) -> Option<AppraisedSession> {
        Some(AppraisedSession {
            digest: session_digest(self.vouched?),
            record: self.record?,
            tee: self.tee?,
            reference: self.reference?.clone(),
            holds: self.holds,
            marks: self.marks,
        })
    }
}

//! What comes of an appraisal.

use ed25519_dalek::VerifyingKey;
use mc2_protocol::{Digest, crypto::hpke::PublicKey, documents::record::SessionRecord};

use crate::{
    check::{Check, Outcome},
    measurement::Measurement,
    tee::{Mark, Tee},
    time::Interval,
    trust::ReferenceValue,
};

/// An appraisal's outcome: every check in order, and the session if all passed.
#[derive(Debug)]
pub struct Appraisal {
    /// Every check, in the order they were made.
    pub checks: Vec<Check>,
    /// How long the evidence's own checks come out as they did: from the latest beginning to the
    /// earliest end among the certificates and lists they rest on.
    pub holds: Interval,
    result: Option<AppraisedSession>,
}

impl Appraisal {
    /// The session counts only where every check passed.
    pub(super) fn new(
        checks: Vec<Check>,
        holds: Interval,
        session: Option<AppraisedSession>,
    ) -> Self {
        let passed = checks.iter().all(Check::has_passed);
        Self {
            result: session.filter(|_| passed),
            checks,
            holds,
        }
    }

    /// Whether every check passed.
    pub const fn is_accepted(&self) -> bool {
        self.result.is_some()
    }

    /// The session, if every check passed.
    ///
    /// # Errors
    /// [`Refused`] with the checks that failed.
    pub fn accept(self) -> Result<AppraisedSession, Refused> {
        self.result.ok_or_else(|| Refused {
            failed: self
                .checks
                .into_iter()
                .filter(|check| check.outcome == Outcome::Failed)
                .collect(),
        })
    }
}

/// A session that passed every check: the only way to a key worth sealing to.
#[derive(Clone, Debug)]
pub struct AppraisedSession {
    pub(super) record: SessionRecord,
    pub(super) digest: Digest,
    pub(super) tee: Tee,
    pub(super) reference: ReferenceValue,
    pub(super) holds: Interval,
    pub(super) marks: Vec<Mark>,
}

impl AppraisedSession {
    /// The session record.
    pub const fn record(&self) -> &SessionRecord {
        &self.record
    }

    /// The session digest: what messages, receipts and paths name the session by.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The kind of TEE it runs in.
    pub const fn tee(&self) -> Tee {
        self.tee
    }

    /// Whether there is no enclave at all. NOT SECURE.
    pub fn is_simulated(&self) -> bool {
        self.tee == Tee::Sim
    }

    /// The reference value it measured to.
    pub const fn reference(&self) -> &ReferenceValue {
        &self.reference
    }

    /// What was measured.
    pub const fn measurement(&self) -> &Measurement {
        &self.reference.measurement
    }

    /// How long the evidence's own checks come out as they did.
    pub const fn holds(&self) -> Interval {
        self.holds
    }

    /// How new the vendor's collateral was: what a trust store notes ([`TrustStore::note_seen`]), so
    /// that older collateral is refused from now on.
    ///
    /// [`TrustStore::note_seen`]: crate::TrustStore::note_seen
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The key that messages to the session are sealed to.
    pub fn hpke_public_key(&self) -> PublicKey {
        self.record.hpke_public_key()
    }

    /// The key that checks the session's answers, events and receipts.
    pub fn signing_public_key(&self) -> VerifyingKey {
        self.record.signing_public_key()
    }
}

/// An appraisal that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("attestation refused: {}", summary(failed))]
pub struct Refused {
    /// The checks that failed, in order; at least one.
    pub failed: Vec<Check>,
}

fn summary(failed: &[Check]) -> String {
    let lines: Vec<String> = failed.iter().map(Check::to_string).collect();
    lines.join("\n  and ")
}

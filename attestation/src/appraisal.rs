//! Appraisal: evidence, a session record, a policy and a trust store in; every check with its
//! reason, and perhaps an appraised session, out (RFC 9334 §8.4's attestation results).

use std::fmt;

use ed25519_dalek::VerifyingKey;
use mc2_protocol::{
    Digest,
    hpke::PublicKey,
    policy::Policy,
    receipt::{Endorsement, Evidence},
    record::{ComponentDigest, Nonce, SessionRecord, report_data, session_digest},
};

use crate::{
    Measurement, ReferenceValue, Tee, TrustStore,
    claims::{self, Claims},
    evidence,
    trust::Known,
};

mod lines;
mod session;

use lines::{Line, Lines};

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

/// Seconds since 1970-01-01T00:00:00Z by a clock the verifier trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(pub u64);

/// What an appraisal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To give the session keys, approvals or jobs: the policy must not have expired.
    Release,
    /// To verify a receipt: an expired policy stops no one from reading what it allowed.
    Receipt,
}

/// An appraisal's outcome: every check in order, and the session if all passed.
#[derive(Debug)]
pub struct Appraisal {
    /// Every check, in the order they were made.
    pub checks: Vec<Check>,
    result: Option<AppraisedSession>,
}

/// One check of an appraisal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub what: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What would have been good.
    pub expected: String,
    /// What there was; guests, hosts and other parties may have chosen it, so it holds no control
    /// characters.
    pub found: String,
    /// What to do about it; empty where it passed.
    pub advice: String,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Expected and found agree.
    Passed,
    /// They don't.
    Failed,
    /// An earlier check failed, so there was nothing to believe here. Counts as failed.
    NotReached,
}

/// A session that passed every check: the only way to a key worth sealing to.
#[derive(Clone, Debug)]
pub struct AppraisedSession {
    record: SessionRecord,
    digest: Digest,
    tee: Tee,
    reference: ReferenceValue,
}

/// An appraisal that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("attestation refused: {}", summary(failed))]
pub struct Refused {
    /// The checks that failed, in order; at least one.
    pub failed: Vec<Check>,
}

/// Appraises evidence. Never fails: what is wrong stands in the checks.
pub fn appraise(input: &AppraisalInput<'_>) -> Appraisal {
    let mut lines = Lines::default();
    let result = session::judge(input, &mut lines);
    let tee = evidence::tee_of(input.evidence, input.endorsements).ok();
    let checks = lines.into_checks(&plan(input, tee));
    let passed = checks.iter().all(|check| check.outcome == Outcome::Passed);
    Appraisal {
        result: result.filter(|_| passed),
        checks,
    }
}

impl Appraisal {
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

    /// The key that messages to the session are sealed to.
    pub fn hpke_public_key(&self) -> PublicKey {
        self.record.hpke_public_key()
    }

    /// The key that checks the session's answers, events and receipts.
    pub fn signing_public_key(&self) -> VerifyingKey {
        self.record.signing_public_key()
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            outcome,
            expected,
            found,
            advice,
        } = self;
        match outcome {
            Outcome::Passed => write!(f, "{what}: {found}"),
            Outcome::Failed => {
                write!(f, "{what}: expected {expected}, found {found}; {advice}")
            }
            Outcome::NotReached => write!(f, "{what}: not reached"),
        }
    }
}

fn summary(failed: &[Check]) -> String {
    let lines: Vec<String> = failed.iter().map(Check::to_string).collect();
    lines.join("\n  and ")
}

/// The checks this appraisal must have; one that was not made counts as failed.
fn plan(input: &AppraisalInput<'_>, tee: Option<Tee>) -> Vec<Line> {
    Line::ALL
        .into_iter()
        .filter(|line| match line {
            Line::Simulated => tee.is_none_or(|tee| tee == Tee::Sim),
            Line::Platform | Line::Tcb => tee.is_none_or(|tee| tee != Tee::Sim),
            Line::OwnComponents => input.expected_components.is_some(),
            Line::Expiry => input.purpose == Purpose::Release,
            _ => true,
        })
        .collect()
}

#[cfg(test)]
mod tests;

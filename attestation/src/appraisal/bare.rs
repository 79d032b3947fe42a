//! Evidence by itself, whoever made it and whatever for: no session, no policy, perhaps no
//! reference values.

use mc2_protocol::{
    documents::receipt::{Endorsement, Evidence},
    policy::Tcb,
};

use super::{
    checks::{self, evidence_type::EvidenceType},
    rule::Rule,
};
use crate::{
    check::{Check, Finding},
    claims::Claims,
    tee::{self, Accepted, Mark, Presented, Tee},
    time::{Interval, UnixSeconds},
    trust::{ReferenceValue, ReferenceValueError, TrustStore},
};

/// Evidence to be judged by itself.
#[derive(Clone, Copy)]
pub struct BareEvidence<'a> {
    /// The evidence.
    pub evidence: &'a Evidence,
    /// The vendor's collateral.
    pub endorsements: &'a [Endorsement],
    /// What it may have measured to; `None` compares nothing, and an empty list refuses
    /// everything.
    pub reference: Option<&'a [ReferenceValue]>,
    /// The states of firmware and microcode that pass.
    pub tcb: &'a Tcb,
    /// What else is knowingly accepted.
    pub accepted: Accepted,
    /// The verifier's trust store, for the simulators it pinned and the collateral it saw; its
    /// reference values are not looked at.
    pub trust: &'a TrustStore,
    /// The time as of which it is judged.
    pub now: UnixSeconds,
}

/// What was found of evidence by itself.
#[derive(Debug)]
pub struct Judgement {
    /// Whose evidence it is, where its media type is known.
    pub tee: Option<Tee>,
    /// Every check, in the order they were made.
    pub checks: Vec<Check>,
    /// What it says, where its signatures are good.
    pub claims: Option<Claims>,
    /// How long the evidence's own checks come out as they did.
    pub holds: Interval,
    /// How new its collateral is.
    pub marks: Vec<Mark>,
}

impl Judgement {
    /// Whether every check passed; what was not compared was not checked.
    pub fn has_passed(&self) -> bool {
        self.checks.iter().all(Check::has_passed)
    }
}

/// Judges a TPM 2.0 quote with nothing beneath it, which is no evidence of any kind of enclave: what it
/// says can be shown, and no policy can list it.
#[cfg(feature = "verify")]
pub fn judge_tpm_quote(
    evidence: &[u8],
    endorsements: &[Endorsement],
    now: UnixSeconds,
) -> Judgement {
    let verified = tee::tpm::plain::verify(evidence, endorsements, now);
    Judgement {
        tee: None,
        checks: verified.checks,
        claims: verified.claims,
        holds: verified.holds,
        marks: verified.marks,
    }
}

/// Judges evidence by itself: its signatures, dates, revocation, TCB status and attributes, and
/// its measurement where there is something to compare with. It says nothing of who answers by it:
/// nobody asked it to sign a nonce here.
///
/// # Errors
/// [`ReferenceValueError`] where a reference value cannot be one.
pub fn judge(input: &BareEvidence<'_>) -> Result<Judgement, ReferenceValueError> {
    let mut known = TrustStore::new();
    for value in input.reference.into_iter().flatten() {
        known.add(value.clone())?;
    }
    let mut checks = Vec::new();
    let tee = match crate::evidence::tee_of(input.evidence, input.endorsements) {
        Ok(tee) => {
            checks.push(EvidenceType.line(Some(Finding::passed(&input.evidence.media_type))));
            tee
        }
        Err(error) => {
            checks.push(EvidenceType.line(Some(checks::evidence_type::unknown(&error))));
            return Ok(Judgement {
                tee: None,
                checks,
                claims: None,
                holds: Interval::NEVER,
                marks: Vec::new(),
            });
        }
    };
    let verified = tee::verify(
        tee,
        &Presented {
            evidence: input.evidence,
            endorsements: input.endorsements,
            anchors: input.trust.anchors(),
            accepted: input.accepted,
            seen: &input.trust.seen(),
            now: input.now,
        },
    );
    checks.extend(verified.checks);
    let claims = verified.claims.as_ref();
    if tee != Tee::Sim {
        let hardware = claims.and_then(|claims| claims.hardware.as_ref());
        let finding = hardware.map(|hardware| checks::tcb::judge(hardware, input.tcb));
        checks.push(checks::tcb::PlatformFirmware.line(finding));
    }
    if input.reference.is_some() {
        let finding = claims.map(|claims| checks::measurement::judge(tee, claims, &known).0);
        checks.push(checks::measurement::RuntimeMeasurement.line(finding));
    }
    Ok(Judgement {
        tee: Some(tee),
        checks,
        claims: verified.claims,
        holds: verified.holds,
        marks: verified.marks,
    })
}

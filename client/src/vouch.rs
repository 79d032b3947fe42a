//! A date for a receipt, by the word of somebody its policy names.
//!
//! A receipt carries no time that anybody vouches for: host, enclave and evidence could be made by
//! whoever broke a platform later. One who may approve the job, and verified its receipt, can say by
//! their own clock when that was; a verifier who believes them verifies it as of then, long after
//! certificates and collateral have expired.

use std::sync::Arc;

use mc2_protocol::{
    Card, Digest, Identity, Name, PartyName,
    documents::dsse::{DsseError, Envelope},
    encoding::{JsonError, check_version, parse_json, to_json},
    policy::Policy,
};
use serde::{Deserialize, Serialize};

/// DSSE payload type of a vouch.
pub const PAYLOAD_TYPE: &str = "application/vnd.mc2.vouch.v1+json";
/// Largest file of one, in bytes.
pub const MAX_LEN: usize = 4096;

/// That a receipt verified at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vouch {
    version: u32,
    /// SHA-256 of the exact bytes of the receipt's file.
    receipt: Digest,
    /// When it verified, in seconds since 1970 by the clock of whoever signs this.
    time: u64,
}

/// A date, and whose word it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// Seconds since 1970.
    pub time: u64,
    /// One who may approve the job.
    pub by: PartyName,
}

/// Says that the receipt of this digest verified at `time`.
pub fn sign(receipt: Digest, time: u64, approver: &Identity) -> Envelope {
    let vouch = Vouch {
        version: mc2_protocol::VERSION,
        receipt,
        time,
    };
    Envelope::sign(PAYLOAD_TYPE, to_json(&vouch), approver.signing_key())
}

/// Who vouches for which date of the receipt of this digest: one who may approve such jobs under its
/// policy, for a date that is not to come by this verifier's clock.
///
/// # Errors
/// [`VouchError`].
pub fn verify(
    envelope: &Envelope,
    receipt: &Digest,
    policy: &Policy,
    job: &Name,
    now: u64,
) -> Result<Vouched, VouchError> {
    // The last refusal is told; where nobody may approve, there is none.
    let mut refused = VouchError::Nobody;
    for card in approvers(policy, job) {
        let payload = match envelope.verify(PAYLOAD_TYPE, card.verifying_key()) {
            Ok(payload) => payload,
            Err(source) => {
                refused = VouchError::Signature { source };
                continue;
            }
        };
        let vouch: Vouch = parse_json("the vouch", payload, MAX_LEN)?;
        check_version("the vouch", vouch.version)?;
        if vouch.receipt != *receipt {
            return Err(VouchError::OtherReceipt {
                expected: *receipt,
                found: vouch.receipt,
            });
        }
        if vouch.time > now {
            return Err(VouchError::ToCome);
        }
        return Ok(Vouched {
            time: vouch.time,
            by: card.name().clone(),
        });
    }
    Err(refused)
}

/// Whether this identity may vouch for receipts of such jobs.
pub fn may_vouch(identity: &Identity, policy: &Policy, job: &Name) -> bool {
    let card = identity.card().digest();
    approvers(policy, job)
        .iter()
        .any(|approver| approver.digest() == card)
}

/// Who may approve jobs of this name.
fn approvers<'a>(policy: &'a Policy, job: &Name) -> &'a [Arc<Card>] {
    let rule = policy.job(job).and_then(|rule| rule.approve.as_ref());
    rule.map_or(&[], |rule| &rule.of)
}

/// Why a date counts for nothing.
#[derive(Debug, thiserror::Error)]
pub enum VouchError {
    /// Nobody may approve such a job.
    #[error("the policy asks nobody to approve that job, so nobody can vouch for its receipt")]
    Nobody,
    /// Another's word is asked for.
    #[error(
        "{name} is none of those who may approve the job, and nobody else's word dates its receipt: \
         name one of yours who may with --as"
    )]
    NotAnApprover {
        /// Who was to vouch.
        name: PartyName,
    },
    /// Not signed by one who may.
    #[error("it is signed by none of those who may approve the job")]
    Signature {
        /// What is wrong with the signature.
        source: DsseError,
    },
    /// Not such a document.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// About another receipt.
    #[error("it is about the receipt of SHA-256 {found}, and this one has {expected}")]
    OtherReceipt {
        /// The one at hand.
        expected: Digest,
        /// The one that was vouched for.
        found: Digest,
    },
    /// A date that has not come.
    #[error("its date is yet to come by this machine's clock")]
    ToCome,
}

#[cfg(test)]
mod tests {
    use mc2_attestation::test_util::factory;

    use super::*;

    fn policy() -> (Policy, Name) {
        let policy = Policy::parse(factory::policy("[\"tdx\"]").as_bytes()).unwrap();
        (policy, "query".parse().unwrap())
    }

    fn receipt() -> Digest {
        Digest::of(b"receipt")
    }

    #[test]
    fn an_approver_vouches_for_exactly_this_receipt_and_a_date_that_has_come() {
        let (policy, job) = policy();
        let approver = factory::party();
        assert!(may_vouch(&approver, &policy, &job));
        let vouch = sign(receipt(), 100, &approver);
        let by = approver.card().name().clone();
        let good = Vouched { time: 100, by };
        let found = verify(&vouch, &receipt(), &policy, &job, 100);
        assert_eq!(found.ok(), Some(good));
        let early = verify(&vouch, &receipt(), &policy, &job, 99);
        assert!(matches!(early, Err(VouchError::ToCome)), "{early:?}");
        let other = verify(&vouch, &Digest::of(b"another"), &policy, &job, 100);
        assert!(
            matches!(other, Err(VouchError::OtherReceipt { .. })),
            "{other:?}"
        );
        let mut altered = vouch.clone();
        altered.payload.0[40] ^= 1;
        let refused = verify(&altered, &receipt(), &policy, &job, 100);
        assert!(
            matches!(refused, Err(VouchError::Signature { .. })),
            "{refused:?}"
        );
        let elsewhere = Envelope::sign("a/b", vouch.payload.0, approver.signing_key());
        let refused = verify(&elsewhere, &receipt(), &policy, &job, 100);
        assert!(
            matches!(refused, Err(VouchError::Signature { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn nobody_else_dates_a_receipt() {
        let (policy, job) = policy();
        let name = factory::party().card().name().clone();
        let stranger = Identity::generate(name, &mut crate::random());
        assert!(!may_vouch(&stranger, &policy, &job));
        let vouch = sign(receipt(), 100, &stranger);
        let refused = verify(&vouch, &receipt(), &policy, &job, 100);
        assert!(
            matches!(refused, Err(VouchError::Signature { .. })),
            "{refused:?}"
        );
        let none = verify(&vouch, &receipt(), &policy, &"other".parse().unwrap(), 100);
        assert!(matches!(none, Err(VouchError::Nobody)), "{none:?}");
    }
}

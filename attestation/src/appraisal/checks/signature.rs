//! The evidence verifies up to the root of its TEE, and that TEE's verifier finds nothing else
//! against it: as many lines as it has (`tee/`).

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::{Check, Finding},
    tee::{self, Accepted, Presented},
};

pub(super) struct Signature;

impl Rule for Signature {
    fn id(&self) -> &'static str {
        "signature"
    }

    fn what(&self) -> &'static str {
        "evidence signature"
    }

    /// Nobody knows which verifier to ask.
    fn check(&self, _: &mut Facts<'_>) -> Option<Finding> {
        None
    }

    fn checks(&self, facts: &mut Facts<'_>) -> Vec<Check> {
        let (Some(tee), Some(policy)) = (facts.tee, &facts.policy) else {
            return vec![Check::not_reached(self.id(), self.what())];
        };
        let input = facts.input;
        let verified = tee::verify(
            tee,
            &Presented {
                evidence: input.evidence,
                endorsements: input.endorsements,
                anchors: input.trust.anchors(),
                accepted: Accepted::by(policy.enclave()),
                seen: &input.trust.seen(),
                now: input.now,
            },
        );
        facts.claims = verified.claims;
        facts.holds = verified.holds;
        facts.marks = verified.marks;
        verified.checks
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use crate::{
        UnixSeconds,
        appraisal::tests::refused,
        sim,
        tee::{self, Tee},
        test_util::factory::{self, Session},
    };

    #[test]
    fn evidence_with_any_bit_flipped_is_refused() {
        let len = Session::simulated().evidence.value.0.len();
        for byte in 0..len {
            let session = Session::simulated().with_flipped_evidence(byte);
            assert_eq!(refused(&session).what, "evidence signature", "byte {byte}");
        }
    }

    #[test]
    fn evidence_of_a_simulator_nobody_pinned_is_refused() {
        let mut session = Session::simulated();
        session.sim_key = SigningKey::from_bytes(&[42; 32]);
        let session = session.signed_again();
        assert_eq!(refused(&session).what, "evidence signature");
    }

    /// Row 8: simulated evidence under a hardware media type.
    #[test]
    fn simulated_evidence_that_calls_itself_a_hardwares_is_refused() {
        for tee in Tee::ALL.into_iter().filter(|tee| *tee != Tee::Sim) {
            let mut session = Session::new(&factory::policy(&format!("[\"{tee}\"]")));
            session.evidence.media_type = tee::media_type(tee).to_owned();
            session.now = UnixSeconds::OF_THIS_SOURCE;
            let check = refused(&session);
            let first = tee::lines(tee)
                .first()
                .expect("a verifier checks something");
            assert_eq!(check.id, first.id, "{tee}: {check}");
        }
    }

    #[test]
    fn oversized_and_random_evidence_is_refused() {
        let mut session = Session::simulated();
        session.evidence.value.0 = vec![b' '; sim::MAX_LEN + 1];
        assert_eq!(refused(&session).what, "evidence signature");
        session.evidence.value.0.clear();
        assert_eq!(refused(&session).what, "evidence signature");
    }
}

//! The evidence verifies up to the root of its TEE, and that TEE's verifier finds nothing else
//! against it: as many lines as it has (`tee/`).

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::{Check, Finding},
    tee::{self, Accepted, Anchors, Presented},
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
        let Some(tee) = facts.tee else {
            return vec![Check::not_reached(self.id(), self.what())];
        };
        let input = facts.input;
        let verified = tee::verify(
            tee,
            &Presented {
                evidence: input.evidence,
                endorsements: input.endorsements,
                anchors: Anchors {
                    simulators: input.trust.simulators(),
                    roots: input.trust.roots(),
                },
                accepted: Accepted::default(),
                now: input.now,
            },
        );
        facts.claims = verified.claims;
        facts.holds = verified.holds;
        verified.checks
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use crate::{
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
    fn evidence_of_a_tee_without_a_verifier_is_refused_by_name() {
        for (tee, policy) in [
            (Tee::Sgx, "[\"sgx\"]"),
            (Tee::Tdx, "[\"tdx\"]"),
            (Tee::SevSnp, "[\"sev-snp\"]"),
            (Tee::Nitro, "[\"nitro\"]"),
            (Tee::AzureVtpm, "[\"azure-vtpm\"]"),
        ] {
            let mut session = Session::new(&factory::policy(policy));
            session.evidence.media_type = tee::media_type(tee).to_owned();
            let check = refused(&session);
            assert_eq!(check.what, "evidence signature");
            assert!(check.found.contains(tee.as_str()), "{check}");
            assert!(check.found.contains("cannot verify"), "{check}");
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

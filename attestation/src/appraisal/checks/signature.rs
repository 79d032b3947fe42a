//! The evidence verifies up to the root of its TEE: the vendor's, or for a simulator the key this
//! client pinned when it started that one.

use crate::{
    appraisal::{check::Finding, facts::Facts, rule::Rule},
    tee::{self, Anchors, Tee},
};

pub(super) struct Signature;

impl Rule for Signature {
    fn id(&self) -> &'static str {
        "signature"
    }

    fn what(&self) -> &'static str {
        "evidence signature"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let tee = facts.tee?;
        let anchors = Anchors {
            simulators: facts.input.trust.simulators(),
        };
        Some(match tee::verify(tee, facts.input.evidence, &anchors) {
            Ok(claims) => {
                facts.claims = Some(claims);
                Finding::passed(match tee {
                    Tee::Sim => "by a simulator this client pinned, NOT SECURE".to_owned(),
                    other => format!("verified up to the root of {}", tee::title(other)),
                })
            }
            Err(error) => Finding::failed(
                format!("evidence signed by {}", tee::title(tee)),
                error,
                match tee {
                    Tee::Sim => {
                        "do not give this session anything. A host of your own on this machine \
                         leaves its simulators' key where your client finds it, while it runs; one \
                         elsewhere is believed after `mc2 trust add --simulator KEY --runtime \
                         mc2-runtime-sim`, NOT SECURE"
                    }
                    _ => {
                        "do not give this session anything: whoever answered did not prove to be \
                         such an enclave"
                    }
                },
            ),
        })
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

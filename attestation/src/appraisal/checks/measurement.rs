//! This verifier's trust store knows what the runtime measures to, and it was not revoked. Nobody
//! else says which runtime is good: not the host, not the evidence, not the policy's author.

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
    trust::{Known, ReferenceValue},
};

pub(super) struct RuntimeMeasurement;

impl Rule for RuntimeMeasurement {
    fn id(&self) -> &'static str {
        "measurement"
    }

    fn what(&self) -> &'static str {
        "runtime measurement"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let tee = facts.tee?;
        let found = &facts.claims.as_ref()?.measurement;
        let expected = format!("a {tee} measurement in this client's trust store");
        let named = |value: &ReferenceValue| format!("{} {}", value.runtime, value.version);
        Some(match facts.input.trust.find(tee, found) {
            Known::Good(reference) => {
                facts.reference = Some(reference);
                Finding::passed(format!("{found}, {}", named(reference)))
            }
            Known::Revoked(reference) => Finding::failed(
                expected,
                format!("{found}, the revoked {}", named(reference)),
                "use a host that runs a release which was not revoked",
            ),
            Known::Unknown => Finding::failed(
                expected,
                found,
                "recompute it from source you trust with `cargo xtask measure`; if that prints \
                 the same value, add it to the trust store",
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::Digest;

    use crate::{
        appraisal::tests::refused,
        test_util::factory::{self, Session},
    };

    /// Row 9: what was good once and is no longer.
    #[test]
    fn a_revoked_runtime_is_refused() {
        let mut session = Session::simulated();
        let mut reference = factory::reference(&session.measurement);
        reference.revoked = true;
        session.trust.add(reference).unwrap();
        let check = refused(&session);
        assert_eq!(check.what, "runtime measurement");
        assert!(check.found.contains("revoked"), "{check}");
    }

    /// Row 25: nobody but the verifier says which runtime is good.
    #[test]
    fn an_unknown_measurement_is_refused_with_the_line_that_recomputes_it() {
        let mut session = Session::simulated();
        session.measurement = Digest::of(b"another executable");
        let session = session.signed_again();
        let check = refused(&session);
        assert_eq!(check.what, "runtime measurement");
        assert!(check.found.contains(&session.measurement.to_string()));
        assert!(check.advice.contains("cargo xtask measure"));
    }
}

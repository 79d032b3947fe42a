//! This verifier's trust store knows what the runtime measures to, and it was not revoked. Nobody
//! else says which runtime is good: not the host, not the evidence, not the policy's author.

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
    claims::Claims,
    tee::Tee,
    trust::{Known, ReferenceValue, TrustStore},
};

pub(in crate::appraisal) struct RuntimeMeasurement;

impl Rule for RuntimeMeasurement {
    fn id(&self) -> &'static str {
        "measurement"
    }

    fn what(&self) -> &'static str {
        "runtime measurement"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let (finding, reference) = judge(facts.tee?, facts.claims.as_ref()?, facts.input.trust);
        facts.reference = reference;
        Some(finding)
    }
}

/// Whether `trust` knows what these claims measured, and as what.
pub(in crate::appraisal) fn judge<'a>(
    tee: Tee,
    claims: &Claims,
    trust: &'a TrustStore,
) -> (Finding, Option<&'a ReferenceValue>) {
    let found = &claims.measurement;
    let registers = claims.hardware.as_ref().map(|it| it.registers.as_slice());
    let registers = registers.unwrap_or_default();
    let expected = format!("a {tee} measurement in this client's trust store");
    let named = |value: &ReferenceValue| format!("{} {}", value.runtime, value.version);
    match trust.find(tee, found, registers) {
        Known::Good(reference) => {
            let finding = Finding::passed(format!("{found}, {}", named(reference)));
            (finding, Some(reference))
        }
        Known::Revoked(reference) => {
            let finding = Finding::failed(
                expected,
                format!("{found}, the revoked {}", named(reference)),
                "use a host that runs a release which was not revoked",
            );
            (finding, None)
        }
        Known::OtherRegister(reference, name) => {
            let value = registers.iter().find(|register| register.name == name);
            let value = value.map_or_else(|| "not stated".to_owned(), |it| hex::encode(&it.value));
            let wanted = reference.registers.get(name).map(ToString::to_string);
            let finding = Finding::failed(
                format!(
                    "{name} {}, as in {}",
                    wanted.unwrap_or_default(),
                    named(reference)
                ),
                format!("{found} with {name} {value}"),
                "its firmware is known and what that started is not: recompute the registers with \
                 `cargo xtask measure` for the machine's shape, or use another host",
            );
            (finding, None)
        }
        Known::Unknown => {
            let finding = Finding::failed(
                expected,
                found,
                "recompute it from source you trust with `cargo xtask measure`; if that prints \
                 the same value, add it to the trust store",
            );
            (finding, None)
        }
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

//! The policy accepts enclaves of this kind.

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
    tee,
};

pub(super) struct EnclaveKind;

impl Rule for EnclaveKind {
    fn id(&self) -> &'static str {
        "kind"
    }

    fn what(&self) -> &'static str {
        "kind of enclave"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let accepted = &facts.policy.as_ref()?.enclave().tee;
        let tee = facts.tee?;
        let names: Vec<&str> = accepted.iter().map(|tee| tee.as_str()).collect();
        Some(Finding::new(
            accepted.contains(&tee),
            format!("one the policy accepts: {}", names.join(", ")),
            tee::title(tee),
            "use a host with such an enclave, or agree on a policy that accepts this one",
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Outcome,
        appraisal::tests::{outcome, refused},
        test_util::factory::{self, Session},
    };

    /// Row 8: a policy for real enclaves never accepts a simulator, allowed or not.
    #[test]
    fn a_simulator_under_a_hardware_policy_is_refused() {
        let session = Session::new(&factory::policy("[\"sev-snp\", \"tdx\"]"));
        let check = refused(&session);
        assert_eq!(check.what, "kind of enclave");
        assert!(check.expected.contains("sev-snp"), "{check}");
        assert_eq!(outcome(&session.appraise(), "simulator"), Outcome::Failed);
        // And a policy that lists both does not even parse.
        let session = Session::new(&factory::policy("[\"sim\", \"tdx\"]"));
        assert_eq!(refused(&session).what, "policy");
    }
}

//! Simulated evidence passes only where the verifier allows it and the policy accepts nothing
//! else. NOT SECURE.

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
    tee::Tee,
};

pub(super) struct Simulator;

impl Rule for Simulator {
    fn id(&self) -> &'static str {
        "simulator"
    }

    fn what(&self) -> &'static str {
        "simulator"
    }

    fn applies(&self, facts: &Facts<'_>) -> bool {
        facts.tee.is_none_or(|tee| tee == Tee::Sim)
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        facts.tee?;
        let alone = facts.policy.as_ref()?.enclave().tee.as_slice() == [Tee::Sim];
        Some(Finding::new(
            facts.input.allow_simulated && alone,
            "a real enclave",
            "a simulated one, allowed by --allow-simulated: NOT SECURE",
            "use a real enclave; to try things out with data that is not secret, pass \
             --allow-simulated and a policy whose `tee` is [\"sim\"] alone",
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::{appraisal::tests::refused, test_util::factory::Session};

    /// Row 8: the simulator passes only where the verifier and the policy both say so.
    #[test]
    fn a_simulator_is_refused_without_permission() {
        let mut session = Session::simulated();
        session.allow_simulated = false;
        assert_eq!(refused(&session).what, "simulator");
        assert!(refused(&session).advice.contains("--allow-simulated"));
    }
}

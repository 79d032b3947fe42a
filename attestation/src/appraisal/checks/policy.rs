//! The verifier's own copy of the policy parses. Everything below compares with it.

use mc2_protocol::policy::Policy;

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
};

pub(super) struct PolicyParses;

impl Rule for PolicyParses {
    fn id(&self) -> &'static str {
        "policy"
    }

    fn what(&self) -> &'static str {
        "policy"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        Some(match Policy::parse(facts.input.policy_bytes) {
            Ok(policy) => {
                let finding = Finding::passed(policy.name());
                facts.policy = Some(policy);
                finding
            }
            Err(error) => Finding::failed(
                "a policy of version 1",
                error,
                "correct the policy; `mc2 inspect` shows what it says",
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{appraisal::tests::refused, test_util::factory::Session};

    #[test]
    fn a_policy_that_does_not_parse_is_refused() {
        let mut session = Session::simulated();
        session.policy_bytes = b"".to_vec();
        assert_eq!(refused(&session).what, "policy");
        session.policy_bytes = b"\xff".to_vec();
        assert_eq!(refused(&session).what, "policy");
    }
}

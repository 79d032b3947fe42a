//! The session was opened for this policy's exact bytes.

use mc2_protocol::Digest;

use super::words::OTHER_POLICY;
use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
};

pub(super) struct PolicyDigest;

impl Rule for PolicyDigest {
    fn id(&self) -> &'static str {
        "policy-digest"
    }

    fn what(&self) -> &'static str {
        "policy digest"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let found = facts.record.as_ref()?.policy;
        let expected = Digest::of(facts.input.policy_bytes);
        Some(Finding::new(
            found == expected,
            expected,
            found,
            OTHER_POLICY,
        ))
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::Digest;

    use crate::{appraisal::tests::refused, test_util::factory::Session};

    /// Row 7: keys released to the wrong workload.
    #[test]
    fn a_session_for_another_policy_is_refused() {
        let session =
            Session::simulated().with_record(|record| record.policy = Digest::of(b"other"));
        assert_eq!(refused(&session).what, "policy digest");
    }
}

//! The process was not started for another policy.

use mc2_protocol::Digest;

use super::words::OTHER_POLICY;
use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
};

pub(super) struct Tenant;

impl Rule for Tenant {
    fn id(&self) -> &'static str {
        "tenant"
    }

    fn what(&self) -> &'static str {
        "tenant"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let expected = Digest::of(facts.input.policy_bytes);
        let (good, found) = match facts.record.as_ref()?.tenant {
            None => (true, "not fixed at launch".to_owned()),
            Some(tenant) => (tenant == expected, format!("fixed at launch: {tenant}")),
        };
        Some(Finding::new(good, expected, found, OTHER_POLICY))
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::Digest;

    use crate::{appraisal::tests::refused, test_util::factory::Session};

    /// Row 7: keys released to the wrong workload.
    #[test]
    fn a_process_started_for_another_policy_is_refused() {
        let session =
            Session::simulated().with_record(|record| record.tenant = Some(Digest::of(b"other")));
        assert_eq!(refused(&session).what, "tenant");
        let policy = Digest::of(&session.policy_bytes);
        let session = Session::simulated().with_record(|record| record.tenant = Some(policy));
        assert!(session.appraise().is_accepted());
    }
}

//! The policy has not expired by the verifier's clock. Asked before keys, approvals and jobs are
//! given, not when a receipt is read.

use crate::{
    appraisal::{facts::Facts, input::Purpose, rule::Rule},
    check::Finding,
};

pub(super) struct Expiry;

impl Rule for Expiry {
    fn id(&self) -> &'static str {
        "expiry"
    }

    fn what(&self) -> &'static str {
        "policy's expiry"
    }

    fn applies(&self, facts: &Facts<'_>) -> bool {
        facts.input.purpose == Purpose::Release
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let policy = facts.policy.as_ref()?;
        let now = facts.input.now.0;
        let expired = policy.is_expired(now);
        let found = if expired {
            format!("expired {} ago", span(now - policy.expires()))
        } else {
            format!("good for {}", span(policy.expires() - now))
        };
        Some(Finding::new(
            !expired,
            "a policy that is still good",
            found,
            "agree on a new policy with a later `expires`, or correct this clock",
        ))
    }
}

/// A span of seconds, for people.
fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    let unit = UNITS.into_iter().find(|(length, _)| seconds >= 2 * length);
    let (length, name) = unit.unwrap_or((1, "seconds"));
    format!("{} {name}", seconds / length)
}

#[cfg(test)]
mod tests {
    use crate::{
        UnixSeconds,
        appraisal::{Purpose, tests::refused},
        test_util::factory::Session,
    };

    /// Row 9: an expired policy stops releases, and never the reading of a receipt.
    #[test]
    fn an_expired_policy_is_refused_for_release_only() {
        let expires = 1_798_675_200;
        let mut session = Session::simulated();
        session.now = UnixSeconds(expires - 1);
        assert!(session.appraise().is_accepted());
        session.now = UnixSeconds(expires);
        assert_eq!(refused(&session).what, "policy's expiry");
        session.now = UnixSeconds(expires + 3 * 86_400);
        assert!(refused(&session).found.contains("3 days"));
        session.purpose = Purpose::Receipt;
        assert!(session.appraise().is_accepted());
    }
}

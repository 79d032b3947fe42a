//! Hardware only: the clock by which keys are released is not behind this source. Whoever sets it
//! back reaches a day on which collateral that has expired, or a platform that was revoked, is good.

use crate::{
    appraisal::{facts::Facts, input::Purpose, rule::Rule},
    check::Finding,
    tee::Tee,
    time::UnixSeconds,
};

pub(super) struct Clock;

impl Rule for Clock {
    fn id(&self) -> &'static str {
        "clock"
    }

    fn what(&self) -> &'static str {
        "this verifier's clock"
    }

    fn applies(&self, facts: &Facts<'_>) -> bool {
        let hardware = facts.tee.is_none_or(|tee| tee != Tee::Sim);
        hardware && facts.input.purpose == Purpose::Release
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        facts.tee?;
        let now = facts.input.now;
        Some(Finding::new(
            now >= UnixSeconds::OF_THIS_SOURCE,
            format!("{} or later", UnixSeconds::OF_THIS_SOURCE),
            now,
            "set this machine's clock: by one that is behind, what was revoked meanwhile is good",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use crate::{
        Outcome, Tee, UnixSeconds,
        appraisal::{
            Purpose,
            rule::Rule,
            tests::{outcome_of, with_facts},
        },
        test_util::factory::Session,
    };

    /// Row 9: a clock set back to when stale collateral was good.
    #[test]
    fn keys_are_not_released_by_a_clock_that_is_behind() {
        let mut session = Session::simulated();
        let at = |session: &Session, tee| {
            with_facts(session, |facts| {
                facts.tee = Some(tee);
                Clock.applies(facts).then(|| outcome_of(&Clock, facts))
            })
        };
        session.now = UnixSeconds(UnixSeconds::OF_THIS_SOURCE.0 - 1);
        assert_eq!(at(&session, Tee::Tdx), Some(Outcome::Failed));
        assert_eq!(at(&session, Tee::Sim), None);
        session.now = UnixSeconds::OF_THIS_SOURCE;
        assert_eq!(at(&session, Tee::Tdx), Some(Outcome::Passed));
        // A receipt may be older than this source.
        session.now = UnixSeconds(0);
        session.purpose = Purpose::Receipt;
        assert_eq!(at(&session, Tee::Tdx), None);
    }
}

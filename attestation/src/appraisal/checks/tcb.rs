//! Hardware only: the state of firmware and microcode is one the policy accepts.

use mc2_protocol::policy::Tcb;

use crate::{
    appraisal::{check::Finding, facts::Facts, rule::Rule},
    tee::Tee,
};

pub(super) struct PlatformFirmware;

impl Rule for PlatformFirmware {
    fn id(&self) -> &'static str {
        "tcb"
    }

    fn what(&self) -> &'static str {
        "platform firmware (TCB)"
    }

    fn applies(&self, facts: &Facts<'_>) -> bool {
        facts.tee.is_none_or(|tee| tee != Tee::Sim)
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let hardware = facts.claims.as_ref()?.hardware.as_ref()?;
        let accepted = &facts.policy.as_ref()?.enclave().tcb;
        let expected = match accepted {
            Tcb::UpToDate => "UpToDate".to_owned(),
            Tcb::Accepted(accepted) => {
                let names: Vec<&str> = accepted.iter().map(|status| status.as_str()).collect();
                format!("one of {}", names.join(", "))
            }
        };
        Some(Finding::new(
            accepted.allows(hardware.tcb),
            expected,
            hardware.tcb,
            "the machine's operator must update firmware and microcode",
        ))
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::policy::TcbStatus;

    use super::PlatformFirmware;
    use crate::{
        appraisal::{Outcome, tests::on_hardware},
        claims::Hardware,
    };

    /// Row 9: a platform that is out of date.
    #[test]
    fn a_platform_passes_only_in_an_accepted_state() {
        let on = |accepted: &str, tcb: Option<TcbStatus>| {
            let hardware = tcb.map(|tcb| Hardware {
                platforms: vec![],
                tcb,
            });
            on_hardware(&PlatformFirmware, "\"any\"", accepted, hardware)
        };
        let (fresh, stale) = (TcbStatus::UpToDate, TcbStatus::OutOfDate);
        let strict = "\"up-to-date\"";
        assert_eq!(on(strict, Some(fresh)), Outcome::Passed);
        assert_eq!(on(strict, Some(stale)), Outcome::Failed);
        assert_eq!(on("[\"OutOfDate\"]", Some(stale)), Outcome::Passed);
        // A verifier that says nothing of the hardware makes no check, so it does not pass.
        assert_eq!(on(strict, None), Outcome::NotReached);
    }
}

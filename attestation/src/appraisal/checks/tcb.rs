//! Hardware only: the state of firmware and microcode is one the policy accepts.

use mc2_protocol::policy::Tcb;

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
    claims::Hardware,
    tee::Tee,
};

pub(in crate::appraisal) struct PlatformFirmware;

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
        Some(judge(hardware, &facts.policy.as_ref()?.enclave().tcb))
    }
}

/// Whether `accepted` allows the state of this firmware.
pub(in crate::appraisal) fn judge(hardware: &Hardware, accepted: &Tcb) -> Finding {
    let expected = match accepted {
        Tcb::UpToDate => "UpToDate".to_owned(),
        Tcb::Accepted(accepted) => {
            let names: Vec<&str> = accepted.iter().map(|status| status.as_str()).collect();
            format!("one of {}", names.join(", "))
        }
    };
    let advisories = match hardware.advisories.as_slice() {
        [] => String::new(),
        open => format!(", open to {}", open.join(", ")),
    };
    Finding::new(
        hardware
            .tcb
            .status()
            .is_some_and(|tcb| accepted.allows(tcb)),
        expected,
        format!("{}{advisories}", hardware.tcb),
        "the machine's operator must update firmware and microcode",
    )
}

#[cfg(test)]
mod tests {
    use mc2_protocol::policy::TcbStatus;

    use super::PlatformFirmware;
    use crate::{
        Outcome,
        appraisal::tests::{hardware, on_hardware},
        claims::Tcb as Found,
    };

    /// Row 9: a platform that is out of date.
    #[test]
    fn a_platform_passes_only_in_an_accepted_state() {
        let on = |accepted: &str, tcb: Option<TcbStatus>| {
            let found = tcb.map(|tcb| hardware(vec![], Found::Known(tcb)));
            on_hardware(&PlatformFirmware, "\"any\"", accepted, found)
        };
        let (fresh, stale) = (TcbStatus::UpToDate, TcbStatus::OutOfDate);
        let strict = "\"up-to-date\"";
        assert_eq!(on(strict, Some(fresh)), Outcome::Passed);
        assert_eq!(on(strict, Some(stale)), Outcome::Failed);
        assert_eq!(on("[\"OutOfDate\"]", Some(stale)), Outcome::Passed);
        // A revoked platform has a status that no policy can name.
        let revoked = hardware(vec![], Found::Unacceptable("Revoked"));
        let every = "[\"UpToDate\", \"OutOfDate\", \"OutOfDateConfigurationNeeded\"]";
        let outcome = on_hardware(&PlatformFirmware, "\"any\"", every, Some(revoked));
        assert_eq!(outcome, Outcome::Failed);
        // A verifier that says nothing of the hardware makes no check, so it does not pass.
        assert_eq!(on(strict, None), Outcome::NotReached);
    }
}

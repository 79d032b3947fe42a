//! Hardware only: the policy lists this machine, or says `"any"`.

use mc2_protocol::policy::Platforms;

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
    tee::Tee,
};

pub(super) struct ListedPlatform;

impl Rule for ListedPlatform {
    fn id(&self) -> &'static str {
        "platform"
    }

    fn what(&self) -> &'static str {
        "platform"
    }

    fn applies(&self, facts: &Facts<'_>) -> bool {
        facts.tee.is_none_or(|tee| tee != Tee::Sim)
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let hardware = facts.claims.as_ref()?.hardware.as_ref()?;
        let (listed, expected) = match &facts.policy.as_ref()?.enclave().platforms {
            Platforms::Any => (true, "any platform".to_owned()),
            Platforms::Listed(listed) => (
                hardware.platforms.iter().any(|one| listed.contains(one)),
                format!("one of the policy's {} platforms", listed.len()),
            ),
        };
        let found: Vec<String> = hardware.platforms.iter().map(ToString::to_string).collect();
        Some(Finding::new(
            listed,
            expected,
            found.join(", "),
            "use a host on a listed platform, or agree on a policy that lists this one",
        ))
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::{
        encoding::Hex,
        policy::{Platform, TcbStatus},
    };

    use crate::{
        Outcome,
        appraisal::tests::{hardware, on_hardware},
        claims::Tcb,
    };

    /// Row 2: a platform that is not listed.
    #[test]
    fn a_platform_passes_only_if_listed() {
        let on = |platforms: &str, found: Option<Vec<Platform>>| {
            let up_to_date = Tcb::Known(TcbStatus::UpToDate);
            let found = found.map(|platforms| hardware(platforms, up_to_date));
            on_hardware(&super::ListedPlatform, platforms, "\"up-to-date\"", found)
        };
        let chip = |byte| Some(vec![Platform::Chip(Hex([byte; 64]))]);
        let listed = format!("[\"chip:{}\"]", "01".repeat(64));
        assert_eq!(on(&listed, chip(1)), Outcome::Passed);
        assert_eq!(on(&listed, chip(2)), Outcome::Failed);
        assert_eq!(on(&listed, Some(vec![])), Outcome::Failed);
        assert_eq!(on("\"any\"", chip(2)), Outcome::Passed);
        // A verifier that says nothing of the hardware makes no check, so it does not pass.
        assert_eq!(on("\"any\"", None), Outcome::NotReached);
    }
}

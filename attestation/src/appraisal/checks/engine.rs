//! The engine is Wasmtime, with a profile this client knows.

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
};

/// The engine profiles this release knows.
const PROFILES: [&str; 2] = ["vm", "sgx"];
const ENGINE: &str = "wasmtime";

pub(super) struct KnownEngine;

impl Rule for KnownEngine {
    fn id(&self) -> &'static str {
        "engine"
    }

    fn what(&self) -> &'static str {
        "engine"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let found = &facts.record.as_ref()?.engine;
        let known = found.name == ENGINE
            && PROFILES.contains(&found.profile.as_str())
            && !found.version.is_empty();
        Some(Finding::new(
            known,
            format!("{ENGINE} with the profile vm or sgx"),
            format!(
                "{} {} with the profile {}",
                found.name, found.version, found.profile
            ),
            "use a client of the runtime's release",
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::{appraisal::tests::refused, test_util::factory::Session};

    #[test]
    fn an_unknown_engine_or_profile_is_refused() {
        for profile in ["", "fast", "VM"] {
            let session = Session::simulated()
                .with_record(|record| record.engine.profile = profile.to_owned());
            assert_eq!(refused(&session).what, "engine", "{profile:?}");
        }
        let session =
            Session::simulated().with_record(|record| record.engine.name = "v8".to_owned());
        assert_eq!(refused(&session).what, "engine");
    }
}

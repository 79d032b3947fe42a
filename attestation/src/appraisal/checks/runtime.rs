//! The runtime calls itself what its measurement says it is.

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
};

pub(super) struct RuntimeRelease;

impl Rule for RuntimeRelease {
    fn id(&self) -> &'static str {
        "runtime"
    }

    fn what(&self) -> &'static str {
        "runtime release"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let reference = facts.reference?;
        let found = &facts.record.as_ref()?.runtime;
        Some(Finding::new(
            found.name == reference.runtime && found.version == reference.version,
            format!(
                "{} {}, by its measurement",
                reference.runtime, reference.version
            ),
            format!("{} {}", found.name, found.version),
            "the runtime calls itself something else than what it measures to: do not use this \
             host",
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::{appraisal::tests::refused, test_util::factory::Session};

    /// Row 25: a runtime that calls itself another release than it measures to.
    #[test]
    fn a_runtime_with_another_name_or_version_than_its_reference_value_is_refused() {
        let session = Session::simulated()
            .with_record(|record| record.runtime.name = "mc2-runtime".to_owned());
        assert_eq!(refused(&session).what, "runtime release");
        let session = Session::simulated().with_record(|record| record.runtime.version.clear());
        assert_eq!(refused(&session).what, "runtime release");
    }
}

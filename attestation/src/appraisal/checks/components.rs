//! The record's components are the policy's: names, digests, order and number.

use mc2_protocol::documents::record::ComponentDigest;

use super::words::listed;
use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
};

pub(super) struct Components;

impl Rule for Components {
    fn id(&self) -> &'static str {
        "components"
    }

    fn what(&self) -> &'static str {
        "components"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let found = &facts.record.as_ref()?.components;
        let expected: Vec<ComponentDigest> = facts
            .policy
            .as_ref()?
            .components()
            .iter()
            .map(|component| ComponentDigest {
                name: component.name.clone(),
                sha256: component.sha256,
            })
            .collect();
        Some(Finding::new(
            !expected.is_empty() && *found == expected,
            listed(&expected),
            listed(found),
            "the runtime measured other components than the policy names: do not use this session",
        ))
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::{Digest, documents::record::SessionRecord};

    use crate::{appraisal::tests::refused, test_util::factory::Session};

    /// Row 7: components must agree by name, digest, order and number.
    #[test]
    fn other_components_than_the_policys_are_refused() {
        let changes: [fn(&mut SessionRecord); 5] = [
            |record| record.components[0].sha256 = Digest::of(b"evil.wasm"),
            |record| record.components[0].name = "other".parse().unwrap(),
            |record| record.components.swap(0, 1),
            |record| record.components.truncate(1),
            |record| record.components.clear(),
        ];
        for change in changes {
            let session = Session::simulated().with_record(change);
            assert_eq!(refused(&session).what, "components");
        }
    }
}

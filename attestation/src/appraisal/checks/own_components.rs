//! Where the verifier has the `.wasm` files: the record's components are those.

use super::words::listed;
use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
};

pub(super) struct OwnComponents;

impl Rule for OwnComponents {
    fn id(&self) -> &'static str {
        "own-components"
    }

    fn what(&self) -> &'static str {
        "components measured here"
    }

    fn applies(&self, facts: &Facts<'_>) -> bool {
        facts.input.expected_components.is_some()
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let found = &facts.record.as_ref()?.components;
        let own = facts.input.expected_components?;
        Some(Finding::new(
            !own.is_empty() && found == own,
            listed(own),
            listed(found),
            "the policy names another component than the file here: rebuild the file, or correct \
             the policy's sha256",
        ))
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::Digest;

    use crate::{
        appraisal::tests::refused,
        test_util::factory::{self, Session},
    };

    #[test]
    fn a_policy_that_names_another_file_than_the_verifiers_is_refused() {
        let mut session = Session::simulated();
        let mut own = factory::components();
        own[1].sha256 = Digest::of(b"rebuilt.wasm");
        session.expected_components = Some(own);
        assert_eq!(refused(&session).what, "components measured here");
        session.expected_components = Some(vec![]);
        assert_eq!(refused(&session).what, "components measured here");
        session.expected_components = None;
        assert!(session.appraise().is_accepted());
    }
}

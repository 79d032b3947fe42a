//! No component was revoked by its publisher, whatever the policy names.

use mc2_protocol::documents::record::ComponentDigest;

use super::words::listed;
use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
};

pub(super) struct ComponentRevocation;

impl Rule for ComponentRevocation {
    fn id(&self) -> &'static str {
        "component-revocation"
    }

    fn what(&self) -> &'static str {
        "component revocation"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let trust = facts.input.trust;
        let revoked: Vec<ComponentDigest> = facts
            .record
            .as_ref()?
            .components
            .iter()
            .filter(|component| trust.is_component_revoked(&component.sha256))
            .cloned()
            .collect();
        let found = if revoked.is_empty() {
            "none revoked".to_owned()
        } else {
            format!("revoked: {}", listed(&revoked))
        };
        Some(Finding::new(
            revoked.is_empty(),
            "components that were not revoked",
            found,
            "agree on a policy with a newer release of the component",
        ))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use mc2_protocol::{documents::dsse::Envelope, encoding::to_json};

    use crate::{
        appraisal::tests::refused,
        test_util::factory::{self, Session},
        trust::releases::{self, ReleaseList},
    };

    /// Row 9: a component revoked by its publisher, though the policy still names it.
    #[test]
    fn a_revoked_component_is_refused() {
        let mut session = Session::simulated();
        let key = SigningKey::from_bytes(&[6; 32]);
        let list = ReleaseList::new(1, vec![], vec![factory::components()[1].sha256]);
        let envelope = Envelope::sign(releases::PAYLOAD_TYPE, to_json(&list), &key);
        let keys = [key.verifying_key().to_bytes()];
        session
            .trust
            .take_releases(&to_json(&envelope), &keys)
            .unwrap();
        let check = refused(&session);
        assert_eq!(check.what, "component revocation");
        assert!(check.found.contains("xgboost"), "{check}");
    }
}

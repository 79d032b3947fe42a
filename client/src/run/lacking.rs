//! What a run waits for that others have not given.

use mc2_protocol::PartyName;

use crate::verbs::Missing;

/// What others have not given that a run wants.
#[derive(Debug)]
pub struct Lacking {
    /// All of it, and of whom.
    pub words: String,
    /// Those who may approve and have not.
    pub approvals: Vec<PartyName>,
    /// Those whose keys are missing.
    pub keys: Vec<PartyName>,
}

impl From<&Missing> for Lacking {
    fn from(missing: &Missing) -> Self {
        let approvals = missing.approvals.iter();
        let keys = missing.keys.iter().map(|(.., owner)| owner);
        let guest_keys = missing.guest_keys.iter().map(|(_, from)| from);
        Self {
            words: missing.to_string(),
            approvals: approvals.flat_map(|(_, of)| of).cloned().collect(),
            keys: keys.chain(guest_keys).cloned().collect(),
        }
    }
}

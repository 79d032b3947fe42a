//! Releasing no more.

use std::{collections::BTreeSet, ops::ControlFlow, time::SystemTime};

use mc2_protocol::Digest;

use super::{error::VerbError, member::Member};
use crate::{
    state::{Revoked, ledger::Entry},
    unix_seconds,
};

/// What was revoked, and who has its keys already.
pub struct Revocation {
    /// What was revoked.
    pub what: Revoked,
    /// The sessions that were given keys of it before: those keys cannot be called back.
    pub released: BTreeSet<Digest>,
}

impl Member {
    /// Releases no further key of something from this state folder, and says who has one already.
    ///
    /// # Errors
    /// The state folder or its ledger cannot be used.
    pub fn revoke(&self, what: Revoked) -> Result<Revocation, VerbError> {
        self.state.revoke(&what, unix_seconds(SystemTime::now()))?;
        let mut released = BTreeSet::new();
        self.state.ledger().entries(|recorded| {
            if let Entry::Release(release) = recorded.entry {
                let of_it = match &what {
                    Revoked::Dataset(dataset) => release.dataset == *dataset,
                    Revoked::Object(object) => release.object == *object,
                    Revoked::Session(session) => release.session == *session,
                };
                if of_it {
                    released.insert(release.session);
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(Revocation { what, released })
    }
}

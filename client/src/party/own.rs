//! Which of one's own identities is a party.

use mc2_protocol::{Identity, policy::Policy};

use super::PartyError;
use crate::{state::State, terminal::listed};

/// This person's identity that is a party of `policy`: the one named, or the first that is one.
///
/// # Errors
/// There is none, or the state folder cannot be read.
pub fn own_party(
    state: &State,
    policy: &Policy,
    named: Option<&str>,
) -> Result<Identity, PartyError> {
    let candidates = match named {
        Some(name) => vec![state.identity(name)?],
        None => state.identities()?,
    };
    let is_party = |identity: &Identity| policy.party(identity.card().digest()).is_some();
    candidates.into_iter().find(is_party).ok_or_else(|| {
        let who = match named {
            Some(name) => format!("the identity {name} is not"),
            None => format!("none of the identities in {} is", state.root().display()),
        };
        PartyError::NotAParty {
            who,
            policy: policy.name().clone(),
            parties: listed(policy.parties().iter().map(|card| card.name())),
        }
    })
}

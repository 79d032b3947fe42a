//! Why a card is refused, and why a policy is.

use std::path::PathBuf;

use mc2_protocol::{
    Digest, Name, PartyName,
    documents::{card::CardError, replacement::ReplacementError},
    policy::PolicyError,
};

use super::fingerprint::Fingerprint;
use crate::{exit::Exit, files::FileError, state::StateError};

/// Why a card is not added, removed or read.
#[derive(Debug, thiserror::Error)]
pub enum PartyError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not a card.
    #[error("{} is not a card", path.display())]
    Card {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CardError,
    },
    /// Not a replacement of a card.
    #[error("{} is not a new card that the old one signed", path.display())]
    Replacement {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ReplacementError,
    },
    /// Not a policy.
    #[error("{} is not a policy, which --name takes a card from", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<PolicyError>,
    },
    /// A policy without this party.
    #[error("the policy {} has no party {name}; its parties are {parties}", path.display())]
    NotInPolicy {
        /// The policy's file.
        path: PathBuf,
        /// The party asked for.
        name: PartyName,
        /// Those it has.
        parties: String,
    },
    /// A kept card that is none, or another's.
    #[error(
        "{} is not the card of its name: {reason}; remove it and add the card again",
        path.display()
    )]
    Kept {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another fingerprint than the one that was told.
    #[error(
        "the card says it is {name}'s and has the fingerprint {found}, expected {expected}, which \
         is what was told: it is not the card you compared, so it was not added. Ask {name} for its \
         card again"
    )]
    Fingerprint {
        /// The name in the card.
        name: PartyName,
        /// What was told.
        expected: Fingerprint,
        /// The card's.
        found: Fingerprint,
    },
    /// The name is another card's.
    #[error(
        "{name} is known already, with another key: expected the card {expected}, found the card \
         {found}. Either {name} has a new key or somebody poses as it: ask {name}; if the key is \
         new, `mc2 party remove {name}` and add the card again"
    )]
    OtherKey {
        /// The name.
        name: PartyName,
        /// Fingerprint of the known card.
        expected: Fingerprint,
        /// Fingerprint of the new one.
        found: Fingerprint,
    },
    /// The key is another card's.
    #[error(
        "the card of {name} has a key of {known}'s, who would be two parties with it: expected a \
         key of its own. Ask {name} for its card again"
    )]
    SameKey {
        /// The name in the card.
        name: PartyName,
        /// Whose key it is.
        known: PartyName,
    },
    /// A new card whose old one nobody compared.
    #[error(
        "{name} replaces its card {old}, which is not known here{}: the old card's signature tells \
         nothing of {name} then. Add the new card by itself, `mc2 party add CARD`, once its \
         fingerprint was compared",
        known.map(|known| format!(" ({known} is)")).unwrap_or_default()
    )]
    OldUnknown {
        /// The name.
        name: PartyName,
        /// Fingerprint of the card that is replaced.
        old: Fingerprint,
        /// Fingerprint of the card that is known under the name.
        known: Option<Fingerprint>,
    },
    /// One's own card.
    #[error("{name} is an identity of your own: its card is known while the identity is there")]
    Own {
        /// The name.
        name: PartyName,
    },
    /// Nobody here is a party.
    #[error(
        "{who} a party of the policy {policy}, whose parties are {parties}; name yours with --as"
    )]
    NotAParty {
        /// Who is not.
        who: String,
        /// The policy's name.
        policy: Name,
        /// Its parties.
        parties: String,
    },
    /// No card of that name.
    #[error("no card of {name} is known; `mc2 party list` shows those that are")]
    Unknown {
        /// The name.
        name: PartyName,
    },
}

impl PartyError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            Self::Kept { .. } => Exit::StateBroken,
            Self::NotAParty { .. } => Exit::PolicyRefused,
            _ => Exit::BadInput,
        }
    }
}

/// Why nothing is released or approved under a policy.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// Another policy than the one that is stated.
    #[error(
        "it is not the policy that --policy-digest states: expected {expected}, found {found}; \
         nothing is released or approved under it"
    )]
    OtherPolicy {
        /// The digest stated.
        expected: Digest,
        /// Its digest.
        found: Digest,
    },
    /// A known name with another key.
    #[error(
        "its card of {name} is not the one that is known: expected {expected}, found {found}; \
         nothing is released or approved under it. Either {name} has a new key or somebody swapped \
         it: ask {name}; if the key is new, `mc2 party remove {name}` and add the card again"
    )]
    OtherKey {
        /// The name.
        name: PartyName,
        /// Fingerprint of the known card.
        expected: Fingerprint,
        /// Fingerprint of the policy's.
        found: Fingerprint,
    },
    /// A known key under another name.
    #[error(
        "its card of {name} has a key of {known}'s, who would be two parties with it; nothing is \
         released or approved under it"
    )]
    SameKey {
        /// The name in the policy.
        name: PartyName,
        /// Whose key it is.
        known: PartyName,
    },
    /// A card that its party replaced.
    #[error(
        "it names the card {old} of {name}, which {name} replaced by {new}; nothing is released or \
         approved under it. Agree on a policy with the new card: it is another policy, with another \
         digest, which every party approves again"
    )]
    Replaced {
        /// The name.
        name: PartyName,
        /// Fingerprint of the old card.
        old: Fingerprint,
        /// Fingerprint of the new one.
        new: Fingerprint,
    },
    /// Cards nobody compared.
    #[error(
        "it names cards that are not known here, so nothing is released or approved under it:{}\n\
         compare each fingerprint with its party over another channel, then add it: {}",
        each(cards),
        command(cards)
    )]
    Unknown {
        /// Each of them.
        cards: Vec<UnknownCard>,
    },
}

/// A card of a policy that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCard {
    /// The name in it.
    pub name: PartyName,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// A known party that its name is easily taken for.
    pub looks_like: Option<PartyName>,
}

fn each(cards: &[UnknownCard]) -> String {
    let line = |card: &UnknownCard| {
        let looks_like = card
            .looks_like
            .as_ref()
            .map(|known| format!("  (looks like {known}, who is known and somebody else)"));
        let (name, fingerprint) = (&card.name, card.fingerprint);
        format!(
            "\n  {name}  {fingerprint}{}",
            looks_like.unwrap_or_default()
        )
    };
    cards.iter().map(line).collect()
}

fn command(cards: &[UnknownCard]) -> String {
    let name = cards.first().map_or("NAME", |card| card.name.as_str());
    format!(
        "`mc2 party add POLICY --name {name} --fingerprint \"WHAT {name} TELLS YOU\"`, or its card's \
         file in the policy's place; a script that knows the policy states --policy-digest"
    )
}

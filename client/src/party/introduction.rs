//! What introduces a party's card: the card itself, or the statement of the card before it.

use std::path::Path;

use mc2_protocol::{
    Card, PartyName,
    documents::replacement::{REPLACEMENT_PREFIX, Replacement},
};

use super::{MAX_LEN, PartyError, read_card};
use crate::files::read_capped;

/// A card to be added, and how it comes.
pub enum Introduction {
    /// By itself.
    Card(Box<Card>),
    /// Signed by the one it replaces.
    Next(Box<Replacement>),
}

impl Introduction {
    /// What is in the file `path`: a card, a replacement, or, where a party is named, a policy with
    /// its card.
    ///
    /// # Errors
    /// It is none of these, or cannot be read.
    pub fn read(path: &Path, name: Option<&PartyName>) -> Result<Self, PartyError> {
        if name.is_none() {
            let bytes = read_capped(path, MAX_LEN)?;
            if bytes.starts_with(REPLACEMENT_PREFIX.as_bytes()) {
                let text = String::from_utf8_lossy(&bytes);
                let next: Replacement = text.parse().map_err(|source| PartyError::Replacement {
                    path: path.to_owned(),
                    source,
                })?;
                return Ok(Self::Next(Box::new(next)));
            }
        }
        read_card(path, name).map(|card| Self::Card(Box::new(card)))
    }

    /// The card that is introduced.
    pub const fn card(&self) -> &Card {
        match self {
            Self::Card(card) => card,
            Self::Next(next) => next.card(),
        }
    }
}

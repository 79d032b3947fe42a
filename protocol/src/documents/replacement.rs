//! A party's new card, signed by its old one (protocol.md §6).
//!
//! It says that whoever had the old key wants the new card to be the party from now on. Whoever
//! stole the old key can say so too: the new card is believed once its own fingerprint was compared,
//! as every card is.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _};

use crate::{Card, Identity, crypto::label, documents::card::CardError};

/// What a replacement's text starts with.
pub const REPLACEMENT_PREFIX: &str = "mc2next1";

const FORMAT: u8 = 1;
const SIGNATURE_LEN: usize = 64;

/// A party's old card and its new one, signed by the old one's key. Only checked ones exist.
///
/// ```
/// use mc2_protocol::{Identity, documents::replacement::Replacement};
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let old = Identity::generate("bank-a".parse()?, &mut rng);
/// let new = Identity::generate("bank-a".parse()?, &mut rng);
/// let text = Replacement::sign(&old, new.card())?.to_string();
/// let read: Replacement = text.parse()?;
/// assert_eq!((read.old(), read.card()), (old.card(), new.card()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    old: Card,
    new: Card,
    bytes: Vec<u8>,
}

/// Why a replacement was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplacementError {
    /// Text that does not start as a replacement does, or is not base64url.
    #[error("not a replacement: expected {REPLACEMENT_PREFIX} followed by unpadded base64url")]
    Text,
    /// Another format version.
    #[error("the replacement has format version {found}, this release reads version {FORMAT}")]
    Version {
        /// The version it states.
        found: u8,
    },
    /// Bytes missing or left over.
    #[error("the replacement has {found} bytes, which is not the length of any replacement")]
    Length {
        /// Its length in bytes.
        found: usize,
    },
    /// A card in it that is none.
    #[error("the {which} card in the replacement is not one")]
    Card {
        /// `old` or `new`.
        which: &'static str,
        /// What is wrong with it.
        source: CardError,
    },
    /// Another party's card.
    #[error("the replacement is from {old} to {new}: a new card keeps the party's name")]
    Name {
        /// The old card's name.
        old: String,
        /// The new card's name.
        new: String,
    },
    /// A key of the old card's in the new one.
    #[error("the new card has a key of the old one's: a replacement has new keys")]
    SameKey,
    /// The signature does not verify.
    #[error("the replacement's signature is not the old card's: somebody else wrote it")]
    Signature,
}

impl Replacement {
    /// Signs `new` with the old identity.
    ///
    /// # Errors
    /// It is another party's card, or has a key of the old one's.
    pub fn sign(old: &Identity, new: &Card) -> Result<Self, ReplacementError> {
        check_pair(old.card(), new)?;
        let signature = old.signing_key().sign(&signed_part(old.card(), new));
        let mut bytes = vec![FORMAT];
        for card in [old.card(), new] {
            // A card has far fewer than 2^16 bytes.
            bytes.extend_from_slice(&(card.as_bytes().len() as u16).to_be_bytes());
            bytes.extend_from_slice(card.as_bytes());
        }
        bytes.extend_from_slice(&signature.to_bytes());
        Ok(Self {
            old: old.card().clone(),
            new: new.clone(),
            bytes,
        })
    }

    /// Parses and checks `1 ‖ length of the old card (2) ‖ old card ‖ length of the new card (2) ‖
    /// new card ‖ signature (64)`.
    ///
    /// # Errors
    /// [`ReplacementError`], naming the first part that is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReplacementError> {
        let length = || ReplacementError::Length { found: bytes.len() };
        let (format, rest) = bytes.split_first().ok_or_else(length)?;
        if *format != FORMAT {
            return Err(ReplacementError::Version { found: *format });
        }
        let (old, rest) = with_length(rest).ok_or_else(length)?;
        let (new, signature) = with_length(rest).ok_or_else(length)?;
        if signature.len() != SIGNATURE_LEN {
            return Err(length());
        }
        let card = |which, bytes| {
            Card::from_bytes(bytes).map_err(|source| ReplacementError::Card { which, source })
        };
        let (old, new) = (card("old", old)?, card("new", new)?);
        check_pair(&old, &new)?;
        let signature =
            Signature::from_slice(signature).map_err(|_| ReplacementError::Signature)?;
        old.verifying_key()
            .verify_strict(&signed_part(&old, &new), &signature)
            .map_err(|_| ReplacementError::Signature)?;
        let bytes = bytes.to_vec();
        Ok(Self { old, new, bytes })
    }

    /// The card that is replaced.
    pub const fn old(&self) -> &Card {
        &self.old
    }

    /// The card that takes its place.
    pub const fn card(&self) -> &Card {
        &self.new
    }
}

impl FromStr for Replacement {
    type Err = ReplacementError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let body = text.trim().strip_prefix(REPLACEMENT_PREFIX);
        let bytes = body.and_then(|body| URL_SAFE_NO_PAD.decode(body).ok());
        Self::from_bytes(&bytes.ok_or(ReplacementError::Text)?)
    }
}

impl fmt::Display for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = URL_SAFE_NO_PAD.encode(&self.bytes);
        write!(f, "{REPLACEMENT_PREFIX}{bytes}")
    }
}

fn check_pair(old: &Card, new: &Card) -> Result<(), ReplacementError> {
    if old.name() != new.name() {
        return Err(ReplacementError::Name {
            old: old.name().to_string(),
            new: new.name().to_string(),
        });
    }
    if old.verifying_key() == new.verifying_key() || old.public_key() == new.public_key() {
        return Err(ReplacementError::SameKey);
    }
    Ok(())
}

/// What the old card's key signs.
fn signed_part(old: &Card, new: &Card) -> Vec<u8> {
    let digests = [old.digest(), new.digest()].map(|digest| digest.as_bytes().as_slice());
    label::context(label::REPLACEMENT, &digests)
}

fn with_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn identity(name: &str, signing: u8, private: u8) -> Identity {
        let seed = |byte| SecretKey::from_bytes([byte; 32]);
        Identity::from_seeds(name.parse().unwrap(), &seed(signing), seed(private))
    }

    #[test]
    fn a_replacement_keeps_the_name_and_takes_new_keys() {
        let old = identity("bank-a", 1, 2);
        for (new, expected) in [
            (identity("bank-a", 1, 3), ReplacementError::SameKey),
            (identity("bank-a", 3, 2), ReplacementError::SameKey),
            (
                identity("bank-b", 3, 4),
                ReplacementError::Name {
                    old: "bank-a".to_owned(),
                    new: "bank-b".to_owned(),
                },
            ),
        ] {
            assert_eq!(Replacement::sign(&old, new.card()), Err(expected));
        }
        Replacement::sign(&old, identity("bank-a", 3, 4).card()).unwrap();
    }

    /// Row 26: nobody but the holder of the old key names a new one.
    #[test]
    fn an_altered_replacement_or_one_that_another_key_signed_is_refused() {
        let (old, new) = (identity("bank-a", 1, 2), identity("bank-a", 3, 4));
        let good = Replacement::sign(&old, new.card()).unwrap();
        assert_eq!(Replacement::from_bytes(&good.bytes).unwrap(), good);
        for at in 0..good.bytes.len() {
            let mut bytes = good.bytes.clone();
            bytes[at] ^= 1;
            assert!(Replacement::from_bytes(&bytes).is_err(), "byte {at}");
        }
        for end in 0..good.bytes.len() {
            assert!(Replacement::from_bytes(&good.bytes[..end]).is_err());
        }
        let mut longer = good.bytes.clone();
        longer.push(0);
        assert!(Replacement::from_bytes(&longer).is_err());

        // The thief's own key over the same two cards.
        let thief = identity("bank-a", 5, 6);
        let signature = thief
            .signing_key()
            .sign(&signed_part(old.card(), new.card()));
        let mut forged = good.bytes.clone();
        let at = forged.len() - SIGNATURE_LEN;
        forged[at..].copy_from_slice(&signature.to_bytes());
        assert_eq!(
            Replacement::from_bytes(&forged),
            Err(ReplacementError::Signature)
        );
    }

    #[test]
    fn a_replacement_survives_its_text() {
        let (old, new) = (identity("bank-a", 1, 2), identity("bank-a", 3, 4));
        let good = Replacement::sign(&old, new.card()).unwrap();
        let text = good.to_string();
        assert_eq!(format!("{text}\n").parse(), Ok(good));
        assert_eq!(
            "mc2card1AQ".parse::<Replacement>(),
            Err(ReplacementError::Text)
        );
    }
}

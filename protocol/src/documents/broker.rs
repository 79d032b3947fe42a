//! A broker's card with the signature of the owner it stands for (protocol.md §6).

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _};

use crate::{
    Card, Digest, Identity,
    crypto::label,
    documents::card::{CARD_PREFIX, CardError},
};

/// What the text of a broker's signed card starts with.
pub const BROKER_PREFIX: &str = "mc2broker1";

/// A broker's card as its owner signed it. Whose signature it is shows only against the owner's
/// card: [`signed_by`](Self::signed_by) is the one way to the broker's.
///
/// ```
/// use mc2_protocol::{Identity, documents::broker::BrokerCard};
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let owner = Identity::generate("bank-a".parse()?, &mut rng);
/// let broker = Identity::generate("broker-a".parse()?, &mut rng);
/// // The owner runs this once it has compared the broker's fingerprint.
/// let text = BrokerCard::sign(broker.card().clone(), &owner).to_string();
/// let signed: BrokerCard = text.parse()?;
/// assert_eq!(signed.signed_by(owner.card())?, broker.card());
/// assert!(signed.signed_by(broker.card()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerCard {
    card: Card,
    signature: Signature,
}

/// Why a broker's card was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerCardError {
    /// A card that nobody signed.
    #[error(
        "this is a card alone, which its owner has not signed: the owner runs `mc2 broker sign` \
         with it, which prints {BROKER_PREFIX}…"
    )]
    Unsigned,
    /// Text that does not start as one does, or is not base64url.
    #[error("not a broker's card: expected {BROKER_PREFIX} followed by unpadded base64url")]
    Text,
    /// Too short for a signature.
    #[error("the broker's card has {found} bytes, which is not the length of any")]
    Length {
        /// Its length in bytes.
        found: usize,
    },
    /// The card itself.
    #[error(transparent)]
    Card(#[from] CardError),
    /// Not the owner's signature.
    #[error(
        "the signature of broker {broker} is not {owner}'s: the owner of the dataset runs \
         `mc2 broker sign` with the broker's card"
    )]
    Signature {
        /// The broker's name.
        broker: String,
        /// Who must have signed.
        owner: String,
    },
}

impl BrokerCard {
    /// Signs a broker's card as the owner whose keys it will release.
    pub fn sign(card: Card, owner: &Identity) -> Self {
        let signature = owner.signing_key().sign(&signed_part(card.digest()));
        Self { card, signature }
    }

    /// The broker's card, if `owner` signed it.
    ///
    /// # Errors
    /// [`BrokerCardError::Signature`].
    pub fn signed_by(&self, owner: &Card) -> Result<&Card, BrokerCardError> {
        owner
            .verifying_key()
            .verify_strict(&signed_part(self.card.digest()), &self.signature)
            .map_err(|_| BrokerCardError::Signature {
                broker: self.card.name().to_string(),
                owner: owner.name().to_string(),
            })?;
        Ok(&self.card)
    }
}

impl FromStr for BrokerCard {
    type Err = BrokerCardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.starts_with(CARD_PREFIX) {
            return Err(BrokerCardError::Unsigned);
        }
        let body = text
            .strip_prefix(BROKER_PREFIX)
            .ok_or(BrokerCardError::Text)?;
        let bytes = URL_SAFE_NO_PAD
            .decode(body)
            .map_err(|_| BrokerCardError::Text)?;
        let (card, signature) = bytes
            .split_last_chunk()
            .ok_or(BrokerCardError::Length { found: bytes.len() })?;
        Ok(Self {
            card: Card::from_bytes(card)?,
            signature: Signature::from_bytes(signature),
        })
    }
}

impl fmt::Display for BrokerCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.card.as_bytes(), &self.signature.to_bytes()].concat();
        write!(f, "{BROKER_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

fn signed_part(card: &Digest) -> Vec<u8> {
    label::context(label::BROKER, &[card.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str) -> Identity {
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        Identity::generate(name.parse().unwrap(), &mut rng)
    }

    fn signed() -> (Identity, BrokerCard) {
        let owner = identity("bank-a");
        let broker = BrokerCard::sign(identity("broker-a").card().clone(), &owner);
        (owner, broker)
    }

    #[test]
    fn a_broker_s_card_survives_its_text_and_is_its_owner_s_alone() {
        let (owner, broker) = signed();
        let again: BrokerCard = broker.to_string().parse().unwrap();
        assert_eq!(again, broker);
        assert_eq!(
            again.signed_by(owner.card()).unwrap().name().as_str(),
            "broker-a"
        );
        // Neither another party's, nor one of the owner's name, nor the broker's own.
        for other in [
            identity("bank-b").card(),
            identity("bank-a").card(),
            &broker.card,
        ] {
            let refused = broker.signed_by(other).unwrap_err();
            assert!(matches!(refused, BrokerCardError::Signature { .. }));
        }
    }

    #[test]
    fn no_byte_of_a_broker_s_card_may_differ() {
        let (owner, broker) = signed();
        let text = broker.to_string();
        let bytes = URL_SAFE_NO_PAD
            .decode(&text[BROKER_PREFIX.len()..])
            .unwrap();
        let read = |bytes: &[u8]| {
            let text = format!("{BROKER_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
            text.parse::<BrokerCard>()
                .is_ok_and(|one| one.signed_by(owner.card()).is_ok())
        };
        assert!(read(&bytes));
        for at in (0..bytes.len())
            .step_by(11)
            .chain(bytes.len() - 64..bytes.len())
        {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            assert!(!read(&broken), "byte {at}");
        }
        for length in [0, 63, 64, bytes.len() - 1] {
            assert!(!read(&bytes[..length]), "{length} bytes");
        }
    }

    #[test]
    fn a_card_that_nobody_signed_is_no_broker_s() {
        let (_, broker) = signed();
        let refused = broker.card.to_string().parse::<BrokerCard>().unwrap_err();
        assert_eq!(refused, BrokerCardError::Unsigned);
        assert_eq!(
            "mc2".parse::<BrokerCard>().unwrap_err(),
            BrokerCardError::Text
        );
    }

    /// Another's signature may be good over the same bytes only under another purpose's label.
    #[test]
    fn the_owner_s_signature_over_a_bare_digest_is_not_enough() {
        let owner = identity("bank-a");
        let card = identity("broker-a").card().clone();
        let signature = owner.signing_key().sign(card.digest().as_bytes());
        let forged = BrokerCard { card, signature };
        assert!(forged.signed_by(owner.card()).is_err());
    }
}

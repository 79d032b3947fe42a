//! What is sealed to one card, and says to whose.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Card, Digest, Identity, SecretKey,
    crypto::hpke::{Encapsulation, HpkeError, Sealed},
};

/// What is sealed to one card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedTo {
    /// Digest of the card.
    pub card: Digest,
    /// What is sealed to its key.
    pub sealed: Sealed,
}

/// Seals to cards. A generator of random numbers does so under an encapsulation of its own each time.
pub trait SealTo {
    /// A fresh key.
    fn key(&mut self) -> SecretKey;

    /// Seals `plaintext` to a card for the purpose `info`, which names the card too.
    fn seal_to(&mut self, to: &Card, info: &[u8], plaintext: &[u8]) -> Sealed;
}

impl<R: CryptoRng> SealTo for R {
    fn key(&mut self) -> SecretKey {
        SecretKey::generate(self)
    }

    fn seal_to(&mut self, to: &Card, info: &[u8], plaintext: &[u8]) -> Sealed {
        to.public_key().seal(info, plaintext, self)
    }
}

/// Seals what one document has for a card under one encapsulation, which is most of the work for whoever
/// seals and whoever opens. What has a purpose that came before gets an encapsulation of its own.
pub struct OnePerCard<R> {
    rng: R,
    cards: BTreeMap<Digest, Encapsulation>,
}

impl<R: CryptoRng> OnePerCard<R> {
    /// One that has sealed nothing.
    pub const fn new(rng: R) -> Self {
        Self {
            rng,
            cards: BTreeMap::new(),
        }
    }
}

impl<R: CryptoRng> SealTo for OnePerCard<R> {
    fn key(&mut self) -> SecretKey {
        SecretKey::generate(&mut self.rng)
    }

    fn seal_to(&mut self, to: &Card, info: &[u8], plaintext: &[u8]) -> Sealed {
        let rng = &mut self.rng;
        let card = self.cards.entry(*to.digest());
        let encapsulation = card.or_insert_with(|| to.public_key().encapsulate(rng));
        let sealed = encapsulation.seal(info, plaintext);
        sealed.unwrap_or_else(|| to.public_key().seal(info, plaintext, &mut self.rng))
    }
}

impl SealedTo {
    /// Seals `plaintext` to a card for the purpose `info`, which names the card too.
    pub(crate) fn seal(info: &[u8], to: &Card, plaintext: &[u8], by: &mut impl SealTo) -> Self {
        Self {
            card: *to.digest(),
            sealed: by.seal_to(to, info, plaintext),
        }
    }

    /// Opens it with the identity of its card.
    pub(crate) fn open(
        &self,
        info: &[u8],
        with: &Identity,
    ) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
        with.private_key().open(info, &self.sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_encapsulation_serves_a_card_and_a_purpose_that_comes_twice_gets_another() {
        let rng = || rand_core::UnwrapErr(getrandom::SysRng);
        let identity = |name: &str| Identity::generate(name.parse().unwrap(), &mut rng());
        let (alice, bob) = (identity("alice"), identity("bob"));
        let mut by = OnePerCard::new(rng());
        let mut seal = |to: &Identity, info: &[u8], text: &[u8]| {
            SealedTo::seal(info, to.card(), text, &mut by)
        };
        let [one, two, again] = [
            seal(&alice, b"one", b"first"),
            seal(&alice, b"two", b"second"),
            seal(&alice, b"one", b"third"),
        ];
        let other = seal(&bob, b"one", b"fourth");
        let key = |sealed: &SealedTo| sealed.sealed.encapsulated_key.clone();
        assert_eq!(key(&one), key(&two));
        assert!(key(&again) != key(&one) && key(&other) != key(&one));
        for (sealed, info, with, text) in [
            (&one, &b"one"[..], &alice, &b"first"[..]),
            (&two, b"two", &alice, b"second"),
            (&again, b"one", &alice, b"third"),
            (&other, b"one", &bob, b"fourth"),
        ] {
            assert_eq!(sealed.open(info, with).unwrap().as_slice(), text);
        }
        assert!(one.open(b"one", &bob).is_err());
    }
}

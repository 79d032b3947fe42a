//! What is sealed to one card, and says to whose.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Card, Digest, Identity,
    crypto::hpke::{HpkeError, Sealed},
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

impl SealedTo {
    /// Seals `plaintext` to a card for the purpose `info`, which names the card too.
    pub(crate) fn seal(info: &[u8], to: &Card, plaintext: &[u8], rng: &mut impl CryptoRng) -> Self {
        Self {
            card: *to.digest(),
            sealed: to.public_key().seal(info, plaintext, rng),
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

//! A party is one byte string, its card (protocol.md §6).

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::Zeroizing;

use crate::{
    Digest, PartyName, SecretKey,
    crypto::{
        hpke::{PUBLIC_KEY_LEN, PrivateKey, PublicKey},
        label,
    },
};

/// What a card's text starts with.
pub const CARD_PREFIX: &str = "mc2card1";
/// What an identity's text starts with.
pub const IDENTITY_PREFIX: &str = "mc2secret1";

const FORMAT: u8 = 1;
const SIGNATURE_LEN: usize = 64;
const VERIFYING_KEY_LEN: usize = 32;

/// Name, Ed25519 key and X-Wing key of a party, signed by the former. Only checked cards exist.
#[derive(Clone)]
pub struct Card {
    name: PartyName,
    verifying_key: VerifyingKey,
    public_key: PublicKey,
    bytes: Vec<u8>,
    digest: Digest,
}

/// Why a card was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Text that does not start as a card does, or is not base64url.
    #[error("not a card: expected {CARD_PREFIX} followed by unpadded base64url")]
    Text,
    /// Another format version.
    #[error("the card has format version {found}, this release reads version {FORMAT}")]
    Version {
        /// The version it states.
        found: u8,
    },
    /// Bytes missing or left over.
    #[error("the card has {found} bytes, which is not the length of any card")]
    Length {
        /// Its length in bytes.
        found: usize,
    },
    /// A name outside its alphabet.
    #[error("the card's name is not 1 to 64 of a-z 0-9 -")]
    Name,
    /// A key that does not parse.
    #[error("the card's {which} key is not valid")]
    Key {
        /// `Ed25519` or `X-Wing`.
        which: &'static str,
    },
    /// The self-signature does not verify.
    #[error("the card's signature is not its own key's: the card was altered")]
    Signature,
}

impl Card {
    /// Parses and checks a card's bytes: `1 ‖ length of name ‖ name ‖ Ed25519 key (32) ‖ X-Wing
    /// key (1,216) ‖ signature (64)`.
    ///
    /// # Errors
    /// [`CardError`], naming the first part that is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CardError> {
        let length = CardError::Length { found: bytes.len() };
        let [format, name_len, rest @ ..] = bytes else {
            return Err(length);
        };
        if *format != FORMAT {
            return Err(CardError::Version { found: *format });
        }
        let name_len = usize::from(*name_len);
        if rest.len() != name_len + VERIFYING_KEY_LEN + PUBLIC_KEY_LEN + SIGNATURE_LEN {
            return Err(length);
        }
        let (name, rest) = rest.split_at(name_len);
        let (verifying_key, rest) = rest.split_at(VERIFYING_KEY_LEN);
        let (public_key, signature) = rest.split_at(PUBLIC_KEY_LEN);
        let name = std::str::from_utf8(name)
            .ok()
            .and_then(|name| name.parse().ok())
            .ok_or(CardError::Name)?;
        let verifying_key = verifying_key
            .try_into()
            .ok()
            .and_then(|key| VerifyingKey::from_bytes(key).ok())
            .filter(|key| !key.is_weak())
            .ok_or(CardError::Key { which: "Ed25519" })?;
        let public_key =
            PublicKey::from_bytes(public_key).map_err(|_| CardError::Key { which: "X-Wing" })?;
        let signature = Signature::from_slice(signature).map_err(|_| CardError::Signature)?;
        let signed = signed_part(&bytes[..bytes.len() - SIGNATURE_LEN]);
        verifying_key
            .verify_strict(&signed, &signature)
            .map_err(|_| CardError::Signature)?;
        Ok(Self {
            name,
            verifying_key,
            public_key,
            bytes: bytes.to_vec(),
            digest: Digest::of(bytes),
        })
    }

    /// The party's name.
    pub const fn name(&self) -> &PartyName {
        &self.name
    }

    /// The key that checks the party's signatures.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying_key
    }

    /// The key that things are sealed to.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// SHA-256 of the card's bytes: what messages and receipts name the party by.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The card's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first 160 bits of the digest in groups of four hexadecimal digits: what two people
    /// compare over another channel.
    pub fn fingerprint(&self) -> String {
        let digits = crate::encoding::hex(&self.digest.as_bytes()[..20]);
        let groups: Vec<&str> = (0..digits.len())
            .step_by(4)
            .map(|i| &digits[i..i + 4])
            .collect();
        groups.join(" ")
    }
}

impl FromStr for Card {
    type Err = CardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let body = text
            .trim()
            .strip_prefix(CARD_PREFIX)
            .ok_or(CardError::Text)?;
        Self::from_bytes(&URL_SAFE_NO_PAD.decode(body).map_err(|_| CardError::Text)?)
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CARD_PREFIX}{}", URL_SAFE_NO_PAD.encode(&self.bytes))
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Card({} {})", self.name, self.digest.short())
    }
}

impl PartialEq for Card {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Card {}

impl Serialize for Card {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Card {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// The private half of a card. No `Debug`; wiped on drop.
///
/// ```
/// use mc2_protocol::{Card, Identity};
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let identity = Identity::generate("bank-a".parse()?, &mut rng);
/// // The card is what others get; people compare its fingerprint over another channel.
/// let card: Card = identity.card().to_string().parse()?;
/// assert_eq!(card.fingerprint(), identity.card().fingerprint());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Identity {
    card: Card,
    signing_key: SigningKey,
    private_key: PrivateKey,
}

/// An identity's text that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an identity: expected {IDENTITY_PREFIX} followed by unpadded base64url of two 32-byte seeds and a name"
)]
pub struct IdentityError;

impl Identity {
    /// A fresh identity called `name`.
    pub fn generate(name: PartyName, rng: &mut impl CryptoRng) -> Self {
        let signing_seed = SecretKey::generate(rng);
        Self::from_seeds(name, &signing_seed, SecretKey::generate(rng))
    }

    /// The identity of two 32-byte seeds: Ed25519 (RFC 8032) and X-Wing.
    pub fn from_seeds(name: PartyName, signing_seed: &SecretKey, private_seed: SecretKey) -> Self {
        let signing_key = SigningKey::from_bytes(signing_seed.expose());
        let private_key = PrivateKey::from_seed(private_seed);
        let mut bytes = vec![FORMAT, name.as_str().len() as u8];
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(signing_key.verifying_key().as_bytes());
        bytes.extend_from_slice(private_key.public_key().as_bytes());
        let signature = signing_key.sign(&signed_part(&bytes));
        bytes.extend_from_slice(&signature.to_bytes());
        let card = Card::from_bytes(&bytes)
            // Made from a checked name and two fresh keys and signed just above.
            .unwrap_or_else(|error| unreachable!("own card: {error}"));
        Self {
            card,
            signing_key,
            private_key,
        }
    }

    /// The public half.
    pub const fn card(&self) -> &Card {
        &self.card
    }

    /// The key this party signs with.
    pub const fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }

    /// The key this party opens with.
    pub const fn private_key(&self) -> &PrivateKey {
        &self.private_key
    }

    /// The text of the identity file: `mc2secret1` and base64url of both seeds and the name.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(self.signing_key.to_bytes().to_vec());
        bytes.extend_from_slice(self.private_key.seed().expose());
        bytes.extend_from_slice(self.card.name.as_str().as_bytes());
        Zeroizing::new(format!(
            "{IDENTITY_PREFIX}{}",
            URL_SAFE_NO_PAD.encode(bytes.as_slice())
        ))
    }

    /// Reads [`to_text`](Self::to_text) back.
    ///
    /// # Errors
    /// [`IdentityError`], which never holds any part of the text.
    pub fn from_text(text: &str) -> Result<Self, IdentityError> {
        let body = text
            .trim()
            .strip_prefix(IDENTITY_PREFIX)
            .ok_or(IdentityError)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|_| IdentityError)?);
        let (signing, rest) = bytes.split_first_chunk::<32>().ok_or(IdentityError)?;
        let (private, name) = rest.split_first_chunk::<32>().ok_or(IdentityError)?;
        let name = std::str::from_utf8(name)
            .ok()
            .and_then(|name| name.parse().ok())
            .ok_or(IdentityError)?;
        Ok(Self::from_seeds(
            name,
            &SecretKey::filled(|seed| seed.copy_from_slice(signing)),
            SecretKey::filled(|seed| seed.copy_from_slice(private)),
        ))
    }
}

fn signed_part(card_without_signature: &[u8]) -> Vec<u8> {
    label::context(label::CARD, &[card_without_signature])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        Identity::generate("bank-a".parse().unwrap(), &mut rng)
    }

    #[test]
    fn a_card_and_an_identity_survive_their_text() {
        let identity = identity();
        let text = identity.card().to_string();
        assert_eq!(&text.parse::<Card>().unwrap(), identity.card());
        let again = Identity::from_text(&identity.to_text()).ok().unwrap();
        assert_eq!(again.card(), identity.card());
        assert_eq!(identity.card().fingerprint().len(), 49);
    }

    #[test]
    fn a_card_with_any_byte_altered_is_refused() {
        let bytes = identity().card().as_bytes().to_vec();
        for at in (0..bytes.len())
            .step_by(7)
            .chain(bytes.len() - 64..bytes.len())
        {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            assert!(Card::from_bytes(&broken).is_err(), "byte {at}");
        }
        assert!(Card::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(Card::from_bytes(&[]).is_err());
    }
}

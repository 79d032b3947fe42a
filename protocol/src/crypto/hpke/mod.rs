//! HPKE (RFC 9180) in base mode with one suite: X-Wing (KEM 0x647a: ML-KEM-768 with X25519),
//! HKDF-SHA256 and AES-256-GCM (protocol.md §3).

mod schedule;
mod xwing;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    crypto::{digest::Digest, secret::SecretKey},
    encoding::Base64,
};
use schedule::Context;
use xwing::{DecapsulationKey, EncapsulationKey, SharedKey};

/// Length in bytes of an X-Wing public key.
pub const PUBLIC_KEY_LEN: usize = 1216;
/// Length in bytes of an X-Wing encapsulated key.
pub const ENCAPSULATED_KEY_LEN: usize = 1120;

/// An X-Wing public key that has been parsed: sealing to it cannot fail for its shape.
#[derive(Clone)]
pub struct PublicKey {
    key: EncapsulationKey,
    bytes: Vec<u8>,
}

/// An X-Wing private key: a 32-byte seed and what it expands to.
///
/// ```
/// use mc2_protocol::crypto::hpke::PrivateKey;
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let key = PrivateKey::generate(&mut rng);
/// let info = b"what it is for";
/// let sealed = key.public_key().seal(info, b"a secret", &mut rng);
/// assert_eq!(key.open(info, &sealed)?.as_slice(), b"a secret");
/// assert!(key.open(b"another purpose", &sealed).is_err());
/// # Ok::<(), mc2_protocol::crypto::hpke::HpkeError>(())
/// ```
pub struct PrivateKey {
    key: Box<DecapsulationKey>,
    seed: SecretKey,
    recent: Recent,
}

/// The encapsulations that were opened last, by the SHA-256 of each, with what it stands for. A receipt
/// has several things under one.
type Recent = Mutex<VecDeque<(Digest, SharedKey)>>;

/// Most of these.
const RECENT: usize = 64;

/// What HPKE produces for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The encapsulated key, 1,120 bytes.
    pub encapsulated_key: Base64,
    /// AES-256-GCM ciphertext with its 16-byte tag.
    pub ciphertext: Base64,
}

/// One encapsulation to a public key, under which several things are sealed, each for a purpose of its
/// own: the purpose sets their keys and nonces apart.
pub struct Encapsulation {
    encapsulated_key: Vec<u8>,
    shared: SharedKey,
    /// For what something was sealed.
    purposes: BTreeSet<Vec<u8>>,
}

/// Why HPKE refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HpkeError {
    /// Bytes that are no X-Wing key or encapsulated key.
    #[error("not an X-Wing key: wrong length or not a valid encoding")]
    InvalidKey,
    /// The ciphertext was made for another key or another purpose, or was altered.
    #[error(
        "could not be opened: it was sealed to another key or for another purpose, or was altered"
    )]
    Open,
}

impl PublicKey {
    /// Parses 1,216 bytes.
    ///
    /// # Errors
    /// [`HpkeError::InvalidKey`] when they are no X-Wing public key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        let key = EncapsulationKey::parse(bytes).ok_or(HpkeError::InvalidKey)?;
        Ok(Self {
            key,
            bytes: bytes.to_vec(),
        })
    }

    /// The key's 1,216 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Seals `plaintext` to this key for the purpose `info`.
    pub fn seal(&self, info: &[u8], plaintext: &[u8], rng: &mut impl CryptoRng) -> Sealed {
        self.seal_with_answer_key(info, plaintext, b"", rng).0
    }

    /// An encapsulation to this key.
    pub fn encapsulate(&self, rng: &mut impl CryptoRng) -> Encapsulation {
        let (encapsulated_key, shared) = self.key.encapsulate(rng);
        Encapsulation {
            encapsulated_key,
            shared,
            purposes: BTreeSet::new(),
        }
    }

    /// Seals as [`seal`](Self::seal) does and exports the key for the answer (RFC 9180 §5.3).
    pub fn seal_with_answer_key(
        &self,
        info: &[u8],
        plaintext: &[u8],
        exporter_context: &[u8],
        rng: &mut impl CryptoRng,
    ) -> (Sealed, SecretKey) {
        let (encapsulated_key, shared) = self.key.encapsulate(rng);
        let context = Context::new(&*shared, info);
        let sealed = Sealed {
            encapsulated_key: encapsulated_key.into(),
            ciphertext: context.seal(plaintext).into(),
        };
        (sealed, context.export(exporter_context))
    }
}

impl Encapsulation {
    /// Seals `plaintext` for the purpose `info`; `None` where something was sealed for it before, whose
    /// key and nonce this would have again.
    pub fn seal(&mut self, info: &[u8], plaintext: &[u8]) -> Option<Sealed> {
        self.purposes.insert(info.to_vec()).then(|| Sealed {
            encapsulated_key: self.encapsulated_key.clone().into(),
            ciphertext: Context::new(&*self.shared, info).seal(plaintext).into(),
        })
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", crate::encoding::hex(&self.bytes[..8]))
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}

impl PrivateKey {
    /// Expands a 32-byte seed (draft-connolly-cfrg-xwing-kem, `expandDecapsulationKey`).
    pub fn from_seed(seed: SecretKey) -> Self {
        let key = Box::new(DecapsulationKey::expand(&seed));
        // Room for all from the start: what moves leaves a copy behind.
        let recent = Mutex::new(VecDeque::with_capacity(RECENT));
        Self { key, seed, recent }
    }

    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(SecretKey::generate(rng))
    }

    /// The seed, for writing an identity file.
    pub fn seed(&self) -> &SecretKey {
        &self.seed
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        let key = self.key.public().clone();
        let bytes = key.to_bytes();
        PublicKey { key, bytes }
    }

    /// Opens what was sealed to this key for the purpose `info`.
    ///
    /// # Errors
    /// [`HpkeError`] when the encapsulated key is malformed or authentication fails.
    pub fn open(&self, info: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
        let encapsulated_key = sealed.encapsulated_key.as_slice();
        let name = Digest::of(encapsulated_key);
        let known = self
            .recent()
            .iter()
            .find(|(of, _)| *of == name)
            .map(|(_, shared)| shared.clone());
        let shared = match known {
            Some(shared) => shared,
            None => {
                let shared = self.key.decapsulate(encapsulated_key);
                let shared = shared.ok_or(HpkeError::InvalidKey)?;
                let mut recent = self.recent();
                if recent.len() >= RECENT {
                    recent.pop_front();
                }
                recent.push_back((name, shared.clone()));
                shared
            }
        };
        Context::new(&*shared, info)
            .open(sealed.ciphertext.as_slice())
            .map_err(|_| HpkeError::Open)
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<(Digest, SharedKey)>> {
        // Every change under this lock is one call.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens as [`open`](Self::open) does and exports the key for the answer. Nothing is remembered.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_answer_key(
        &self,
        info: &[u8],
        sealed: &Sealed,
        exporter_context: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, SecretKey), HpkeError> {
        let shared = self.key.decapsulate(sealed.encapsulated_key.as_slice());
        let shared = shared.ok_or(HpkeError::InvalidKey)?;
        let context = Context::new(&*shared, info);
        let plaintext = context
            .open(sealed.ciphertext.as_slice())
            .map_err(|_| HpkeError::Open)?;
        Ok((plaintext, context.export(exporter_context)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::to_json;

    fn rng() -> rand_core::UnwrapErr<getrandom::SysRng> {
        rand_core::UnwrapErr(getrandom::SysRng)
    }

    #[test]
    fn what_was_sealed_opens_only_with_the_same_key_and_purpose() {
        let mut rng = rng();
        let key = PrivateKey::generate(&mut rng);
        let sealed = key.public_key().seal(b"purpose", b"secret", &mut rng);
        assert_eq!(sealed.encapsulated_key.0.len(), ENCAPSULATED_KEY_LEN);
        assert_eq!(key.public_key().as_bytes().len(), PUBLIC_KEY_LEN);
        assert_eq!(key.open(b"purpose", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(key.open(b"other", &sealed).unwrap_err(), HpkeError::Open);
        let other = PrivateKey::generate(&mut rng);
        assert_eq!(
            other.open(b"purpose", &sealed).unwrap_err(),
            HpkeError::Open
        );
    }

    #[test]
    fn under_one_encapsulation_each_purpose_is_sealed_for_once_and_opens_for_itself_alone() {
        let mut rng = rng();
        let key = PrivateKey::generate(&mut rng);
        let mut to = key.public_key().encapsulate(&mut rng);
        let one = to.seal(b"one", b"first").unwrap();
        let two = to.seal(b"two", b"second").unwrap();
        assert_eq!(to.seal(b"one", b"third"), None);
        assert_eq!(one.encapsulated_key, two.encapsulated_key);
        // In any order, and as often as one likes.
        for _ in 0..2 {
            assert_eq!(key.open(b"two", &two).unwrap().as_slice(), b"second");
            assert_eq!(key.open(b"one", &one).unwrap().as_slice(), b"first");
            assert_eq!(key.open(b"two", &one).unwrap_err(), HpkeError::Open);
        }
        let (opened, _) = key.open_with_answer_key(b"two", &two, b"").unwrap();
        assert_eq!(opened.as_slice(), b"second");
        let other = PrivateKey::generate(&mut rng);
        assert_eq!(other.open(b"one", &one).unwrap_err(), HpkeError::Open);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten_ones_open_still() {
        let mut rng = rng();
        let key = PrivateKey::generate(&mut rng);
        let sealed = |_| key.public_key().seal(b"p", b"data", &mut rng);
        let all: Vec<Sealed> = (0..RECENT + 10).map(sealed).collect();
        for sealed in all.iter().chain(&all) {
            assert_eq!(key.open(b"p", sealed).unwrap().as_slice(), b"data");
            assert!(key.recent().len() <= RECENT);
        }
    }

    #[test]
    fn every_flipped_bit_of_the_ciphertext_is_refused() {
        let mut rng = rng();
        let key = PrivateKey::generate(&mut rng);
        let sealed = key.public_key().seal(b"p", b"data", &mut rng);
        for bit in 0..sealed.ciphertext.0.len() * 8 {
            let mut broken = sealed.clone();
            broken.ciphertext.0[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(b"p", &broken).is_err(), "bit {bit}");
        }
        assert!(!to_json(&sealed).is_empty());
    }

    /// The crate `hpke` is another implementation of the same suite.
    #[test]
    fn another_implementation_opens_what_is_sealed_here_and_the_other_way_round() {
        use ::hpke::{
            Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _, aead::AesGcm256,
            kdf::HkdfSha256, kem::XWing, setup_receiver, setup_sender_with_rng,
        };
        let mut rng = rng();
        let key = PrivateKey::generate(&mut rng);
        let theirs = <XWing as Kem>::PrivateKey::from_bytes(key.seed().expose()).unwrap();
        let public = XWing::sk_to_pk(&theirs);
        assert_eq!(public.to_bytes().as_slice(), key.public_key().as_bytes());
        for length in [0, 1, 31, 1000] {
            let plaintext = vec![7; length];
            let mut exported = [0; 32];

            let ours = key.public_key();
            let (sealed, answer) =
                ours.seal_with_answer_key(b"info", &plaintext, b"answer", &mut rng);
            let encapsulated =
                <XWing as Kem>::EncappedKey::from_bytes(&sealed.encapsulated_key.0).unwrap();
            let mut context = setup_receiver::<AesGcm256, HkdfSha256, XWing>(
                &OpModeR::Base,
                &theirs,
                &encapsulated,
                b"info",
            )
            .unwrap();
            assert_eq!(context.open(&sealed.ciphertext.0, b"").unwrap(), plaintext);
            context.export(b"answer", &mut exported).unwrap();
            assert_eq!(&exported, answer.expose());

            let (encapsulated, mut context) =
                setup_sender_with_rng::<AesGcm256, HkdfSha256, XWing>(
                    &OpModeS::Base,
                    &public,
                    b"info",
                    &mut rng,
                )
                .unwrap();
            let sealed = Sealed {
                encapsulated_key: encapsulated.to_bytes().to_vec().into(),
                ciphertext: context.seal(&plaintext, b"").unwrap().into(),
            };
            let (opened, answer) = key
                .open_with_answer_key(b"info", &sealed, b"answer")
                .unwrap();
            assert_eq!(opened.as_slice(), plaintext);
            context.export(b"answer", &mut exported).unwrap();
            assert_eq!(&exported, answer.expose());
        }
    }
}

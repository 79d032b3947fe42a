//! The KEM X-Wing (draft-connolly-cfrg-xwing-kem): ML-KEM-768 beside X25519, combined by SHA3-256.
//!
//! Over the crates of both, and not by the one that combines them: that keeps a private key as its
//! seed, and so makes an ML-KEM key anew for each ciphertext that is opened, which costs as much as
//! opening it does. Here it stays expanded.

use ml_kem::{Decapsulate as _, KeyExport as _, Seed, ml_kem_768};
use rand_core::CryptoRng;
use sha3::{Digest as _, Sha3_256};
use shake::{ExtendableOutput as _, Shake256, Update as _, XofReader as _};
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

use super::{ENCAPSULATED_KEY_LEN, PUBLIC_KEY_LEN};
use crate::SecretKey;

/// Bytes of an ML-KEM-768 encapsulation key.
const ML_KEM_KEY_LEN: usize = PUBLIC_KEY_LEN - 32;
/// Bytes of an ML-KEM-768 ciphertext.
const ML_KEM_CIPHERTEXT_LEN: usize = ENCAPSULATED_KEY_LEN - 32;
/// `XWingLabel` (§5.3).
const LABEL: &[u8; 6] = br"\.//^\";

/// What both ends have of one encapsulation.
pub(super) type SharedKey = Zeroizing<[u8; 32]>;

/// The public half.
#[derive(Clone)]
pub(super) struct EncapsulationKey {
    ml_kem: ml_kem_768::EncapsulationKey,
    x25519: PublicKey,
}

/// A private key, expanded.
pub(super) struct DecapsulationKey {
    ml_kem: ml_kem_768::DecapsulationKey,
    x25519: StaticSecret,
    public: EncapsulationKey,
}

impl EncapsulationKey {
    /// Reads a key; `None` where it is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (ml_kem, x25519) = bytes.split_at_checked(ML_KEM_KEY_LEN)?;
        let x25519: [u8; 32] = x25519.try_into().ok()?;
        let ml_kem = ml_kem_768::EncapsulationKey::new(ml_kem.try_into().ok()?).ok()?;
        Some(Self {
            ml_kem,
            x25519: x25519.into(),
        })
    }

    /// Its 1,216 bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.ml_kem.to_bytes().to_vec();
        bytes.extend_from_slice(self.x25519.as_bytes());
        bytes
    }

    /// `Encapsulate` (§5.4): a ciphertext, and what it stands for.
    pub(super) fn encapsulate(&self, rng: &mut impl CryptoRng) -> (Vec<u8>, SharedKey) {
        let mut drawn = Zeroizing::new([[0; 32]; 2]);
        rng.fill_bytes(drawn.as_flattened_mut());
        let [for_ml_kem, for_x25519] = &*drawn;
        let (ciphertext, of_ml_kem) = self.ml_kem.encapsulate_deterministic(for_ml_kem.into());
        let of_ml_kem = Zeroizing::new(of_ml_kem);
        let ephemeral = StaticSecret::from(*for_x25519);
        let public = PublicKey::from(&ephemeral);
        let of_x25519 = ephemeral.diffie_hellman(&self.x25519);
        let shared = combine(&of_ml_kem, &of_x25519, &public, &self.x25519);
        let mut ciphertext = ciphertext.to_vec();
        ciphertext.extend_from_slice(public.as_bytes());
        (ciphertext, shared)
    }
}

impl DecapsulationKey {
    /// `expandDecapsulationKey` (§5.2).
    pub(super) fn expand(seed: &SecretKey) -> Self {
        let mut hash = Shake256::default();
        hash.update(seed.expose());
        let mut stream = hash.finalize_xof();
        let mut for_ml_kem = Zeroizing::new(Seed::default());
        stream.read(for_ml_kem.as_mut_slice());
        let mut for_x25519 = Zeroizing::new([0; 32]);
        stream.read(for_x25519.as_mut_slice());
        let ml_kem = ml_kem_768::DecapsulationKey::from_seed(*for_ml_kem);
        let x25519 = StaticSecret::from(*for_x25519);
        let public = EncapsulationKey {
            ml_kem: ml_kem.encapsulation_key().clone(),
            x25519: PublicKey::from(&x25519),
        };
        Self {
            ml_kem,
            x25519,
            public,
        }
    }

    /// The public half.
    pub(super) const fn public(&self) -> &EncapsulationKey {
        &self.public
    }

    /// `Decapsulate` (§5.5): what a ciphertext stands for; `None` where it has another length. One that
    /// was made for another key, or altered, stands for something that nobody else has.
    pub(super) fn decapsulate(&self, ciphertext: &[u8]) -> Option<SharedKey> {
        let (of_ml_kem, public) = ciphertext.split_at_checked(ML_KEM_CIPHERTEXT_LEN)?;
        let public: [u8; 32] = public.try_into().ok()?;
        let public = PublicKey::from(public);
        let of_ml_kem = Zeroizing::new(self.ml_kem.decapsulate(of_ml_kem.try_into().ok()?));
        let of_x25519 = self.x25519.diffie_hellman(&public);
        let shared = combine(&of_ml_kem, &of_x25519, &public, &self.public.x25519);
        Some(shared)
    }
}

/// `Combiner` (§5.3).
fn combine(
    of_ml_kem: &[u8],
    of_x25519: &SharedSecret,
    ciphertext: &PublicKey,
    public: &PublicKey,
) -> SharedKey {
    let mut hash = Sha3_256::new();
    for part in [
        of_ml_kem,
        of_x25519.as_bytes(),
        ciphertext.as_bytes(),
        public.as_bytes(),
        LABEL,
    ] {
        sha3::Digest::update(&mut hash, part);
    }
    Zeroizing::new(hash.finalize().into())
}

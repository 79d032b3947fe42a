//! The cipher of keepers that hold the key themselves: nonce (12, random) ‖ AES-256-GCM ciphertext
//! ‖ tag, the purpose as associated data.

use mc2_protocol::{
    SecretKey,
    crypto::{
        aead::{Aes256Gcm, NONCE_LEN},
        label,
    },
};
use rand_core::Rng as _;
use zeroize::Zeroizing;

use super::{error::KeyError, wrapped::MAX_SECRET};

pub(super) fn fresh_nonce() -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    crate::random().fill_bytes(&mut nonce);
    nonce
}

/// What a secret's purpose authenticates.
pub(super) fn associated_data(purpose: &[u8]) -> Vec<u8> {
    label::context(label::KEPT_SECRET, &[purpose])
}

/// Refuses what is larger than any secret.
pub(super) fn measured(secret: &[u8]) -> Result<(), KeyError> {
    if secret.len() > MAX_SECRET {
        return Err(KeyError::TooLong {
            most: MAX_SECRET,
            found: secret.len(),
        });
    }
    Ok(())
}

pub(super) fn seal(key: &SecretKey, purpose: &[u8], secret: &[u8]) -> Result<Vec<u8>, KeyError> {
    measured(secret)?;
    let nonce = fresh_nonce();
    let mut sealed = nonce.to_vec();
    sealed.extend_from_slice(secret);
    let tag = Aes256Gcm::new(key).seal(nonce, &associated_data(purpose), &mut sealed[NONCE_LEN..]);
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// The secret, if the key, the purpose and the bytes belong together.
pub(super) fn open(key: &SecretKey, purpose: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let data = associated_data(purpose);
    let secret = Aes256Gcm::new(key).open(*nonce, &data, sealed);
    secret.ok().map(Zeroizing::new)
}

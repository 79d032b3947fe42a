//! Compiled code kept outside the enclave, sealed.
//!
//! Compiling costs up to a minute and a half, so its result may lie with the
//! host: encrypted and authenticated under a key the host never has, bound to the
//! component's digest, the engine's version and the engine's configuration.
//! Whatever is wrong with an entry, the answer is the same: it is not there, and
//! the component is compiled again.
//!
//! An entry is `magic ‖ salt ‖ ciphertext ‖ tag`: AES-256-GCM under
//! HKDF-SHA256(key, salt, identity), a key of this entry's own, with twelve zero
//! bytes as the nonce and the identity as associated data, under its label
//! ([`COMPILATION_CACHE`](label::COMPILATION_CACHE)).

use async_trait::async_trait;
use mc2_protocol::{
    Digest, SecretKey,
    crypto::{
        aead::{Aes256Gcm, NONCE_LEN, TAG_LEN},
        label,
    },
};
use mc2_sandbox::{CodeCache, CodeName};

use crate::random;

const MAGIC: &[u8; 8] = b"mc2code2";
const SALT: usize = 32;
const HEADER: usize = MAGIC.len() + SALT;
/// Every entry has a key of its own.
const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];

/// Where sealed entries are kept. It is trusted for nothing.
#[async_trait]
pub trait Entries: Send + Sync {
    /// The entry of this name, where it is there.
    async fn get(&self, name: &Digest) -> Option<Vec<u8>>;

    /// Keeps an entry under this name; a failure costs a compilation.
    async fn put(&self, name: &Digest, entry: Vec<u8>);
}

/// Code sealed in [`Entries`].
pub struct SealedCache<E> {
    key: SecretKey,
    entries: E,
}

impl<E: Entries> SealedCache<E> {
    /// A cache under a key that nobody has but this program and those as trusted.
    pub const fn new(key: SecretKey, entries: E) -> Self {
        Self { key, entries }
    }
}

// SAFETY: an entry opens only under the cache's key, for the name it was sealed for. Whoever makes
// the cache gives it a key that only this program has, or ones as trusted.
#[allow(unsafe_code)]
#[async_trait]
unsafe impl<E: Entries> CodeCache for SealedCache<E> {
    async fn get(&self, name: &CodeName) -> Option<Vec<u8>> {
        let entry = self.entries.get(&Digest::of(name.as_bytes())).await?;
        let (key, name) = (self.key.clone(), name.clone());
        tokio::task::spawn_blocking(move || unseal(&key, name.as_bytes(), entry))
            .await
            .ok()
            .flatten()
    }

    async fn put(&self, name: &CodeName, code: Vec<u8>) {
        let (key, identity) = (self.key.clone(), name.clone());
        let seal = move || seal(&key, identity.as_bytes(), &code);
        if let Ok(entry) = tokio::task::spawn_blocking(seal).await {
            self.entries.put(&Digest::of(name.as_bytes()), entry).await;
        }
    }
}

fn seal(key: &SecretKey, identity: &[u8], code: &[u8]) -> Vec<u8> {
    let identity = &label::context(label::COMPILATION_CACHE, &[identity]);
    let salt = random::bytes::<SALT>();
    let key = Aes256Gcm::new(&key.derive(&salt, identity));
    let mut entry = Vec::with_capacity(HEADER + code.len() + TAG_LEN);
    entry.extend_from_slice(MAGIC);
    entry.extend_from_slice(&salt);
    entry.extend_from_slice(code);
    let tag = key.seal(NONCE, identity, &mut entry[HEADER..]);
    entry.extend_from_slice(&tag);
    entry
}

/// Opens an entry in its own buffer: fresh memory costs more than the decryption.
fn unseal(key: &SecretKey, identity: &[u8], mut entry: Vec<u8>) -> Option<Vec<u8>> {
    let identity = &label::context(label::COMPILATION_CACHE, &[identity]);
    let header = entry.get(..HEADER)?;
    let salt = header.strip_prefix(MAGIC)?;
    let key = Aes256Gcm::new(&key.derive(salt, identity));
    let length = key.open_within(NONCE, identity, &mut entry, HEADER).ok()?;
    entry.truncate(length);
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes([byte; 32])
    }

    fn code(len: usize) -> Vec<u8> {
        (0..len).map(|index| (index * 31 % 251) as u8).collect()
    }

    #[test]
    fn code_of_any_length_comes_back() {
        for len in [0, 1, 15, 16, 17, 1 << 20] {
            let sealed = seal(&key(7), b"id", &code(len));
            assert_eq!(unseal(&key(7), b"id", sealed), Some(code(len)), "{len}");
        }
    }

    #[test]
    fn another_key_component_version_or_configuration_is_no_entry() {
        let sealed = seal(&key(7), b"id", &code(100));
        assert_eq!(unseal(&key(8), b"id", sealed.clone()), None);
        assert_eq!(unseal(&key(7), b"ie", sealed), None);
    }

    #[test]
    fn any_flipped_byte_or_truncation_is_no_entry() {
        let sealed = seal(&key(7), b"id", &code(5000));
        let places = [0, 8, 39, 40, 1000, 5039, 5040, sealed.len() - 1];
        for place in places {
            let mut flipped = sealed.clone();
            flipped[place] ^= 1;
            assert_eq!(unseal(&key(7), b"id", flipped), None, "byte {place}");
        }
        for len in [0, 7, HEADER, HEADER + 5, HEADER + TAG_LEN, sealed.len() - 1] {
            assert_eq!(
                unseal(&key(7), b"id", sealed[..len].to_vec()),
                None,
                "cut to {len}"
            );
        }
        let mut longer = sealed.clone();
        longer.push(0);
        assert_eq!(unseal(&key(7), b"id", longer), None);
    }

    #[test]
    fn two_entries_of_the_same_code_have_nothing_in_common() {
        let (a, b) = (
            seal(&key(7), b"id", &code(64)),
            seal(&key(7), b"id", &code(64)),
        );
        assert_ne!(a[HEADER..], b[HEADER..]);
    }
}

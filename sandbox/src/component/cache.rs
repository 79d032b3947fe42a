//! Compiled code kept outside the enclave, sealed.
//!
//! Compiling costs up to a minute and a half, so its result may lie with the
//! host: encrypted and authenticated under a key the host never has, bound to the
//! component's digest, the engine's version and the engine's configuration.
//! Whatever is wrong with an entry, the answer is the same: it is not there, and
//! the component is compiled again.
//!
//! An entry is `magic ‖ salt ‖ segments`: AES-256-GCM under
//! HKDF-SHA256(key, salt, identity), segments of 1 MiB, the nonce holding the
//! segment's number and whether it is the last, the identity as associated data.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use hkdf::Hkdf;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::engine::Engine;
use crate::limits::Caps;

const MAGIC: &[u8; 8] = b"mc2code1";
const SALT: usize = 32;
const HEADER: usize = MAGIC.len() + SALT;
const TAG: usize = 16;
const SEGMENT: usize = 1 << 20;
const LABEL: &[u8] = b"mc2/v1/compilation-cache";

/// A place outside the enclave for opaque entries. It may lose, alter or swap
/// them: that costs time and nothing else.
#[async_trait]
pub trait CompilationCache: Send + Sync {
    /// The entry of this name, if there is one of at most `max_bytes`.
    async fn get(&self, name: &str, max_bytes: u64) -> Option<Bytes>;

    /// Keeps an entry under this name. A failure is the implementation's to report.
    async fn put(&self, name: &str, entry: Bytes);
}

/// A [`CompilationCache`] that trusts it for nothing.
pub struct SealedCache {
    key: Zeroizing<[u8; 32]>,
    store: Arc<dyn CompilationCache>,
}

impl SealedCache {
    /// Seals under `key`, which must never leave the enclave.
    pub fn new(key: Zeroizing<[u8; 32]>, store: Arc<dyn CompilationCache>) -> Self {
        Self { key, store }
    }

    /// The code kept for a component, if it is there and whole and ours.
    pub(super) async fn get(&self, engine: &Engine, component: &[u8; 32]) -> Option<Vec<u8>> {
        let identity = identity(engine, component);
        let max = Caps::DEFAULT.component_bytes * 16;
        let entry = self.store.get(&name(&identity), max).await?;
        let key = self.key.clone();
        tokio::task::spawn_blocking(move || unseal(&key, &identity, entry.into()))
            .await
            .ok()
            .flatten()
    }

    /// Seals and keeps the code of a component.
    pub(super) async fn put(&self, engine: &Engine, component: &[u8; 32], code: Vec<u8>) {
        let identity = identity(engine, component);
        let name = name(&identity);
        let key = self.key.clone();
        let sealed = tokio::task::spawn_blocking(move || seal(&key, &identity, &code)).await;
        if let Ok(Some(entry)) = sealed {
            self.store.put(&name, entry.into()).await;
        }
    }
}

/// What an entry is authenticated as: every part has a fixed length or its length
/// before it.
fn identity(engine: &Engine, component: &[u8; 32]) -> Vec<u8> {
    let version = Engine::version().as_bytes();
    let mut identity = Vec::with_capacity(LABEL.len() + 66 + version.len());
    identity.extend_from_slice(LABEL);
    identity.extend_from_slice(component);
    identity.extend_from_slice(&engine.config_digest());
    identity.push(version.len() as u8);
    identity.extend_from_slice(version);
    identity
}

/// The name the host sees: a digest, so that it says nothing and fits any store.
fn name(identity: &[u8]) -> String {
    hex::encode(Sha256::digest(identity))
}

fn entry_key(key: &[u8; 32], salt: &[u8], identity: &[u8]) -> Option<LessSafeKey> {
    let mut okm = Zeroizing::new([0u8; 32]);
    Hkdf::<Sha256>::new(Some(salt), key)
        .expand(identity, okm.as_mut())
        .ok()?;
    Some(LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, okm.as_ref()).ok()?,
    ))
}

fn nonce(segment: u64, last: bool) -> Nonce {
    let mut bytes = [0u8; 12];
    bytes[3] = u8::from(last);
    bytes[4..].copy_from_slice(&segment.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn seal(key: &[u8; 32], identity: &[u8], code: &[u8]) -> Option<Vec<u8>> {
    let mut salt = [0u8; SALT];
    getrandom::fill(&mut salt).ok()?;
    let key = entry_key(key, &salt, identity)?;
    let segments = code.len().div_ceil(SEGMENT).max(1);
    let mut entry = Vec::with_capacity(HEADER + code.len() + segments * TAG);
    entry.extend_from_slice(MAGIC);
    entry.extend_from_slice(&salt);
    for segment in 0..segments {
        let from = segment * SEGMENT;
        let to = code.len().min(from + SEGMENT);
        let start = entry.len();
        entry.extend_from_slice(&code[from..to]);
        let nonce = nonce(segment as u64, segment + 1 == segments);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(identity), &mut entry[start..])
            .ok()?;
        entry.extend_from_slice(tag.as_ref());
    }
    Some(entry)
}

/// Opens an entry in its own buffer: fresh memory costs more than the decryption.
fn unseal(key: &[u8; 32], identity: &[u8], mut entry: Vec<u8>) -> Option<Vec<u8>> {
    let header = entry.get(..HEADER)?;
    if header[..MAGIC.len()] != *MAGIC {
        return None;
    }
    let key = entry_key(key, &header[MAGIC.len()..], identity)?;
    let mut from = HEADER;
    let mut plain = 0;
    for segment in 0.. {
        let to = entry.len().min(from + SEGMENT + TAG);
        let nonce = nonce(segment, to == entry.len());
        let opened = key
            .open_within(
                nonce,
                Aad::from(identity),
                &mut entry[plain..to],
                from - plain..,
            )
            .ok()?;
        plain += opened.len();
        from = to;
        if to == entry.len() {
            break;
        }
    }
    entry.truncate(plain);
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn code(len: usize) -> Vec<u8> {
        (0..len).map(|index| (index * 31 % 251) as u8).collect()
    }

    #[test]
    fn code_of_any_length_comes_back() {
        for len in [
            0,
            1,
            SEGMENT - 1,
            SEGMENT,
            SEGMENT + 1,
            3 * SEGMENT,
            3 * SEGMENT + 77,
        ] {
            let sealed = seal(&KEY, b"id", &code(len)).unwrap();
            assert_eq!(unseal(&KEY, b"id", sealed), Some(code(len)), "{len}");
        }
    }

    #[test]
    fn another_key_component_version_or_configuration_is_no_entry() {
        let sealed = seal(&KEY, b"id", &code(100)).unwrap();
        assert_eq!(unseal(&[8; 32], b"id", sealed.clone()), None);
        assert_eq!(unseal(&KEY, b"ie", sealed), None);
    }

    #[test]
    fn any_flipped_byte_or_truncation_is_no_entry() {
        let sealed = seal(&KEY, b"id", &code(SEGMENT + 50)).unwrap();
        let places = [
            0,
            8,
            39,
            40,
            1000,
            HEADER + SEGMENT,
            HEADER + SEGMENT + TAG,
            sealed.len() - 1,
        ];
        for place in places {
            let mut flipped = sealed.clone();
            flipped[place] ^= 1;
            assert_eq!(unseal(&KEY, b"id", flipped), None, "byte {place}");
        }
        for len in [
            0,
            7,
            HEADER,
            HEADER + 5,
            HEADER + SEGMENT + TAG,
            sealed.len() - 1,
        ] {
            assert_eq!(
                unseal(&KEY, b"id", sealed[..len].to_vec()),
                None,
                "cut to {len}"
            );
        }
        let mut longer = sealed.clone();
        longer.push(0);
        assert_eq!(unseal(&KEY, b"id", longer), None);
    }

    #[test]
    fn segments_cannot_be_swapped() {
        let sealed = seal(&KEY, b"id", &code(3 * SEGMENT)).unwrap();
        let mut swapped = sealed.clone();
        let (a, b) = (HEADER, HEADER + SEGMENT + TAG);
        swapped[a..b].copy_from_slice(&sealed[b..b + SEGMENT + TAG]);
        swapped[b..b + SEGMENT + TAG].copy_from_slice(&sealed[a..b]);
        assert_eq!(unseal(&KEY, b"id", swapped), None);
    }

    #[test]
    fn two_entries_of_the_same_code_have_nothing_in_common() {
        let (a, b) = (
            seal(&KEY, b"id", &code(64)).unwrap(),
            seal(&KEY, b"id", &code(64)).unwrap(),
        );
        assert_ne!(a[HEADER..], b[HEADER..]);
    }
}

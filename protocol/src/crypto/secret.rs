//! Keys: a type that cannot be printed and is wiped when dropped.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hkdf::Hkdf;
use rand_core::CryptoRng;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};
use sha2::Sha256;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

/// Length in bytes of a key.
const LEN: usize = 32;
/// Characters of a key in base64.
const TEXT_LEN: usize = 44;
/// What the decoder wants room for, which is a little more than a key.
const ROOM: usize = 33;

/// A 256-bit symmetric key. It has no `Debug`, compares in no way, and is wiped on drop.
///
/// It lies in a place of its own, so that moving it, or growing a table of keys, copies a pointer
/// and leaves no key behind.
#[derive(Clone)]
pub struct SecretKey(Box<[u8; LEN]>);

impl SecretKey {
    /// A key made of 32 bytes the caller got elsewhere, and whose copy the caller wipes.
    pub fn from_bytes(bytes: [u8; LEN]) -> Self {
        Self(Box::new(bytes))
    }

    /// A key from bytes of unchecked length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == LEN).then(|| Self::filled(|key| key.copy_from_slice(bytes)))
    }

    /// A key whose bytes `fill` writes where they will stay.
    pub fn filled(fill: impl FnOnce(&mut [u8; LEN])) -> Self {
        let mut key = Self(Box::new([0; LEN]));
        fill(&mut key.0);
        key
    }

    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::filled(|key| rng.fill_bytes(key))
    }

    /// HKDF-SHA256 (RFC 5869) of this key under `salt`, 32 bytes for the purpose `info`.
    pub fn derive(&self, salt: &[u8], info: &[u8]) -> Self {
        Self::filled(|derived| {
            Hkdf::<Sha256>::new(Some(salt), self.expose())
                .expand(info, derived)
                // 32 bytes is within HKDF's 255 × 32.
                .unwrap_or_else(|error| unreachable!("HKDF of 32 bytes: {error}"));
        })
    }

    /// The key's bytes, for the one call that needs them.
    pub const fn expose(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for SecretKey {}

impl Serialize for SecretKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_base64(self.0.as_slice(), serializer)
    }
}

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// Takes text where it lies. Text with escapes would first be copied to where nobody wipes it, and
/// base64 needs none.
struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = SecretKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key: 32 bytes in standard padded base64, without escapes")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<SecretKey, E> {
        // The reason is not quoted: it would be about the key.
        let refused = || E::custom("a key is exactly 32 bytes in standard padded base64");
        if text.len() != TEXT_LEN {
            return Err(refused());
        }
        let mut room = Zeroizing::new([0; ROOM]);
        let length = STANDARD
            .decode_slice(text, room.as_mut_slice())
            .map_err(|_| refused())?;
        SecretKey::from_slice(&room[..length]).ok_or_else(refused)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<SecretKey, E> {
        Err(E::custom("a key is written in base64 without escapes"))
    }
}

/// Bytes of any length that are wiped, written as base64.
#[derive(Clone)]
pub(crate) struct SecretBytes(pub(crate) Zeroizing<Vec<u8>>);

impl Serialize for SecretBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_base64(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As for a key: text where it lies, and no word about it.
        let text = <&str>::deserialize(deserializer)?;
        let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
        let length = STANDARD
            .decode_slice(text, bytes.as_mut_slice())
            .map_err(|_| D::Error::custom("not standard padded base64"))?;
        bytes.truncate(length);
        Ok(Self(bytes))
    }
}

/// Writes secret bytes as base64 text that is wiped afterwards.
pub(crate) fn serialize_base64<S: Serializer>(
    bytes: &[u8],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut text = Zeroizing::new(vec![0; bytes.len().div_ceil(3) * 4]);
    STANDARD
        .encode_slice(bytes, &mut text)
        // The room is base64's length with padding.
        .unwrap_or_else(|error| unreachable!("room for base64: {error}"));
    let text = std::str::from_utf8(&text)
        // base64 is ASCII.
        .unwrap_or_else(|error| unreachable!("base64 text: {error}"));
    serializer.serialize_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{secret_json, to_json};

    #[test]
    fn a_key_is_read_as_it_is_written_and_in_no_other_spelling() {
        let key = SecretKey::from_bytes([0xff; 32]);
        let text = String::from_utf8(to_json(&key)).unwrap();
        assert_eq!(secret_json(&key).as_slice(), text.as_bytes());
        let read: SecretKey = serde_json::from_str(&text).unwrap();
        assert_eq!(read.expose(), key.expose());
        for broken in [
            text.replacen('/', "\\/", 1),
            text.replace('=', ""),
            text.replace('/', "_"),
            text.replacen('/', "", 1),
            text.replace("8=", "9="),
            "\"\"".to_owned(),
            "7".to_owned(),
        ] {
            let error = serde_json::from_str::<SecretKey>(&broken).err().unwrap();
            assert!(!error.to_string().contains("//"), "{error}");
        }
    }
}

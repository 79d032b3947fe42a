//! A simulator's public key. NOT SECURE.

use std::{fmt, str::FromStr};

use ed25519_dalek::VerifyingKey;
use mc2_protocol::encoding::hex_array;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A simulator's public key, as the client that started it pins it: 32 bytes, written as
/// lower-case hexadecimal digits.
///
/// ```
/// use mc2_attestation::{SimKey, TrustStore};
///
/// let mut trust = TrustStore::new();
/// let key: SimKey = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".parse()?;
/// trust.pin_simulator(key);
/// assert_eq!(trust.simulators(), [key]);
/// # Ok::<(), mc2_attestation::tee::SimKeyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimKey(VerifyingKey);

impl SimKey {
    /// The key of 32 bytes.
    ///
    /// # Errors
    /// [`SimKeyError`] when they are no Ed25519 key, or one of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SimKeyError> {
        VerifyingKey::from_bytes(bytes)
            .ok()
            .filter(|key| !key.is_weak())
            .map(Self)
            .ok_or(SimKeyError)
    }

    pub(super) const fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }

    /// The key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl From<VerifyingKey> for SimKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

impl FromStr for SimKey {
    type Err = SimKeyError;

    fn from_str(text: &str) -> Result<Self, SimKeyError> {
        Self::from_bytes(&hex_array(text.trim()).ok_or(SimKeyError)?)
    }
}

impl fmt::Display for SimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl Serialize for SimKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SimKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// Text or bytes that are no simulator's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a simulator's key: expected 64 lower-case hexadecimal digits of an Ed25519 key")]
pub struct SimKeyError;

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    #[test]
    fn a_simulator_key_survives_its_text() {
        let sim: SimKey = SigningKey::from_bytes(&[1; 32]).verifying_key().into();
        assert_eq!(sim.to_string().parse(), Ok(sim));
        assert!("".parse::<SimKey>().is_err());
        assert!("00".repeat(32).parse::<SimKey>().is_err(), "small order");
    }
}

//! A key made of a passphrase, and the parameters that make it.

use argon2::{Algorithm, Argon2, Params, Version};
use mc2_protocol::{SecretKey, encoding::Hex};
use rand_core::Rng as _;
use serde::{Deserialize, Serialize};

use super::error::KeyError;

/// RFC 9106's second recommendation, for where 2 GiB cannot be had.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// What a file may ask for.
pub(super) const LEAST_MEMORY_KIB: u32 = 8 * 1024;
pub(super) const MOST_MEMORY_KIB: u32 = 1024 * 1024;
pub(super) const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;

/// How a key is made of a passphrase: Argon2id, version 0x13, 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argon2id {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// Random, so that no two files share a key.
    pub salt: Hex<16>,
}

impl Argon2id {
    /// What is written, with a fresh salt.
    pub(super) fn fresh() -> Self {
        let mut salt = [0; 16];
        crate::random().fill_bytes(&mut salt);
        Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: Hex(salt),
        }
    }

    /// The key.
    pub(super) fn derive(&self, passphrase: &[u8]) -> Result<SecretKey, KeyError> {
        let Self {
            memory_kib,
            passes,
            lanes,
            ..
        } = *self;
        let accepted = (LEAST_MEMORY_KIB..=MOST_MEMORY_KIB).contains(&memory_kib)
            && (1..=MOST_PASSES).contains(&passes)
            && (1..=MOST_LANES).contains(&lanes);
        if !accepted {
            return Err(KeyError::Parameters {
                memory_kib,
                passes,
                lanes,
            });
        }
        let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(KeyError::Argon2)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut made = Ok(());
        let key = SecretKey::filled(|key| {
            made = argon2.hash_password_into(passphrase, &self.salt.0, key);
        });
        made.map_err(KeyError::Argon2)?;
        Ok(key)
    }
}

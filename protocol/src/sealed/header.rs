//! What a sealed file begins with, and the associated data it is sealed with.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use super::{HEADER_LEN, SealedError};
use crate::{SecretKey, crypto::label, encoding::Hex, name::Name};

const SALT_LEN: usize = 32;
pub(super) const NONCE_PREFIX_LEN: usize = 7;

/// The random start of a sealed file: `0x28 ‖ salt (32) ‖ nonce prefix (7)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Hex<HEADER_LEN>", into = "Hex<HEADER_LEN>")]
pub struct Header {
    pub(super) salt: [u8; SALT_LEN],
    pub(super) nonce_prefix: [u8; NONCE_PREFIX_LEN],
}

impl Header {
    /// A fresh header.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut header = Self {
            salt: [0; SALT_LEN],
            nonce_prefix: [0; NONCE_PREFIX_LEN],
        };
        rng.fill_bytes(&mut header.salt);
        rng.fill_bytes(&mut header.nonce_prefix);
        header
    }

    /// Parses the first 40 bytes of a sealed file.
    ///
    /// # Errors
    /// [`SealedError::Header`].
    pub fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Result<Self, SealedError> {
        if usize::from(bytes[0]) != HEADER_LEN {
            return Err(SealedError::Header);
        }
        let mut header = Self {
            salt: [0; SALT_LEN],
            nonce_prefix: [0; NONCE_PREFIX_LEN],
        };
        header.salt.copy_from_slice(&bytes[1..=SALT_LEN]);
        header.nonce_prefix.copy_from_slice(&bytes[1 + SALT_LEN..]);
        Ok(header)
    }

    /// The 40 bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        // HEADER_LEN is 40 and fits a byte.
        bytes[0] = HEADER_LEN as u8;
        bytes[1..=SALT_LEN].copy_from_slice(&self.salt);
        bytes[1 + SALT_LEN..].copy_from_slice(&self.nonce_prefix);
        bytes
    }

    /// HKDF-SHA256 of the data key under this header's salt: what binds file and key together.
    pub fn commitment(&self, key: &SecretKey) -> [u8; 32] {
        *key.derive(&self.salt, label::KEY_COMMITMENT.as_bytes())
            .expose()
    }
}

impl TryFrom<Hex<HEADER_LEN>> for Header {
    type Error = SealedError;

    fn try_from(bytes: Hex<HEADER_LEN>) -> Result<Self, SealedError> {
        Self::from_bytes(&bytes.0)
    }
}

impl From<Header> for Hex<HEADER_LEN> {
    fn from(header: Header) -> Self {
        Hex(header.to_bytes())
    }
}

/// The associated data of every file of the dataset called `dataset`.
pub fn associated_data(dataset: &Name) -> Vec<u8> {
    label::context(label::ASSOCIATED_DATA, &[dataset.as_str().as_bytes()])
}

/// The associated data of the table of paths of the folder called `dataset`.
pub fn path_table_associated_data(dataset: &Name) -> Vec<u8> {
    label::context(label::PATH_TABLE, &[dataset.as_str().as_bytes()])
}

/// The associated data of the folder called `dataset` where it is packed into one stream.
pub fn packed_folder_associated_data(dataset: &Name) -> Vec<u8> {
    label::context(label::PACKED_FOLDER, &[dataset.as_str().as_bytes()])
}

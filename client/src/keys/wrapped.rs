//! What a wrapped secret's file holds.

use mc2_protocol::encoding::{Base64, Hex, JsonError, parse_json, to_json};
use serde::{Deserialize, Serialize};

use super::argon2id::Argon2id;

/// The most bytes a secret may have.
pub const MAX_SECRET: usize = 4096;

const MAX_LEN: usize = 16 * 1024;

/// A secret that is wrapped, and under what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrapped {
    version: u32,
    under: Under,
    sealed: Base64,
}

/// What unwraps a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Under {
    /// A key that Argon2id makes of a passphrase.
    Passphrase(Argon2id),
    /// A key in the keyring of this machine's kernel.
    Keyring {
        /// Its name there.
        entry: String,
    },
    /// A key inside a PKCS#11 token.
    Pkcs11 {
        /// The token's label.
        token: String,
        /// The key's `CKA_LABEL`.
        key: String,
        /// The key's `CKA_ID`.
        id: Hex<16>,
    },
    /// Somebody else's keeper.
    Other {
        /// Its name.
        keeper: String,
        /// What it finds its key by.
        key: String,
    },
}

impl Wrapped {
    /// What a keeper made of a secret; `sealed` is the keeper's own format.
    pub fn new(under: Under, sealed: Vec<u8>) -> Self {
        Self {
            version: mc2_protocol::VERSION,
            under,
            sealed: sealed.into(),
        }
    }

    /// What unwraps it.
    pub const fn under(&self) -> &Under {
        &self.under
    }

    /// The keeper's own format.
    pub fn sealed(&self) -> &[u8] {
        self.sealed.as_slice()
    }

    /// As it lies in a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// They are no wrapped secret.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        parse_json("the wrapped secret", bytes, MAX_LEN)
    }
}

impl Under {
    /// For messages: what this is.
    pub fn in_words(&self) -> String {
        match self {
            Self::Passphrase(_) => "a passphrase".to_owned(),
            Self::Keyring { entry } => format!("the kernel keyring's entry {entry:?}"),
            Self::Pkcs11 { token, key, .. } => format!("the key {key:?} of the token {token:?}"),
            Self::Other { keeper, key } => format!("the key {key:?} of {keeper:?}"),
        }
    }
}

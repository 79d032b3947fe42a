//! What Azure's paravisor says of itself ("runtime data" of its HCL report), JSON: the keys of its
//! vTPM, and how the VM is set up. The hardware's report data is its SHA-256.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::x509::{KeyError, PublicKey};

/// The name of the key that signs quotes.
const ATTESTATION_KEY: &str = "HCLAkPub";
const RSA: &str = "RSA";

/// The part of the paravisor's statement that is used.
#[derive(Deserialize)]
struct RuntimeData {
    keys: Vec<Key>,
}

/// A key as JWK writes it (RFC 7517).
#[derive(Deserialize)]
struct Key {
    kid: String,
    kty: String,
    n: String,
    e: String,
}

/// The key with which this vTPM signs quotes.
pub(super) fn attestation_key(runtime_data: &[u8]) -> Result<PublicKey, RuntimeDataError> {
    let data: RuntimeData =
        serde_json::from_slice(runtime_data).map_err(|_| RuntimeDataError::Json)?;
    let mut named = data.keys.iter().filter(|key| key.kid == ATTESTATION_KEY);
    let (Some(key), None) = (named.next(), named.next()) else {
        return Err(RuntimeDataError::NoKey);
    };
    if key.kty != RSA {
        return Err(RuntimeDataError::NoKey);
    }
    let number = |text: &str| {
        URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| RuntimeDataError::NoKey)
    };
    Ok(PublicKey::rsa(&number(&key.n)?, &number(&key.e)?)?)
}

/// A statement that names no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RuntimeDataError {
    /// Not JSON with keys.
    #[error("the paravisor's statement is no JSON object with a list of keys")]
    Json,
    /// No key, or several.
    #[error("the paravisor's statement does not name exactly one RSA key {ATTESTATION_KEY}")]
    NoKey,
    /// A key that is none.
    #[error(transparent)]
    Key(#[from] KeyError),
}

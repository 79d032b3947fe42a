//! Signed documents: DSSE v1 envelopes with one Ed25519 signature (protocol.md §7).

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use zeroize::Zeroizing;

use crate::{Digest, encoding::Base64};

/// A DSSE envelope.
///
/// ```
/// use ed25519_dalek::SigningKey;
/// use mc2_protocol::documents::dsse::Envelope;
///
/// let key = SigningKey::from_bytes(&[1; 32]);
/// let envelope = Envelope::sign("text/plain", b"what was said".to_vec(), &key);
/// assert_eq!(envelope.verify("text/plain", &key.verifying_key())?, b"what was said");
/// assert!(envelope.verify("text/html", &key.verifying_key()).is_err());
/// # Ok::<(), mc2_protocol::documents::dsse::DsseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// What the payload is: a media type, and part of what is signed.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The exact bytes that are signed.
    pub payload: Base64,
    /// Exactly one signature.
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// SHA-256 of the Ed25519 public key; a hint only.
    pub keyid: Digest,
    /// The 64-byte Ed25519 signature over the pre-authentication encoding.
    pub sig: Base64,
}

/// Why a signed document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DsseError {
    /// A document of another kind.
    #[error("the signed document is a {found:?}, expected {expected:?}")]
    PayloadType {
        /// The kind that was needed.
        expected: &'static str,
        /// The kind it states.
        found: String,
    },
    /// Not exactly one signature.
    #[error("the signed document has {found} signatures, expected exactly one")]
    Signatures {
        /// How many it has.
        found: usize,
    },
    /// The signature is not of this key over these bytes.
    #[error("the signature does not verify with the key of {signer}")]
    Signature {
        /// Short form of the expected key's digest.
        signer: String,
    },
}

impl Envelope {
    /// Signs `payload` as a `payload_type`.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Self {
        Self {
            payload_type: payload_type.to_owned(),
            signatures: sign(payload_type, &payload, key),
            payload: payload.into(),
        }
    }

    /// The payload, once its kind and the signature of `key` are checked (`verify_strict`).
    ///
    /// # Errors
    /// [`DsseError`].
    pub fn verify(
        &self,
        payload_type: &'static str,
        key: &VerifyingKey,
    ) -> Result<&[u8], DsseError> {
        if self.payload_type != payload_type {
            return Err(DsseError::PayloadType {
                expected: payload_type,
                found: self.payload_type.chars().take(100).collect(),
            });
        }
        let payload = self.payload.as_slice();
        verify(payload_type, payload, &self.signatures, key)?;
        Ok(payload)
    }
}

/// Checks the one signature of an envelope whose type is the expected one.
pub(crate) fn verify(
    payload_type: &str,
    payload: &[u8],
    signatures: &[EnvelopeSignature],
    key: &VerifyingKey,
) -> Result<(), DsseError> {
    let [signature] = signatures else {
        return Err(DsseError::Signatures {
            found: signatures.len(),
        });
    };
    let refused = || DsseError::Signature {
        signer: key_id(key).short(),
    };
    let signature = Signature::from_slice(signature.sig.as_slice()).map_err(|_| refused())?;
    let signed = pre_authentication_encoding(payload_type, payload);
    key.verify_strict(&signed, &signature)
        .map_err(|_| refused())
}

/// The one signature of an envelope.
pub(crate) fn sign(payload_type: &str, payload: &[u8], key: &SigningKey) -> Vec<EnvelopeSignature> {
    let signature = key.sign(&pre_authentication_encoding(payload_type, payload));
    vec![EnvelopeSignature {
        keyid: key_id(&key.verifying_key()),
        sig: signature.to_bytes().to_vec().into(),
    }]
}

/// SHA-256 of an Ed25519 public key.
pub fn key_id(key: &VerifyingKey) -> Digest {
    Digest::of(key.as_bytes())
}

/// `DSSEv1 SP LEN(type) SP type SP LEN(payload) SP payload`, lengths in decimal. The payload may
/// hold a secret.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Zeroizing<Vec<u8>> {
    let before = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    let mut bytes = Zeroizing::new(Vec::with_capacity(before.len() + payload.len()));
    bytes.extend_from_slice(before.as_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the DSSE v1 specification (protocol.md, "Test Vectors").
    #[test]
    fn the_pre_authentication_encoding_is_the_specifications() {
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world").as_slice(),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn another_kind_key_or_payload_is_refused() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let envelope = Envelope::sign("a/b", b"payload".to_vec(), &key);
        assert_eq!(
            envelope.verify("a/b", &key.verifying_key()),
            Ok(&b"payload"[..])
        );
        assert!(envelope.verify("a/c", &key.verifying_key()).is_err());
        let other = SigningKey::from_bytes(&[2; 32]);
        assert!(envelope.verify("a/b", &other.verifying_key()).is_err());
        let mut altered = envelope.clone();
        altered.payload.0[0] ^= 1;
        assert!(altered.verify("a/b", &key.verifying_key()).is_err());
        let mut twice = envelope.clone();
        twice.signatures.push(envelope.signatures[0].clone());
        assert_eq!(
            twice.verify("a/b", &key.verifying_key()),
            Err(DsseError::Signatures { found: 2 })
        );
    }
}

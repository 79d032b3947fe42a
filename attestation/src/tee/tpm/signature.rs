//! A TPM's signature (TPMT_SIGNATURE, "TPM 2.0 Library", part 2, §11.3.4), big-endian.

use super::reader::Reader;
use crate::x509::PublicKey;

const RSASSA: u16 = 0x0014;
const ECDSA: u16 = 0x0018;
const SHA256: u16 = 0x000b;
/// Length of each half of a signature on P-256.
const HALF: usize = 32;

/// A signature with SHA-256, of which nothing was verified yet.
#[derive(Debug)]
pub(super) enum Signature<'a> {
    /// RSASSA-PKCS1-v1_5, as long as the key.
    Rsassa(&'a [u8]),
    /// ECDSA on P-256: r ‖ s.
    Ecdsa([u8; 2 * HALF]),
}

impl<'a> Signature<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let mut rest = Reader(bytes);
        let read = |rest: &mut Reader<'a>| -> Option<Self> {
            let (scheme, hash) = (rest.u16()?, rest.u16()?);
            match (scheme, hash) {
                (RSASSA, SHA256) => rest.sized().map(Self::Rsassa),
                (ECDSA, SHA256) => {
                    let mut both = [0; 2 * HALF];
                    for half in both.chunks_exact_mut(HALF) {
                        let number = rest.sized()?;
                        let zeros = HALF.checked_sub(number.len())?;
                        half[zeros..].copy_from_slice(number);
                    }
                    Some(Self::Ecdsa(both))
                }
                _ => None,
            }
        };
        let signature = read(&mut rest).filter(|_| rest.0.is_empty());
        signature.ok_or_else(|| {
            "a signature that is no TPM's with RSASSA or ECDSA on P-256, and SHA-256".to_owned()
        })
    }

    pub(super) fn verify(&self, key: &PublicKey, message: &[u8]) -> Result<(), String> {
        let verified = match self {
            Self::Rsassa(signature) => key.verify_rsassa_sha256(message, signature),
            Self::Ecdsa(signature) => key.verify_p256(message, signature),
        };
        verified.map_err(|error| error.to_string())
    }
}

//! Public keys of certificates, and the signatures that are made with them.

use std::ops::RangeInclusive;

use der::{
    Decode, Reader, SliceReader,
    asn1::{ObjectIdentifier, UintRef},
};
use p384::ecdsa::signature::{Verifier as _, hazmat::PrehashVerifier as _};
use rsa::{BoxedUint, pkcs1v15, pss};
use sha2::{Sha256, Sha384, Sha512};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::scheme::{Hash, Scheme};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// Shorter keys can be broken, and longer ones take long to verify with.
const RSA_BITS: RangeInclusive<usize> = 2048..=4096;
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// A public key.
#[derive(Clone, Debug)]
pub(crate) enum PublicKey {
    /// RSA, of 2048 to 4096 bits.
    Rsa(rsa::PublicKey),
    /// ECDSA on P-256.
    P256(p256::ecdsa::VerifyingKey),
    /// ECDSA on P-384.
    P384(p384::ecdsa::VerifyingKey),
}

/// Whose signatures are verified: of each only what they use is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signers {
    /// AMD and AWS: RSASSA-PSS with SHA-384, and ECDSA on P-384 with SHA-384.
    Vendors,
    /// Authorities of timestamps: RSASSA-PKCS1-v1_5, and ECDSA on P-256 and P-384, with SHA-256,
    /// SHA-384 or SHA-512.
    Timestampers,
}

impl PublicKey {
    /// The key of a certificate.
    pub(super) fn of(info: &SubjectPublicKeyInfoOwned) -> Result<Self, KeyError> {
        let bytes = info
            .subject_public_key
            .as_bytes()
            .ok_or(KeyError::Malformed)?;
        if info.algorithm.oid == RSA_ENCRYPTION {
            return Self::rsa_from_pkcs1(bytes);
        }
        let curve = info
            .algorithm
            .parameters
            .as_ref()
            .and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
        let key = match curve {
            Some(SECP256R1) if info.algorithm.oid == EC_PUBLIC_KEY => {
                p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).map(Self::P256)
            }
            Some(SECP384R1) if info.algorithm.oid == EC_PUBLIC_KEY => {
                p384::ecdsa::VerifyingKey::from_sec1_bytes(bytes).map(Self::P384)
            }
            _ => {
                return Err(KeyError::Kind {
                    found: info.algorithm.oid.to_string(),
                });
            }
        };
        key.map_err(|_| KeyError::Malformed)
    }

    /// A key by itself, SubjectPublicKeyInfo in DER.
    pub(crate) fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let info = SubjectPublicKeyInfoOwned::from_der(der).map_err(|_| KeyError::Malformed)?;
        Self::of(&info)
    }

    /// An RSA key as PKCS #1 writes it.
    pub(crate) fn rsa_from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let read = || -> der::Result<(Vec<u8>, Vec<u8>)> {
            let mut reader = SliceReader::new(der)?;
            let key = reader.sequence(|reader: &mut SliceReader<'_>| {
                let modulus = UintRef::decode(reader)?.as_bytes().to_vec();
                let exponent = UintRef::decode(reader)?.as_bytes().to_vec();
                Ok::<_, der::Error>((modulus, exponent))
            })?;
            reader.finish()?;
            Ok(key)
        };
        let (modulus, exponent) = read().map_err(|_| KeyError::Malformed)?;
        Self::rsa(&modulus, &exponent)
    }

    /// An RSA key of big-endian modulus and exponent.
    pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
        let bits = modulus.get(zeros).map_or(0, |first| {
            8 * (modulus.len() - zeros) - first.leading_zeros() as usize
        });
        if !RSA_BITS.contains(&bits) {
            return Err(KeyError::Size { found: bits });
        }
        let number = BoxedUint::from_be_slice_vartime;
        rsa::PublicKey::new(number(modulus), number(exponent))
            .map(Self::Rsa)
            .map_err(|_| KeyError::Malformed)
    }

    /// Whether its holder, one of `signers`, signed `message` as a certificate of this `algorithm` is
    /// signed.
    pub(super) fn verify(
        &self,
        signers: Signers,
        algorithm: &ObjectIdentifier,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyError> {
        match signers {
            Signers::Vendors => self.verify_as_vendors(algorithm, message, signature),
            Signers::Timestampers => {
                let scheme = Scheme::named(algorithm).ok_or_else(|| KeyError::Algorithm {
                    found: algorithm.to_string(),
                })?;
                self.verify_scheme(scheme, message, signature)
            }
        }
    }

    /// The parameters of RSASSA-PSS are SHA-384, MGF1 with SHA-384 and a salt of 48 bytes, whatever
    /// the certificate says of them.
    fn verify_as_vendors(
        &self,
        algorithm: &ObjectIdentifier,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyError> {
        match self {
            Self::Rsa(key) if *algorithm == RSASSA_PSS => {
                let signature =
                    pss::Signature::try_from(signature).map_err(|_| KeyError::Signature)?;
                pss::VerifyingKey::<Sha384>::new(key.clone())
                    .verify(message, &signature)
                    .map_err(|_| KeyError::Signature)
            }
            Self::P384(_) if *algorithm == ECDSA_WITH_SHA384 => {
                self.verify_scheme(Scheme::Ecdsa(Hash::Sha384), message, signature)
            }
            _ => Err(KeyError::Algorithm {
                found: algorithm.to_string(),
            }),
        }
    }

    /// Whether its holder signed `message` in this way.
    pub(crate) fn verify_scheme(
        &self,
        scheme: Scheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyError> {
        let wrong = |_| KeyError::Signature;
        match (self, scheme) {
            (Self::Rsa(key), Scheme::Rsassa(hash)) => {
                let signature = pkcs1v15::Signature::try_from(signature).map_err(wrong)?;
                match hash {
                    Hash::Sha256 => pkcs1v15::VerifyingKey::<Sha256>::new(key.clone())
                        .verify(message, &signature),
                    Hash::Sha384 => pkcs1v15::VerifyingKey::<Sha384>::new(key.clone())
                        .verify(message, &signature),
                    Hash::Sha512 => pkcs1v15::VerifyingKey::<Sha512>::new(key.clone())
                        .verify(message, &signature),
                }
                .map_err(wrong)
            }
            (Self::P256(key), Scheme::Ecdsa(hash)) => {
                let signature = p256::ecdsa::Signature::from_der(signature).map_err(wrong)?;
                key.verify_prehash(&hash.of(message), &signature)
                    .map_err(wrong)
            }
            (Self::P384(key), Scheme::Ecdsa(hash)) => {
                let signature = p384::ecdsa::Signature::from_der(signature).map_err(wrong)?;
                key.verify_prehash(&hash.of(message), &signature)
                    .map_err(wrong)
            }
            _ => Err(KeyError::Algorithm {
                found: format!("{scheme:?}"),
            }),
        }
    }

    /// Whether it is a key on P-384 and its holder signed `message` with ECDSA and SHA-384; the
    /// signature is r ‖ s, 48 bytes each, big-endian.
    pub(crate) fn verify_p384(&self, message: &[u8], signature: &[u8; 96]) -> Result<(), KeyError> {
        let Self::P384(key) = self else {
            return Err(KeyError::Kind {
                found: self.kind().to_owned(),
            });
        };
        let signature =
            p384::ecdsa::Signature::from_slice(signature).map_err(|_| KeyError::Signature)?;
        key.verify(message, &signature)
            .map_err(|_| KeyError::Signature)
    }

    /// Whether it is a key on P-256 and its holder signed `message` with ECDSA and SHA-256; the
    /// signature is r ‖ s, 32 bytes each, big-endian.
    pub(crate) fn verify_p256(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), KeyError> {
        let Self::P256(key) = self else {
            return Err(KeyError::Kind {
                found: self.kind().to_owned(),
            });
        };
        let signature =
            p256::ecdsa::Signature::from_slice(signature).map_err(|_| KeyError::Signature)?;
        key.verify(message, &signature)
            .map_err(|_| KeyError::Signature)
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RSA",
            Self::P256(_) => "P-256",
            Self::P384(_) => "P-384",
        }
    }

    /// Whether it is an RSA key and its holder signed `message` with RSASSA-PKCS1-v1_5 and
    /// SHA-256, as vTPMs do.
    pub(crate) fn verify_rsassa_sha256(
        &self,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyError> {
        let Self::Rsa(_) = self else {
            return Err(KeyError::Kind {
                found: self.kind().to_owned(),
            });
        };
        self.verify_scheme(Scheme::Rsassa(Hash::Sha256), message, signature)
    }
}

/// What is wrong with a key or a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// Not a key of its kind.
    #[error("the public key is not well-formed")]
    Malformed,
    /// Another kind of key.
    #[error("a key of the kind {found}, where RSA, P-256 or P-384 belongs")]
    Kind {
        /// Its object identifier.
        found: String,
    },
    /// Too short or too long.
    #[error("an RSA key of {found} bits, where 2048 to 4096 belong")]
    Size {
        /// Its size.
        found: usize,
    },
    /// Signed in a way that those do not sign whose signature it would be.
    #[error("signed with the algorithm {found}, which does not go with the key or is not accepted")]
    Algorithm {
        /// Its object identifier.
        found: String,
    },
    /// Not signed by this key.
    #[error("the signature is not good")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::{KeyError, PublicKey};

    #[test]
    fn an_rsa_key_that_is_too_short_or_too_long_is_refused() {
        let of = |bits: usize| {
            let mut modulus = vec![0xff; bits.div_ceil(8)];
            modulus[0] = 0xff >> (8 * modulus.len() - bits);
            // Zeros before it make it no longer.
            modulus.insert(0, 0);
            PublicKey::rsa(&modulus, &[1, 0, 1]).map(drop)
        };
        for bits in [2048, 3072, 4096] {
            assert_eq!(of(bits), Ok(()), "{bits}");
        }
        for bits in [8, 1024, 2047, 4097] {
            assert_eq!(of(bits), Err(KeyError::Size { found: bits }), "{bits}");
        }
        assert_eq!(
            PublicKey::rsa(&[], &[3]).map(drop),
            Err(KeyError::Size { found: 0 })
        );
    }
}

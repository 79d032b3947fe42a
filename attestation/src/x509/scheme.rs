//! Ways to sign that authorities of certificates and of timestamps use (RFC 3279, RFC 4055, RFC 5758).

use der::asn1::ObjectIdentifier;
use sha2::{Digest, Sha256, Sha384, Sha512};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// A hash function that nobody finds collisions of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    const ALL: [(Self, ObjectIdentifier); 3] = [
        (
            Self::Sha256,
            ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
        ),
        (
            Self::Sha384,
            ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
        ),
        (
            Self::Sha512,
            ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
        ),
    ];

    /// The one of this name; `None` where it is another, such as SHA-1.
    pub(crate) fn named(id: &ObjectIdentifier) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(_, known)| known == id);
        found.map(|(hash, _)| hash)
    }

    /// The digest of a message.
    pub(crate) fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }
}

/// How something was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    Rsassa(Hash),
    /// ECDSA, its signature in DER.
    Ecdsa(Hash),
}

impl Scheme {
    const ALL: [(Self, ObjectIdentifier); 6] = [
        (
            Self::Rsassa(Hash::Sha256),
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"),
        ),
        (
            Self::Rsassa(Hash::Sha384),
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"),
        ),
        (
            Self::Rsassa(Hash::Sha512),
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"),
        ),
        (
            Self::Ecdsa(Hash::Sha256),
            ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
        ),
        (
            Self::Ecdsa(Hash::Sha384),
            ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"),
        ),
        (
            Self::Ecdsa(Hash::Sha512),
            ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"),
        ),
    ];

    /// The one of this name, where it is one of these.
    pub(crate) fn named(id: &ObjectIdentifier) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(_, known)| known == id);
        found.map(|(scheme, _)| scheme)
    }

    /// The one that a CMS message names, which may say the kind of key alone: the hash function is
    /// then the one it names beside it (RFC 3370, §3.2).
    pub(crate) fn in_cms(id: &ObjectIdentifier, digest: Hash) -> Option<Self> {
        match Self::named(id) {
            None if *id == RSA_ENCRYPTION => Some(Self::Rsassa(digest)),
            found => found,
        }
    }
}

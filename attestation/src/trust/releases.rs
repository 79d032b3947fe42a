//! The signed list of published runtime releases: reference values by their publisher.
//!
//! A client release carries the newest list. It is a DSSE envelope over JSON, signed with one of
//! the release keys the client was built with ([`RELEASE_KEYS`]).

use ed25519_dalek::VerifyingKey;
use mc2_protocol::{
    Digest,
    documents::dsse::{DsseError, Envelope},
    encoding::{JsonError, parse_json},
};
use serde::{Deserialize, Serialize};

use super::reference::{ReferenceValue, ReferenceValueError};

/// The Ed25519 keys that sign release lists, compiled in.
///
/// Empty until the first release is published: such a client trusts no published release at all,
/// only what its own party added. docs/releasing.md says how a key gets here.
#[cfg(not(any(test, feature = "test-util")))]
pub const RELEASE_KEYS: &[[u8; 32]] = &[];
/// What is built for tests believes the key of
/// [`factory::release_key`](crate::test_util::factory::release_key), which everybody has, and no other.
#[cfg(any(test, feature = "test-util"))]
#[rustfmt::skip]
pub const RELEASE_KEYS: &[[u8; 32]] = &[[
    0xea, 0x4a, 0x6c, 0x63, 0xe2, 0x9c, 0x52, 0x0a, 0xbe, 0xf5, 0x50, 0x7b, 0x13, 0x2e, 0xc5, 0xf9,
    0x95, 0x47, 0x76, 0xae, 0xbe, 0xbe, 0x7b, 0x92, 0x42, 0x1e, 0xea, 0x69, 0x14, 0x46, 0xd2, 0x2c,
]];

/// DSSE payload type of a release list.
pub const PAYLOAD_TYPE: &str = "application/vnd.mc2.releases.v1+json";
/// Largest signed release list accepted, in bytes.
pub const MAX_LEN: usize = 1024 * 1024;

const VERSION: u32 = 1;

/// A release list: what was published, and what of it was revoked.
///
/// ```
/// use ed25519_dalek::SigningKey;
/// use mc2_attestation::releases::{PAYLOAD_TYPE, ReleaseList};
/// use mc2_protocol::{Digest, documents::dsse::Envelope, encoding::to_json};
///
/// // Whoever publishes a list signs it; whoever takes it has the public key compiled in.
/// let key = SigningKey::from_bytes(&[5; 32]);
/// let list = ReleaseList::new(7, vec![], vec![Digest::of(b"a component with a hole")]);
/// let signed = to_json(&Envelope::sign(PAYLOAD_TYPE, to_json(&list), &key));
///
/// let keys = [key.verifying_key().to_bytes()];
/// assert_eq!(ReleaseList::verify(&signed, &keys)?, list);
/// assert!(ReleaseList::verify(&signed, &[]).is_err());
/// # Ok::<(), mc2_attestation::releases::ReleaseListError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseList {
    version: u32,
    /// Grows with every list: of two lists the one with the larger number is the newer.
    pub number: u64,
    /// Published runtimes, one entry for each TEE they run in.
    pub releases: Vec<ReferenceValue>,
    /// Components by SHA-256 that must not be given data any more, whatever a policy says.
    pub revoked_components: Vec<Digest>,
}

impl ReleaseList {
    /// A list of these entries, to be signed.
    pub fn new(
        number: u64,
        releases: Vec<ReferenceValue>,
        revoked_components: Vec<Digest>,
    ) -> Self {
        Self {
            version: VERSION,
            number,
            releases,
            revoked_components,
        }
    }

    /// The list in a signed envelope, once the signature of one of `keys` is checked.
    ///
    /// # Errors
    /// [`ReleaseListError`].
    pub fn verify(envelope: &[u8], keys: &[[u8; 32]]) -> Result<Self, ReleaseListError> {
        let envelope: Envelope = parse_json("the signed release list", envelope, MAX_LEN)?;
        let mut last = None;
        for (index, key) in keys.iter().enumerate() {
            let key = VerifyingKey::from_bytes(key)
                .ok()
                .filter(|key| !key.is_weak())
                .ok_or(ReleaseListError::Key { index })?;
            match envelope.verify(PAYLOAD_TYPE, &key) {
                Ok(payload) => return Self::parse(payload),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or(ReleaseListError::NoKeys, |last| {
            ReleaseListError::Signature {
                keys: keys.len(),
                last,
            }
        }))
    }

    fn parse(payload: &[u8]) -> Result<Self, ReleaseListError> {
        let list: Self = parse_json("the release list", payload, MAX_LEN)?;
        if list.version != VERSION {
            return Err(ReleaseListError::Version {
                found: list.version,
            });
        }
        for release in &list.releases {
            release.check()?;
        }
        Ok(list)
    }
}

/// Why a release list was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseListError {
    /// Not a release list.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// There are no release keys to check it with.
    #[error(
        "this client was built without release keys, so it can't check a release list; add the \
         reference values you checked yourself"
    )]
    NoKeys,
    /// A compiled-in key that does not parse.
    #[error("release key {index} is not an Ed25519 key")]
    Key {
        /// Its position in the list of keys.
        index: usize,
    },
    /// Not signed by a release key.
    #[error("the release list is not signed by any of the {keys} release keys: {last}")]
    Signature {
        /// How many keys were tried.
        keys: usize,
        /// What the last one found.
        last: DsseError,
    },
    /// Another version.
    #[error("the release list has format version {found}, this release reads version 1")]
    Version {
        /// The version it states.
        found: u32,
    },
    /// An entry that cannot be a reference value.
    #[error("the release list's {0}")]
    Entry(#[from] ReferenceValueError),
    /// Older than the one already known.
    #[error(
        "the release list has number {found}, but number {known} is already known: it was rolled back"
    )]
    RolledBack {
        /// The number it states.
        found: u64,
        /// The newest number seen.
        known: u64,
    },
}

//! What an owner gives a broker: its word on one version of a dataset, and the version's key
//! (protocol.md §14).

use ed25519_dalek::{Signature, Signer as _};
use mc2_protocol::{
    Card, Digest, Identity, Manifest, Name, SecretKey,
    crypto::label,
    encoding::{Hex, JsonError, parse_json, to_json},
    sealed::manifest::WrappedKey,
};
use serde::{Deserialize, Serialize};

/// The file of a sealed object's folder that holds it.
pub const FILE: &str = "handover.json";

/// The most bytes it may have.
pub const MAX_LEN: usize = 16 * 1024;

/// A version of a dataset as its owner signed it, with its data key sealed to a broker's card.
///
/// The signature says that this object is version `number` of the dataset, and nothing of the
/// broker: the key goes to whom it is sealed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    version: u32,
    dataset: Name,
    object: Digest,
    owner: Digest,
    number: u64,
    signature: Hex<64>,
    key: WrappedKey,
}

/// Why a handover was refused.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// It is none.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Another format version.
    #[error("the handover has format version {found}, this release reads version 1")]
    Version {
        /// The version it states.
        found: u32,
    },
    /// Of another object than the manifest it came with.
    #[error(
        "the handover is of object {found} of {found_dataset}, and lies beside object {expected} \
         of {expected_dataset}"
    )]
    OtherObject {
        /// The manifest's.
        expected: Digest,
        /// The manifest's dataset.
        expected_dataset: Name,
        /// The handover's.
        found: Digest,
        /// The handover's dataset.
        found_dataset: Name,
    },
    /// Not the owner's signature.
    #[error(
        "the version {number} of {dataset} is not signed by {owner}: its owner runs \
         `mc2 broker give` with the sealed object"
    )]
    Signature {
        /// The dataset.
        dataset: Name,
        /// Which version.
        number: u64,
        /// Who must have signed.
        owner: String,
    },
    /// Sealed to another card.
    #[error("the key of the handover is sealed to card {found}, this broker's is {expected}")]
    OtherBroker {
        /// This broker's card.
        expected: Digest,
        /// The card it names.
        found: Digest,
    },
    /// The key does not open.
    #[error("the key of the handover does not open with this broker's identity")]
    Sealed,
    /// The key is another's.
    #[error("the key of the handover is not the one that object {object} was sealed with")]
    WrongKey {
        /// The object.
        object: Digest,
    },
}

impl Handover {
    /// Signs the object `id`, whose manifest is `manifest` and whose key is `key`, as version
    /// `number` of its dataset, and seals the key to `broker`.
    pub fn new(
        owner: &Identity,
        broker: &Card,
        id: Digest,
        manifest: &Manifest,
        number: u64,
        key: &SecretKey,
    ) -> Self {
        let dataset = manifest.dataset().clone();
        let signature = owner.signing_key().sign(&signed(&dataset, &id, number));
        let info = key_info(&dataset, &id, broker.digest());
        let key = WrappedKey {
            card: *broker.digest(),
            key: broker
                .public_key()
                .seal(&info, key.expose(), &mut crate::random()),
        };
        Self {
            version: mc2_protocol::VERSION,
            dataset,
            object: id,
            owner: *owner.card().digest(),
            number,
            signature: Hex(signature.to_bytes()),
            key,
        }
    }

    /// Reads one; nothing is checked yet but its form.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, HandoverError> {
        let read: Self = parse_json("the handover", bytes, MAX_LEN)?;
        if read.version != mc2_protocol::VERSION {
            return Err(HandoverError::Version {
                found: read.version,
            });
        }
        Ok(read)
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }

    /// The card of whoever signed it, as it says itself.
    pub const fn owner(&self) -> &Digest {
        &self.owner
    }

    /// Checks it against the object it came with and the owner's card, and opens the key.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub fn open(
        &self,
        id: &Digest,
        manifest: &Manifest,
        owner: &Card,
        broker: &Identity,
    ) -> Result<Version, HandoverError> {
        if self.object != *id || self.dataset != *manifest.dataset() {
            return Err(HandoverError::OtherObject {
                expected: *id,
                expected_dataset: manifest.dataset().clone(),
                found: self.object,
                found_dataset: self.dataset.clone(),
            });
        }
        let signed = signed(&self.dataset, &self.object, self.number);
        let signature = Signature::from_bytes(&self.signature.0);
        owner
            .verifying_key()
            .verify_strict(&signed, &signature)
            .map_err(|_| HandoverError::Signature {
                dataset: self.dataset.clone(),
                number: self.number,
                owner: owner.name().to_string(),
            })?;
        let own = broker.card().digest();
        if self.key.card != *own {
            return Err(HandoverError::OtherBroker {
                expected: *own,
                found: self.key.card,
            });
        }
        let info = key_info(&self.dataset, &self.object, own);
        let secret = broker.private_key().open(&info, &self.key.key);
        let secret = secret
            .ok()
            .and_then(|secret| SecretKey::from_slice(&secret))
            .ok_or(HandoverError::Sealed)?;
        let opens = |index| manifest.opener(index, &secret).is_ok();
        if !(0..manifest.stream_count()).all(opens) {
            return Err(HandoverError::WrongKey {
                object: self.object,
            });
        }
        Ok(Version {
            dataset: self.dataset.clone(),
            owner: *owner.digest(),
            object: self.object,
            number: self.number,
            secret,
        })
    }
}

/// A version of a dataset that its owner signed, and its key.
pub struct Version {
    /// The dataset.
    pub dataset: Name,
    /// Digest of the owner's card.
    pub owner: Digest,
    /// The object.
    pub object: Digest,
    /// Which version it is.
    pub number: u64,
    /// Its data key.
    pub secret: SecretKey,
}

fn signed(dataset: &Name, object: &Digest, number: u64) -> Vec<u8> {
    label::context(
        label::DATASET_VERSION,
        &[
            dataset.as_str().as_bytes(),
            object.as_bytes(),
            &number.to_be_bytes(),
        ],
    )
}

fn key_info(dataset: &Name, object: &Digest, broker: &Digest) -> Vec<u8> {
    label::context(
        label::HANDED_KEY,
        &[
            dataset.as_str().as_bytes(),
            object.as_bytes(),
            broker.as_bytes(),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{object::seal_to_folder, source::Source};

    struct Given {
        owner: Identity,
        broker: Identity,
        id: Digest,
        manifest: Manifest,
        key: SecretKey,
    }

    fn identity(name: &str) -> Identity {
        Identity::generate(name.parse().unwrap(), &mut crate::random())
    }

    fn sealed(owner: &Identity, text: &str) -> (Digest, Manifest, SecretKey) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        std::fs::write(&file, text).unwrap();
        let source = Source::scan(&file).unwrap();
        let target = folder.path().join("data.sealed");
        let dataset = "data".parse().unwrap();
        seal_to_folder(&source, &dataset, owner.card(), &target, &mut |_| ()).unwrap()
    }

    fn given() -> Given {
        let owner = identity("owner");
        let (id, manifest, key) = sealed(&owner, "one");
        Given {
            owner,
            broker: identity("broker"),
            id,
            manifest,
            key,
        }
    }

    fn handover(given: &Given, number: u64) -> Handover {
        let Given {
            owner,
            broker,
            id,
            manifest,
            key,
        } = given;
        let made = Handover::new(owner, broker.card(), *id, manifest, number, key);
        Handover::parse(&made.to_bytes()).unwrap()
    }

    fn open(given: &Given, handover: &Handover) -> Result<Version, HandoverError> {
        handover.open(
            &given.id,
            &given.manifest,
            given.owner.card(),
            &given.broker,
        )
    }

    #[test]
    fn a_version_its_owner_signed_is_opened_by_its_broker() {
        let given = given();
        let version = open(&given, &handover(&given, 7)).unwrap();
        assert_eq!(version.number, 7);
        assert_eq!(version.object, given.id);
        assert_eq!(version.secret.expose(), given.key.expose());
    }

    #[test]
    fn another_number_object_owner_broker_or_key_is_refused_by_name() {
        let given = given();
        let good = handover(&given, 7);
        let later = Handover {
            number: 8,
            ..good.clone()
        };
        assert!(matches!(
            open(&given, &later),
            Err(HandoverError::Signature { .. })
        ));
        let stranger = given.broker.card();
        let opened = good.open(&given.id, &given.manifest, stranger, &given.broker);
        assert!(matches!(opened, Err(HandoverError::Signature { .. })));
        let other = identity("broker");
        let opened = good.open(&given.id, &given.manifest, given.owner.card(), &other);
        assert!(matches!(opened, Err(HandoverError::OtherBroker { .. })));

        let (id, manifest, key) = sealed(&given.owner, "two");
        let opened = good.open(&id, &manifest, given.owner.card(), &given.broker);
        assert!(matches!(opened, Err(HandoverError::OtherObject { .. })));
        let wrong = Handover::new(&given.owner, stranger, given.id, &given.manifest, 7, &key);
        assert!(matches!(
            open(&given, &wrong),
            Err(HandoverError::WrongKey { .. })
        ));
        // The other object's sealed key under this one's name.
        let swapped = Handover::new(&given.owner, stranger, id, &manifest, 7, &key);
        let swapped = Handover {
            key: swapped.key,
            ..good
        };
        assert!(matches!(open(&given, &swapped), Err(HandoverError::Sealed)));
    }
}

//! Forges AWS Nitro: a document about anything, signed under a root of the forger's own.

use coset::{
    CborSerializable as _, CoseSign1Builder, HeaderBuilder,
    cbor::value::{Integer, Value},
    iana,
};

use super::{
    Forged, HOLDS, NOW,
    pki::{Certificate, Key},
};
use crate::{
    Evidence, Tee, UnixSeconds,
    tee::{self, Roots},
    time::Interval,
};

const ROOT: &str = "Forged aws.nitro-enclaves";
const MIDDLE: &str = "Forged instance";

/// A forged document and all around it. Change what you want, then [`Nitro::sign`].
#[derive(Clone)]
pub struct Nitro {
    /// The registers, by their numbers.
    pub pcrs: Vec<(u8, Vec<u8>)>,
    /// The digest it says registers have.
    pub digest: String,
    /// Which enclave.
    pub module_id: String,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// Fields more.
    pub extra: Vec<(String, Value)>,
    /// The algorithm it says it is signed with.
    pub algorithm: iana::Algorithm,
    /// Something more in the protected header.
    pub key_id: Vec<u8>,
    /// Whether the signature is zeros, as QEMU's is.
    pub unsigned: bool,
    /// When the signer's certificate counts.
    pub holds: Interval,
    /// Whether the signer's certificate is an authority's.
    pub signer_is_authority: bool,
    /// How many authorities may follow the one in the middle, and how many do.
    pub path_len: u8,
    /// Another authority below the one in the middle.
    pub longer: bool,
}

impl Nitro {
    /// A document on which all is well.
    pub fn genuine() -> Self {
        let register = |index: u8| (index, vec![index + 1; 48]);
        Self {
            pcrs: (0..16).map(register).collect(),
            digest: "SHA384".to_owned(),
            module_id: "i-0123456789abcdef0-enc0123456789abcdef0".to_owned(),
            timestamp: NOW.0 * 1000,
            extra: Vec::new(),
            algorithm: iana::Algorithm::ES384,
            key_id: Vec::new(),
            unsigned: false,
            holds: Interval::new(UnixSeconds(NOW.0 - 60), UnixSeconds(NOW.0 + 3 * 3600)),
            signer_is_authority: false,
            path_len: 0,
            longer: false,
        }
    }

    /// Roots that believe the forger.
    pub fn roots() -> Roots {
        Roots::default().with_aws(Self::root())
    }

    /// The forger's root, DER.
    pub fn root() -> Vec<u8> {
        authority(ROOT, None).issue(&root_key(), ROOT, &root_key())
    }

    /// Evidence over `user_data`; AWS says nothing beside.
    pub fn sign(&self, user_data: &[u8]) -> Forged {
        let text = |text: &str| Value::Text(text.to_owned());
        let pcr = |(index, value): &(u8, Vec<u8>)| {
            (
                Value::Integer(Integer::from(*index)),
                Value::Bytes(value.clone()),
            )
        };
        let authorities = self.authorities().into_iter().map(Value::Bytes).collect();
        let mut fields = vec![
            (text("module_id"), text(&self.module_id)),
            (text("digest"), text(&self.digest)),
            (
                text("timestamp"),
                Value::Integer(Integer::from(self.timestamp)),
            ),
            (
                text("pcrs"),
                Value::Map(self.pcrs.iter().map(pcr).collect()),
            ),
            (text("certificate"), Value::Bytes(self.certificate())),
            (text("cabundle"), Value::Array(authorities)),
            (text("public_key"), Value::Null),
            (text("user_data"), Value::Bytes(user_data.to_vec())),
            (text("nonce"), Value::Null),
        ];
        for (name, value) in &self.extra {
            fields.push((text(name), value.clone()));
        }
        let mut payload = Vec::new();
        coset::cbor::ser::into_writer(&Value::Map(fields), &mut payload)
            .unwrap_or_else(|error| unreachable!("a vector takes all: {error}"));
        let document = CoseSign1Builder::new()
            .protected(
                HeaderBuilder::new()
                    .algorithm(self.algorithm)
                    .key_id(self.key_id.clone())
                    .build(),
            )
            .payload(payload)
            .create_signature(&[], |message| {
                if self.unsigned {
                    vec![0; 96]
                } else {
                    signer().sign_p384(message).to_vec()
                }
            })
            .build()
            .to_vec()
            .unwrap_or_else(|error| unreachable!("a document can be written: {error}"));
        Forged {
            evidence: Evidence {
                media_type: tee::media_type(Tee::Nitro).to_owned(),
                value: document.into(),
            },
            endorsements: Vec::new(),
        }
    }

    fn authorities(&self) -> Vec<Vec<u8>> {
        let middle = authority(MIDDLE, Some(self.path_len)).issue(&middle_key(), ROOT, &root_key());
        let mut authorities = vec![Self::root(), middle];
        if self.longer {
            let below = authority(MIDDLE, None).issue(&middle_key(), MIDDLE, &middle_key());
            authorities.push(below);
        }
        authorities
    }

    fn certificate(&self) -> Vec<u8> {
        Certificate {
            subject: "Forged enclave".to_owned(),
            serial: vec![3],
            holds: self.holds,
            authority: self.signer_is_authority.then_some(None),
            extensions: Vec::new(),
        }
        .issue(&signer(), MIDDLE, &middle_key())
    }
}

fn authority(subject: &str, path_len: Option<u8>) -> Certificate {
    Certificate {
        subject: subject.to_owned(),
        serial: vec![2],
        holds: HOLDS,
        authority: Some(path_len),
        extensions: Vec::new(),
    }
}

fn root_key() -> Key {
    Key::p384(0x41)
}

fn middle_key() -> Key {
    Key::p384(0x42)
}

fn signer() -> Key {
    Key::p384(0x43)
}

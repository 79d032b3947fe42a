//! The attestation document, as the Nitro Secure Module writes it.

use std::collections::BTreeMap;

use coset::{
    CborSerializable as _, CoseSign1, RegisteredLabelWithPrivate, cbor::value::Value, iana,
};

/// The digest of PCRs, in the document's word and in bytes.
const DIGEST: &str = "SHA384";
const PCR_LEN: usize = 48;
const MAX_PCRS: usize = 32;
const MAX_CERTIFICATES: usize = 8;
/// The fields of a document are nine. More are refused before they are looked at: this is read before
/// any signature is.
const MAX_FIELDS: usize = 16;
/// The protected header of ES384, {1: -35}, and of nothing beside it.
const ES384_HEADER: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];
/// Largest certificate, and largest piece of data that somebody asked to sign, in bytes.
const MAX_CERTIFICATE_LEN: usize = 1024;
const MAX_DATA_LEN: usize = 1024;

/// A document whose bytes were read and of which nothing was verified yet.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) module_id: String,
    /// Milliseconds since 1970 by the hypervisor's clock.
    pub(super) timestamp: u64,
    pub(super) pcrs: BTreeMap<u8, [u8; PCR_LEN]>,
    /// The signer's certificate, DER.
    pub(super) certificate: Vec<u8>,
    /// Those above it, the root first, DER.
    pub(super) authorities: Vec<Vec<u8>>,
    pub(super) user_data: Option<Vec<u8>>,
    /// r ‖ s, big-endian.
    pub(super) signature: [u8; 96],
    /// What the signature is over.
    pub(super) signed: Vec<u8>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// [`DocumentError`] when it is none, is written in another way than the module writes it, or
    /// is signed otherwise than with ECDSA on P-384: QEMU's, for one, are not signed at all.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let sign1 = CoseSign1::from_slice(bytes).map_err(|_| DocumentError::NoCose)?;
        // One spelling: no byte outside what is signed can be another.
        let again = sign1.clone().to_vec().map_err(|_| DocumentError::NoCose)?;
        if again != bytes || !sign1.unprotected.is_empty() {
            return Err(DocumentError::Spelling);
        }
        let es384 = RegisteredLabelWithPrivate::Assigned(iana::Algorithm::ES384);
        if sign1.protected.header.alg.as_ref() != Some(&es384) {
            return Err(DocumentError::Algorithm {
                found: format!("{:?}", sign1.protected.header.alg),
            });
        }
        if sign1.protected.original_data.as_deref() != Some(ES384_HEADER.as_slice()) {
            return Err(DocumentError::Header);
        }
        let signature = sign1
            .signature
            .as_slice()
            .try_into()
            .map_err(|_| DocumentError::Signature)?;
        let signed = sign1.tbs_data(&[]);
        let payload = sign1
            .payload
            .ok_or(DocumentError::Field { name: "payload" })?;
        Self::read(&payload, signature, signed)
    }

    fn read(payload: &[u8], signature: [u8; 96], signed: Vec<u8>) -> Result<Self, DocumentError> {
        let mut fields = Fields::parse(payload)?;
        if fields.text("digest")? != DIGEST {
            return Err(DocumentError::Field { name: "digest" });
        }
        let document = Self {
            module_id: fields.text("module_id")?,
            timestamp: fields.positive("timestamp")?,
            pcrs: fields.pcrs("pcrs")?,
            certificate: fields.data("certificate", MAX_CERTIFICATE_LEN)?.ok_or(
                DocumentError::Field {
                    name: "certificate",
                },
            )?,
            authorities: fields.certificates("cabundle")?,
            user_data: fields.data("user_data", MAX_DATA_LEN)?,
            signature,
            signed,
        };
        fields.data("nonce", MAX_DATA_LEN)?;
        fields.data("public_key", MAX_DATA_LEN)?;
        Ok(document)
    }

    /// Whether one of the registers that measure the image is missing or zero, as they are in an
    /// enclave whose console its owner reads.
    pub(super) fn is_debug(&self) -> bool {
        (0..=2).any(|index| {
            self.pcrs
                .get(&index)
                .is_none_or(|value| *value == [0; PCR_LEN])
        })
    }
}

/// The fields of a document, each of which is taken once.
struct Fields(Vec<(String, Value)>);

impl Fields {
    fn parse(mut payload: &[u8]) -> Result<Self, DocumentError> {
        let value: Value =
            coset::cbor::de::from_reader(&mut payload).map_err(|_| DocumentError::NoMap)?;
        let Value::Map(entries) = value else {
            return Err(DocumentError::NoMap);
        };
        if !payload.is_empty() {
            return Err(DocumentError::NoMap);
        }
        if entries.len() > MAX_FIELDS {
            return Err(DocumentError::Fields {
                found: entries.len(),
            });
        }
        let mut fields: Vec<(String, Value)> = Vec::new();
        for (name, value) in entries {
            let Value::Text(name) = name else {
                return Err(DocumentError::NoMap);
            };
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(DocumentError::NoMap);
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    fn take(&mut self, name: &'static str) -> Result<Value, DocumentError> {
        let at = self.0.iter().position(|(known, _)| known == name);
        at.map(|at| self.0.swap_remove(at).1)
            .ok_or(DocumentError::Field { name })
    }

    fn text(&mut self, name: &'static str) -> Result<String, DocumentError> {
        match self.take(name)? {
            Value::Text(text) if !text.is_empty() => Ok(text),
            _ => Err(DocumentError::Field { name }),
        }
    }

    fn positive(&mut self, name: &'static str) -> Result<u64, DocumentError> {
        self.take(name)?
            .into_integer()
            .ok()
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| *number > 0)
            .ok_or(DocumentError::Field { name })
    }

    /// Bytes that may be missing, or null.
    fn data(&mut self, name: &'static str, max: usize) -> Result<Option<Vec<u8>>, DocumentError> {
        match self.take(name) {
            Err(_) | Ok(Value::Null) => Ok(None),
            Ok(Value::Bytes(bytes)) if bytes.len() <= max => Ok(Some(bytes)),
            Ok(_) => Err(DocumentError::Field { name }),
        }
    }

    fn certificates(&mut self, name: &'static str) -> Result<Vec<Vec<u8>>, DocumentError> {
        let refused = DocumentError::Field { name };
        let Value::Array(entries) = self.take(name)? else {
            return Err(refused);
        };
        if !(1..=MAX_CERTIFICATES).contains(&entries.len()) {
            return Err(refused);
        }
        entries
            .into_iter()
            .map(|entry| match entry {
                Value::Bytes(bytes) if bytes.len() <= MAX_CERTIFICATE_LEN => Ok(bytes),
                _ => Err(refused.clone()),
            })
            .collect()
    }

    fn pcrs(&mut self, name: &'static str) -> Result<BTreeMap<u8, [u8; PCR_LEN]>, DocumentError> {
        let refused = DocumentError::Field { name };
        let Value::Map(entries) = self.take(name)? else {
            return Err(refused);
        };
        let count = entries.len();
        let pcrs: Option<BTreeMap<u8, [u8; PCR_LEN]>> = entries
            .into_iter()
            .map(|(index, value)| {
                let index = u8::try_from(index.into_integer().ok()?).ok()?;
                let value = value.into_bytes().ok()?.try_into().ok()?;
                (usize::from(index) < MAX_PCRS).then_some((index, value))
            })
            .collect();
        pcrs.filter(|pcrs| pcrs.len() == count).ok_or(refused)
    }
}

/// Bytes that are no attestation document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DocumentError {
    /// Not the frame.
    #[error("not a COSE_Sign1 message")]
    NoCose,
    /// The frame, spelt in another way.
    #[error("a COSE_Sign1 message that is spelt otherwise than the Nitro Secure Module spells it")]
    Spelling,
    /// Not signed as it must be.
    #[error("signed with {found}, where ES384 belongs; a document of QEMU's is not signed at all")]
    Algorithm {
        /// The algorithm it names.
        found: String,
    },
    /// More said of the signature than how it is made.
    #[error("a protected header with more in it than the algorithm, ES384")]
    Header,
    /// Not a signature's length.
    #[error("a signature that is not of 96 bytes")]
    Signature,
    /// Not the content.
    #[error("a message that does not hold a map of fields, each once")]
    NoMap,
    /// Too many fields.
    #[error("{found} fields, where a document has at most {MAX_FIELDS}")]
    Fields {
        /// How many there are.
        found: usize,
    },
    /// A field is not as it must be.
    #[error("a document whose field {name} is missing, empty, too long or of another kind")]
    Field {
        /// Which.
        name: &'static str,
    },
}

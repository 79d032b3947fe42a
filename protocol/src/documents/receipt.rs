//! Receipts: what ran, over what, under which policy and evidence, signed by the session
//! (protocol.md §12). An in-toto Statement v1 in a DSSE envelope, sealed to its readers.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use zeroize::Zeroizing;

use crate::{
    Card, Digest, Identity, Name, PartyName, SecretKey,
    crypto::{aead::Aes256Gcm, hpke::HpkeError, label},
    documents::{
        custody::ReceiptCustody,
        dsse::{DsseError, Envelope},
        record::Nonce,
        sealed_to::{SealTo, SealedTo},
    },
    encoding::{Base64, JsonError, check_version, parse_json, to_json},
    sealed::manifest::{WrappedKey, unwrap},
};

/// Largest receipt accepted, in bytes.
pub const MAX_LEN: usize = 16 * 1024 * 1024;
/// DSSE payload type of a receipt.
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
/// Largest value of one evidence or endorsement accepted, in bytes.
pub const MAX_EVIDENCE_LEN: usize = 256 * 1024;
/// Most characters of its media type.
pub const MAX_MEDIA_TYPE_LEN: usize = 127;
/// Most endorsements accepted beside one evidence.
pub const MAX_ENDORSEMENTS: usize = 16;
/// in-toto's type of a Statement v1.
pub const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";
/// The type of the predicate.
pub const PREDICATE_V1: &str = "urn:mc2:receipt:v1";

/// Reads endorsements, no more and no larger ones than a verifier reads.
pub(super) fn capped<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Endorsement>, D::Error> {
    let endorsements = Vec::<Endorsement>::deserialize(deserializer)?;
    let small = |one: &Endorsement| {
        one.value.0.len() <= MAX_EVIDENCE_LEN && one.media_type.len() <= MAX_MEDIA_TYPE_LEN
    };
    if endorsements.len() > MAX_ENDORSEMENTS || !endorsements.iter().all(small) {
        return Err(D::Error::custom(format!(
            "at most {MAX_ENDORSEMENTS} endorsements of {MAX_EVIDENCE_LEN} bytes each are taken"
        )));
    }
    Ok(endorsements)
}

/// An in-toto Statement about a job's outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    #[serde(rename = "_type")]
    statement_type: String,
    /// The job, and the object of each output and of what is in custody.
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    /// Everything else.
    pub predicate: Receipt,
}

/// One thing a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// `job`, `output:NAME` or `custody:NAME`.
    pub name: String,
    /// Its SHA-256.
    pub digest: SubjectDigest,
}

/// A digest as in-toto writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectDigest {
    /// SHA-256.
    pub sha256: Digest,
}

/// Room for what a receipt says of a failure: the longest reason and a step's number. What is said
/// takes as much however short it is, so that a receipt's length does not tell the host why a job
/// failed.
const FAILURE_ROOM: usize = 64;

/// The predicate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    version: u32,
    /// The session record's exact bytes.
    pub record: Base64,
    /// The submitter's nonce.
    pub nonce: Nonce,
    /// Evidence over record and nonce.
    pub evidence: Evidence,
    /// What the submitter appraised it with.
    pub endorsements: Vec<Endorsement>,
    /// The policy's exact bytes.
    pub policy: Base64,
    /// The approvals that counted, as their senders signed them.
    pub approvals: Vec<Envelope>,
    /// Digest of the submitter's card.
    pub submitter: Digest,
    /// SHA-256 of the job's exact bytes.
    pub job: Digest,
    /// The job's name in the policy.
    pub job_name: Name,
    /// Its number in the session, from 1.
    pub number: u64,
    /// What it read.
    pub inputs: Vec<ReceiptInput>,
    /// How it ended.
    pub status: Status,
    /// Of a job that failed its [`FailureDetail`](crate::documents::failure::FailureDetail), for the
    /// submitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<SealedTo>,
    /// Every step of the job, also those that did not run.
    pub steps: Vec<ReceiptStep>,
    /// What it released.
    pub outputs: Vec<ReceiptOutput>,
    /// What it left in custody.
    pub custody: Vec<ReceiptCustody>,
}

/// The TEE's own bytes in a RATS conceptual-message wrapper: the JSON record
/// `[media type, base64url of the bytes]` (draft-ietf-rats-msg-wrap §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(String, String)", into = "(String, String)")]
pub struct Evidence {
    /// Media type of the evidence.
    pub media_type: String,
    /// The TEE's own bytes.
    pub value: Base64,
}

impl TryFrom<(String, String)> for Evidence {
    type Error = String;

    fn try_from((media_type, value): (String, String)) -> Result<Self, String> {
        let value = URL_SAFE_NO_PAD
            .decode(value)
            .map_err(|error| format!("not unpadded base64url: {error}"))?;
        Ok(Self {
            media_type,
            value: value.into(),
        })
    }
}

impl From<Evidence> for (String, String) {
    fn from(evidence: Evidence) -> Self {
        (
            evidence.media_type,
            URL_SAFE_NO_PAD.encode(evidence.value.as_slice()),
        )
    }
}

/// Collateral the evidence was appraised with, wrapped the same way.
pub type Endorsement = Evidence;

/// One dataset version a job read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptInput {
    /// The dataset's name in the policy, or that of an output in custody.
    pub dataset: Name,
    /// Whose it is, or who keeps it.
    pub owner: PartyName,
    /// Its object id.
    pub object: Digest,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Status {
    /// Every step ended with success.
    Succeeded,
    /// A step did not; nothing it wrote to `/out` was released.
    Failed {
        /// Which step, from 0.
        step: u32,
        /// A stable word in kebab case: `trap`, `exit`, `memory-limit`, `time-limit`, ….
        reason: String,
    },
}

/// A step, and its figures for those who may see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptStep {
    /// The component's name in the policy.
    pub component: Name,
    /// [`StepUsage`](crate::documents::figures::StepUsage), for those whom the policy names.
    pub usage: Vec<SealedTo>,
    /// [`StepObserved`](crate::documents::figures::StepObserved), for the owners of the job's datasets.
    pub observed: Vec<SealedTo>,
}

/// One output that was released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptOutput {
    /// Its name in the policy.
    pub name: String,
    /// The step it comes from, from 0.
    pub step: u32,
    /// Its object id.
    pub object: Digest,
    /// Its [`OutputSecret`], for each recipient.
    pub recipients: Vec<SealedTo>,
}

/// What only an output's recipients know of it: 72 bytes, whatever the output is.
///
/// ```
/// use mc2_protocol::{Digest, Identity, SecretKey, documents::receipt::OutputSecret};
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let reader = Identity::generate("bank-a".parse()?, &mut rng);
/// let (session, job) = (Digest::of(b"the session record"), Digest::of(b"the job"));
/// let secret = OutputSecret {
///     key: SecretKey::generate(&mut rng),
///     length: 10,
///     sha256: Digest::of(b"0123456789"),
/// };
/// let sealed = secret.seal(&session, &job, "model", reader.card(), &mut rng);
/// let opened = OutputSecret::open(&session, &job, "model", &sealed, &reader)?;
/// assert_eq!(opened.length, 10);
/// assert!(OutputSecret::open(&session, &job, "another", &sealed, &reader).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct OutputSecret {
    /// Its data key.
    pub key: SecretKey,
    /// Its plaintext length in bytes before padding; of a folder with its table of paths.
    pub length: u64,
    /// SHA-256 of that plaintext.
    pub sha256: Digest,
}

/// A receipt sealed to its readers.
///
/// ```
/// use ed25519_dalek::SigningKey;
/// use mc2_protocol::{
///     Digest, Identity,
///     documents::{dsse::Envelope, receipt::{STATEMENT_TYPE, SealedReceipt}},
/// };
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let session = Digest::of(b"the session record");
/// let reader = Identity::generate("bank-a".parse()?, &mut rng);
/// let signing = SigningKey::from_bytes(&[1; 32]);
/// let envelope = Envelope::sign(STATEMENT_TYPE, b"the statement".to_vec(), &signing);
/// let bytes = SealedReceipt::seal(&envelope, &session, &[reader.card()], &mut rng).to_bytes();
/// // Opening shows what it says, not that it is true: its signature is checked next.
/// assert_eq!(SealedReceipt::parse(&bytes)?.open(&session, &reader)?, envelope);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedReceipt {
    version: u32,
    /// The content key wrapped to each reader.
    pub readers: Vec<WrappedKey>,
    /// The envelope sealed with AES-256-GCM under the content key, all-zero nonce, used once.
    pub ciphertext: Base64,
}

/// Why a receipt was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Not a receipt.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Not signed by the session's key.
    #[error(transparent)]
    Dsse(#[from] DsseError),
    /// A statement of another type.
    #[error("the statement is a {found:?}, expected {expected:?}")]
    Type {
        /// The type that was needed.
        expected: &'static str,
        /// The type it states.
        found: String,
    },
    /// The subjects are not the job and outputs of the predicate.
    #[error("the statement's subjects are not its job and outputs")]
    Subjects,
    /// This card is not among the readers.
    #[error("the receipt is not sealed to this card; its readers are {readers}")]
    NotAReader {
        /// Short digests of the readers' cards.
        readers: String,
    },
    /// A wrapped key or the content does not open.
    #[error("the receipt does not open: it was altered or belongs to another session")]
    Open,
}

impl Statement {
    /// The statement of a receipt.
    pub fn new(predicate: Receipt) -> Self {
        Self {
            statement_type: STATEMENT_V1.to_owned(),
            subject: predicate.subjects(),
            predicate_type: PREDICATE_V1.to_owned(),
            predicate,
        }
    }

    /// Signs the statement, which for every failure in the same place has one length.
    pub fn sign(&self, key: &SigningKey) -> Envelope {
        let mut payload = to_json(self);
        if let Status::Failed { step, reason } = &self.predicate.status {
            let said = reason.len() + step.to_string().len();
            payload.resize(payload.len() + FAILURE_ROOM.saturating_sub(said), b' ');
        }
        Envelope::sign(STATEMENT_TYPE, payload, key)
    }

    /// The statement in `envelope`, once the signature of `key` is checked.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify(envelope: &Envelope, key: &VerifyingKey) -> Result<Self, ReceiptError> {
        Self::parse(envelope.verify(STATEMENT_TYPE, key)?)
    }

    /// Reads the statement without checking its signature, to find the key that must verify it.
    ///
    /// # Errors
    /// [`ReceiptError`] when it is no receipt.
    pub fn claimed(envelope: &Envelope) -> Result<Self, ReceiptError> {
        Self::parse(envelope.payload.as_slice())
    }

    fn parse(payload: &[u8]) -> Result<Self, ReceiptError> {
        let statement: Self = parse_json("the receipt", payload, MAX_LEN)?;
        for (found, expected) in [
            (&statement.statement_type, STATEMENT_V1),
            (&statement.predicate_type, PREDICATE_V1),
        ] {
            if found != expected {
                let found = found.chars().take(100).collect();
                return Err(ReceiptError::Type { expected, found });
            }
        }
        check_version("the receipt", statement.predicate.version)?;
        if statement.subject != statement.predicate.subjects() {
            return Err(ReceiptError::Subjects);
        }
        Ok(statement)
    }
}

/// What a receipt is made of; the version is this release's.
#[allow(missing_docs, reason = "each field is documented in `Receipt`")]
pub struct ReceiptParts {
    pub record: Vec<u8>,
    pub nonce: Nonce,
    pub evidence: Evidence,
    pub endorsements: Vec<Endorsement>,
    pub policy: Vec<u8>,
    pub approvals: Vec<Envelope>,
    pub submitter: Digest,
    pub job: Digest,
    pub job_name: Name,
    pub number: u64,
    pub inputs: Vec<ReceiptInput>,
    pub status: Status,
    pub failure: Option<SealedTo>,
    pub steps: Vec<ReceiptStep>,
    pub outputs: Vec<ReceiptOutput>,
    pub custody: Vec<ReceiptCustody>,
}

impl Receipt {
    /// A receipt of these parts.
    pub fn new(parts: ReceiptParts) -> Self {
        Self {
            version: crate::VERSION,
            record: parts.record.into(),
            nonce: parts.nonce,
            evidence: parts.evidence,
            endorsements: parts.endorsements,
            policy: parts.policy.into(),
            approvals: parts.approvals,
            submitter: parts.submitter,
            job: parts.job,
            job_name: parts.job_name,
            number: parts.number,
            inputs: parts.inputs,
            status: parts.status,
            failure: parts.failure,
            steps: parts.steps,
            outputs: parts.outputs,
            custody: parts.custody,
        }
    }

    fn subjects(&self) -> Vec<Subject> {
        let job = Subject {
            name: "job".to_owned(),
            digest: SubjectDigest { sha256: self.job },
        };
        let outputs = self.outputs.iter().map(|output| Subject {
            name: format!("output:{}", output.name),
            digest: SubjectDigest {
                sha256: output.object,
            },
        });
        let custody = self.custody.iter().map(|output| Subject {
            name: format!("custody:{}", output.name),
            digest: SubjectDigest {
                sha256: output.object,
            },
        });
        std::iter::once(job).chain(outputs).chain(custody).collect()
    }
}

impl OutputSecret {
    const LEN: usize = 72;

    /// Seals it to one recipient.
    pub fn seal(
        &self,
        session: &Digest,
        job: &Digest,
        output: &str,
        to: &Card,
        by: &mut impl SealTo,
    ) -> SealedTo {
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        bytes[..32].copy_from_slice(self.key.expose());
        bytes[32..40].copy_from_slice(&self.length.to_be_bytes());
        bytes[40..].copy_from_slice(self.sha256.as_bytes());
        let info = output_info(session, job, output, to.digest());
        SealedTo::seal(&info, to, bytes.as_slice(), by)
    }

    /// Opens it as a recipient.
    ///
    /// # Errors
    /// [`HpkeError`] when it was sealed to another card, or for another session, job or output.
    pub fn open(
        session: &Digest,
        job: &Digest,
        output: &str,
        sealed: &SealedTo,
        with: &Identity,
    ) -> Result<Self, HpkeError> {
        let info = output_info(session, job, output, with.card().digest());
        let bytes = sealed.open(&info, with)?;
        let bytes: &[u8; Self::LEN] = bytes.as_slice().try_into().map_err(|_| HpkeError::Open)?;
        let (key, rest) = bytes.split_first_chunk::<32>().ok_or(HpkeError::Open)?;
        let (length, rest) = rest.split_first_chunk().ok_or(HpkeError::Open)?;
        let sha256 = rest.first_chunk().ok_or(HpkeError::Open)?;
        Ok(Self {
            key: SecretKey::filled(|into| into.copy_from_slice(key)),
            length: u64::from_be_bytes(*length),
            sha256: Digest::from_bytes(*sha256),
        })
    }
}

impl SealedReceipt {
    /// Seals a signed receipt to its readers.
    pub fn seal(
        envelope: &Envelope,
        session: &Digest,
        readers: &[&Card],
        by: &mut impl SealTo,
    ) -> Self {
        let key = by.key();
        let mut bytes = to_json(envelope);
        let tag = Aes256Gcm::new(&key).seal([0; 12], b"", &mut bytes);
        bytes.extend_from_slice(&tag);
        let readers = readers
            .iter()
            .map(|card| WrappedKey {
                card: *card.digest(),
                key: by.seal_to(card, &receipt_info(session, card.digest()), key.expose()),
            })
            .collect();
        Self {
            version: crate::VERSION,
            readers,
            ciphertext: bytes.into(),
        }
    }

    /// Parses a sealed receipt.
    ///
    /// # Errors
    /// Not one of this version, or more than [`MAX_LEN`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let receipt: Self = parse_json("the sealed receipt", bytes, 2 * MAX_LEN)?;
        check_version("the sealed receipt", receipt.version)?;
        Ok(receipt)
    }

    /// The bytes that are stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }

    /// Opens the receipt of `session` as `reader`; its signature is still to be checked.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn open(&self, session: &Digest, reader: &Identity) -> Result<Envelope, ReceiptError> {
        let card = reader.card().digest();
        let Some(wrapped) = self.readers.iter().find(|wrapped| wrapped.card == *card) else {
            let readers: Vec<String> = self
                .readers
                .iter()
                .map(|wrapped| wrapped.card.short())
                .collect();
            return Err(ReceiptError::NotAReader {
                readers: readers.join(", "),
            });
        };
        let key = unwrap(wrapped, &receipt_info(session, card), reader.private_key())
            .map_err(|_| ReceiptError::Open)?;
        let bytes = Aes256Gcm::new(&key)
            .open([0; 12], b"", self.ciphertext.as_slice())
            .map_err(|_| ReceiptError::Open)?;
        Ok(parse_json("the receipt's envelope", &bytes, 2 * MAX_LEN)?)
    }
}

fn output_info(session: &Digest, job: &Digest, output: &str, card: &Digest) -> Vec<u8> {
    let parts: [&[u8]; 4] = [
        session.as_bytes(),
        job.as_bytes(),
        output.as_bytes(),
        card.as_bytes(),
    ];
    label::context(label::OUTPUT, &parts)
}

fn receipt_info(session: &Digest, card: &Digest) -> Vec<u8> {
    label::context(label::RECEIPT_KEY, &[session.as_bytes(), card.as_bytes()])
}

//! The one kind of message to an enclave, and the answer to it (protocol.md §10).
//!
//! A message is JSON, signed by its sender as a DSSE envelope, sealed with HPKE to the session's
//! key. Its answer is JSON, signed by the session's key, sealed under a key exported from the same
//! HPKE context; where the message could not be opened there is no such key, and the answer is a
//! signed refusal that names nothing of the content.

use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _},
};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::{
    Card, DataKey, Digest, Identity, Name, SecretKey,
    crypto::{
        aead::{Aes256Gcm, NONCE_LEN},
        hpke::{HpkeError, PrivateKey, PublicKey, Sealed},
        label,
        secret::SecretBytes,
    },
    documents::{
        dsse::{self, DsseError, Envelope, EnvelopeSignature},
        receipt::{Endorsement, MAX_ENDORSEMENTS, MAX_EVIDENCE_LEN, MAX_MEDIA_TYPE_LEN},
        record::Nonce,
    },
    encoding::{Base64, JsonError, check_version, parse_json, secret_json, to_json},
};

/// Largest sealed message accepted, in bytes of its JSON.
pub const MAX_LEN: usize = 4 * 1024 * 1024;
/// DSSE payload type of a message.
pub const MESSAGE_TYPE: &str = "application/vnd.mc2.message.v1+json";
/// DSSE payload type of an answer.
pub const ANSWER_TYPE: &str = "application/vnd.mc2.answer.v1+json";
/// How far behind its sender's highest sequence number a message may be.
pub const SEQUENCE_WINDOW: u64 = 1024;

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Give the session the key of one object.
    Release,
    /// Approve the session's policy or one job.
    Approve,
    /// Run a job.
    Submit,
    /// Stop a running job.
    Cancel,
    /// End the session.
    End,
}

/// The body of a message.
#[derive(Clone, Serialize)]
#[serde(untagged)]
pub enum Body {
    /// See [`Kind::Release`].
    Release(Release),
    /// See [`Kind::Approve`].
    Approve(Approve),
    /// See [`Kind::Submit`].
    Submit(Submit),
    /// See [`Kind::Cancel`].
    Cancel(Cancel),
    /// See [`Kind::End`].
    End(End),
}

/// A data key, given to one session for a number of runs.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "FlatRelease", into = "FlatRelease")]
pub struct Release {
    /// The key, with the dataset's name in the policy.
    pub key: DataKey,
    /// For how many runs the key is good.
    pub runs: u32,
}

/// A release as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlatRelease {
    dataset: Name,
    object: Digest,
    key: SecretKey,
    runs: u32,
}

impl From<FlatRelease> for Release {
    fn from(flat: FlatRelease) -> Self {
        let key = DataKey {
            dataset: flat.dataset,
            object: flat.object,
            secret: flat.key,
        };
        Self {
            key,
            runs: flat.runs,
        }
    }
}

impl From<Release> for FlatRelease {
    fn from(Release { key, runs }: Release) -> Self {
        Self {
            dataset: key.dataset,
            object: key.object,
            key: key.secret,
            runs,
        }
    }
}

/// A party's consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Approve {
    /// To every job the policy of this digest allows, in this session.
    Policy(Digest),
    /// To the one job of this digest.
    Job(Digest),
}

/// A job to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// The job's exact bytes.
    pub job: Base64,
    /// The nonce of the evidence this submitter appraised: the receipt repeats both.
    pub nonce: Nonce,
    /// The endorsements it appraised the evidence with, for the receipt: no more and no larger
    /// ones than a verifier of the receipt reads.
    #[serde(deserialize_with = "capped")]
    pub endorsements: Vec<Endorsement>,
}

fn capped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Endorsement>, D::Error> {
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

/// A job to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Its number in the session.
    pub number: u64,
}

/// The session has done what it was opened for: it forgets its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {}

/// What travels: the type, and HPKE's output over the signed message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedMessage {
    version: u32,
    /// Bound into HPKE's `info`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The encapsulated key and the sealed envelope.
    pub sealed: Sealed,
}

/// The signed content of a message.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content<B> {
    version: u32,
    #[serde(rename = "type")]
    kind: Kind,
    session: Digest,
    sender: Digest,
    sequence: u64,
    body: B,
}

/// A DSSE envelope whose payload may hold a key, and is wiped.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretEnvelope<'a> {
    #[serde(rename = "payloadType")]
    payload_type: &'a str,
    payload: SecretBytes,
    signatures: Vec<EnvelopeSignature>,
}

/// A message that was opened, whose signature was checked and whose body was then parsed.
pub struct Message {
    /// Digest of the sender's card.
    pub sender: Digest,
    /// The sender's sequence number.
    pub sequence: u64,
    /// What is asked.
    pub body: Body,
    /// The signed envelope of an approval, for receipts; of no other type, since one may hold a key.
    pub approval: Option<Envelope>,
}

/// Why a message whose seal opened was refused before it was acted on.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Nobody who may send one signed it. That is all that is said: until the sender is known,
    /// nothing of what was opened is quoted.
    #[error(
        "the message is not a signed message of a party of this session's policy: sign it with the \
         key of the card that it names as its sender and that the policy has"
    )]
    Unauthenticated,
    /// The signed content names another session or type than the one it came to.
    #[error("the message was signed for another {what}")]
    Elsewhere {
        /// `session` or `type`.
        what: &'static str,
    },
    /// Its signed body is none of its type.
    #[error(transparent)]
    Body(#[from] JsonError),
}

impl MessageError {
    /// A stable word in kebab case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated | Self::Elsewhere { .. } => "unauthenticated",
            Self::Body(_) => "malformed",
        }
    }
}

/// The key an answer to one message is sealed under.
pub struct AnswerKey(SecretKey);

impl Body {
    /// What kind of message has this body.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Release(_) => Kind::Release,
            Self::Approve(_) => Kind::Approve,
            Self::Submit(_) => Kind::Submit,
            Self::Cancel(_) => Kind::Cancel,
            Self::End(_) => Kind::End,
        }
    }

    fn parse(kind: Kind, raw: &RawValue) -> Result<Self, JsonError> {
        fn body<T: DeserializeOwned>(raw: &RawValue) -> Result<T, JsonError> {
            parse_json("the message's body", raw.get().as_bytes(), MAX_LEN)
        }
        Ok(match kind {
            Kind::Release => Self::Release(body(raw)?),
            Kind::Approve => Self::Approve(body(raw)?),
            Kind::Submit => Self::Submit(body(raw)?),
            Kind::Cancel => Self::Cancel(body(raw)?),
            Kind::End => Self::End(body(raw)?),
        })
    }
}

impl SealedMessage {
    /// Signs and seals `body` from `sender` to the session `session` with key `to`.
    ///
    /// Returns the message's exact bytes and what opens its answer.
    pub fn seal(
        body: &Body,
        session: Digest,
        to: &PublicKey,
        sender: &Identity,
        sequence: u64,
        rng: &mut impl CryptoRng,
    ) -> (Vec<u8>, PendingAnswer) {
        let kind = body.kind();
        let content = Content {
            version: crate::VERSION,
            kind,
            session,
            sender: *sender.card().digest(),
            sequence,
            body,
        };
        let payload = secret_json(&content);
        let plaintext = secret_json(&SecretEnvelope {
            payload_type: MESSAGE_TYPE,
            signatures: dsse::sign(MESSAGE_TYPE, &payload, sender.signing_key()),
            payload: SecretBytes(payload),
        });
        let (sealed, key) = to.seal_with_answer_key(
            &info(kind, &session),
            &plaintext,
            label::ANSWER.as_bytes(),
            rng,
        );
        let bytes = to_json(&Self {
            version: crate::VERSION,
            kind,
            sealed,
        });
        let pending = PendingAnswer {
            request: Digest::of(&bytes),
            session,
            key: AnswerKey(key),
        };
        (bytes, pending)
    }

    /// Parses the outside of a message.
    ///
    /// # Errors
    /// Not a sealed message of this version, or more than [`MAX_LEN`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let message: Self = parse_json("the message", bytes, MAX_LEN)?;
        check_version("the message", message.version)?;
        Ok(message)
    }

    /// Opens the message with the session's key; the content is not looked at yet.
    ///
    /// # Errors
    /// [`HpkeError`] when it was sealed to another session or as another type, or altered.
    pub fn open(
        &self,
        session: &Digest,
        with: &PrivateKey,
    ) -> Result<(OpenedMessage, AnswerKey), HpkeError> {
        let (plaintext, key) = with.open_with_answer_key(
            &info(self.kind, session),
            &self.sealed,
            label::ANSWER.as_bytes(),
        )?;
        let opened = OpenedMessage {
            kind: self.kind,
            session: *session,
            plaintext,
        };
        Ok((opened, AnswerKey(key)))
    }
}

/// A message whose seal is open and whose signature is still to be checked.
pub struct OpenedMessage {
    kind: Kind,
    session: Digest,
    plaintext: Zeroizing<Vec<u8>>,
}

impl OpenedMessage {
    /// Checks the signature of the party the message names, found by `party`, and only then
    /// parses the body.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn verify<'p>(
        self,
        party: impl FnOnce(&Digest) -> Option<&'p Card>,
    ) -> Result<Message, MessageError> {
        let envelope: SecretEnvelope<'_> =
            parse_json("the message's envelope", &self.plaintext, MAX_LEN)
                .map_err(|_| MessageError::Unauthenticated)?;
        let SecretEnvelope {
            payload_type,
            payload: SecretBytes(payload),
            signatures,
        } = envelope;
        if payload_type != MESSAGE_TYPE {
            return Err(MessageError::Unauthenticated);
        }
        let signed = Signed {
            payload: &payload,
            signatures: &signatures,
        };
        let mut message = signed.authenticate(self.kind, &self.session, party)?;
        if let Body::Approve(_) = message.body {
            message.approval = Some(Envelope {
                payload_type: payload_type.to_owned(),
                payload: payload.as_slice().into(),
                signatures,
            });
        }
        Ok(message)
    }
}

/// The content of a message's envelope, not yet believed.
struct Signed<'a> {
    payload: &'a [u8],
    signatures: &'a [EnvelopeSignature],
}

impl Signed<'_> {
    fn authenticate<'p>(
        &self,
        kind: Kind,
        session: &Digest,
        party: impl FnOnce(&Digest) -> Option<&'p Card>,
    ) -> Result<Message, MessageError> {
        // The sender must be known before the signature can be checked: this reads that one field
        // of bytes not yet believed, and uses it for nothing but to choose the key.
        let sender = sender_of(self.payload).map_err(|_| MessageError::Unauthenticated)?;
        let card = party(&sender).ok_or(MessageError::Unauthenticated)?;
        dsse::verify(
            MESSAGE_TYPE,
            self.payload,
            self.signatures,
            card.verifying_key(),
        )
        .map_err(|_| MessageError::Unauthenticated)?;
        let content: Content<&RawValue> =
            parse_json("the message's content", self.payload, MAX_LEN)?;
        check_version("the message's content", content.version)?;
        if content.session != *session {
            return Err(MessageError::Elsewhere { what: "session" });
        }
        if content.kind != kind {
            return Err(MessageError::Elsewhere { what: "type" });
        }
        Ok(Message {
            sender,
            sequence: content.sequence,
            body: Body::parse(content.kind, content.body)?,
            approval: None,
        })
    }
}

fn sender_of(payload: &[u8]) -> Result<Digest, JsonError> {
    Ok(parse_json::<Content<&RawValue>>("the message's content", payload, MAX_LEN)?.sender)
}

/// The approval in a signed envelope found in a receipt.
///
/// # Errors
/// [`MessageError`] when it is not an approval by `card` for `session`.
pub fn verify_approval(
    envelope: &Envelope,
    session: &Digest,
    card: &Card,
) -> Result<Approve, MessageError> {
    if envelope.payload_type != MESSAGE_TYPE {
        return Err(MessageError::Unauthenticated);
    }
    let signed = Signed {
        payload: envelope.payload.as_slice(),
        signatures: &envelope.signatures,
    };
    let party = |sender: &Digest| (sender == card.digest()).then_some(card);
    match signed.authenticate(Kind::Approve, session, party)?.body {
        Body::Approve(approve) => Ok(approve),
        _ => Err(MessageError::Elsewhere { what: "type" }),
    }
}

/// The digest of the card that a signed message names as its sender; not yet believed.
///
/// # Errors
/// [`JsonError`] when the payload is no message.
pub fn claimed_sender(envelope: &Envelope) -> Result<Digest, JsonError> {
    sender_of(envelope.payload.as_slice())
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// The key was taken.
    Released,
    /// The approval was counted.
    Approved,
    /// The job runs under this number in the session.
    Submitted {
        /// Its number, from 1.
        number: u64,
    },
    /// The job is being stopped, or had ended.
    Cancelled,
    /// The session is over and its keys are forgotten.
    Ended,
    /// Nothing was done.
    Refused(Refused),
}

/// Why an enclave did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// A stable word in kebab case.
    pub code: String,
    /// What was expected, what was found, what to do.
    pub message: String,
}

impl Refused {
    /// A refusal by its code and what is to be said.
    pub fn new(code: &str, message: impl ToString) -> Self {
        Self {
            code: code.to_owned(),
            message: message.to_string(),
        }
    }
}

/// The signed content of an answer.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerContent {
    version: u32,
    session: Digest,
    request: Digest,
    outcome: Outcome,
}

/// An answer as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// A 12-byte nonce, then the envelope sealed with AES-256-GCM under the exported key.
    Sealed(Base64),
    /// A signed refusal of a message that could not be opened.
    Signed(Envelope),
}

impl Answer {
    /// Signs an outcome over the digest of the request's bytes, and seals it where there is a key.
    pub fn new(
        outcome: Outcome,
        session: Digest,
        request: Digest,
        signing_key: &SigningKey,
        seal_under: Option<&AnswerKey>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let content = AnswerContent {
            version: crate::VERSION,
            session,
            request,
            outcome,
        };
        let envelope = Envelope::sign(ANSWER_TYPE, to_json(&content), signing_key);
        let Some(AnswerKey(key)) = seal_under else {
            return Self::Signed(envelope);
        };
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let mut bytes = to_json(&envelope);
        let tag = Aes256Gcm::new(key).seal(nonce, b"", &mut bytes);
        Self::Sealed([&nonce[..], &bytes, &tag].concat().into())
    }

    /// Parses an answer's bytes.
    ///
    /// # Errors
    /// Not an answer, or more than [`MAX_LEN`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        parse_json("the answer", bytes, MAX_LEN)
    }
}

/// What a sender keeps to read the answer to its message.
pub struct PendingAnswer {
    request: Digest,
    session: Digest,
    key: AnswerKey,
}

/// Why an answer was not believed.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not an answer at all.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Sealed under another key, or altered.
    #[error("the answer does not open: it was altered or answers another message")]
    Open,
    /// Not signed by the session.
    #[error("the answer is not the enclave's: {0}")]
    Dsse(#[from] DsseError),
    /// Signed by the session for another message.
    #[error("the answer is to another message of this session")]
    Elsewhere,
}

impl PendingAnswer {
    /// Opens and checks the answer.
    ///
    /// # Errors
    /// [`AnswerError`]: whatever it says is then the host's word, not the enclave's.
    pub fn open(
        &self,
        answer: &Answer,
        session_key: &ed25519_dalek::VerifyingKey,
    ) -> Result<Outcome, AnswerError> {
        let envelope = match answer {
            Answer::Signed(envelope) => envelope.clone(),
            Answer::Sealed(bytes) => {
                let (nonce, sealed) = bytes
                    .0
                    .split_first_chunk::<NONCE_LEN>()
                    .ok_or(AnswerError::Open)?;
                let opened = Aes256Gcm::new(&self.key.0)
                    .open(*nonce, b"", sealed)
                    .map_err(|_| AnswerError::Open)?;
                parse_json("the answer's envelope", &opened, MAX_LEN)?
            }
        };
        let payload = envelope.verify(ANSWER_TYPE, session_key)?;
        let content: AnswerContent = parse_json("the answer's content", payload, MAX_LEN)?;
        check_version("the answer's content", content.version)?;
        if content.session != self.session || content.request != self.request {
            return Err(AnswerError::Elsewhere);
        }
        Ok(content.outcome)
    }
}

/// Which sequence numbers of one sender were seen: the last [`SEQUENCE_WINDOW`] of them, a bit each.
#[derive(Clone, Debug, Default)]
pub struct SequenceWindow {
    highest: Option<u64>,
    /// Whether a number of the window was seen, at its remainder.
    seen: [u64; (SEQUENCE_WINDOW / 64) as usize],
}

impl SequenceWindow {
    /// Takes `sequence` if it was never seen and is not too old.
    pub fn accept(&mut self, sequence: u64) -> bool {
        match self.highest {
            Some(highest) if sequence <= highest => {
                if highest - sequence >= SEQUENCE_WINDOW || self.is_seen(sequence) {
                    return false;
                }
            }
            highest => {
                // What leaves the window makes room for what comes in.
                let ahead = highest.map_or(0, |highest| sequence - highest);
                for step in 0..ahead.min(SEQUENCE_WINDOW) {
                    let (word, bit) = place(sequence - step);
                    self.seen[word] &= !bit;
                }
                self.highest = Some(sequence);
            }
        }
        let (word, bit) = place(sequence);
        self.seen[word] |= bit;
        true
    }

    fn is_seen(&self, sequence: u64) -> bool {
        let (word, bit) = place(sequence);
        self.seen[word] & bit != 0
    }
}

/// The word and the bit of a sequence number.
fn place(sequence: u64) -> (usize, u64) {
    let at = sequence % SEQUENCE_WINDOW;
    ((at / 64) as usize, 1 << (at % 64))
}

fn info(kind: Kind, session: &Digest) -> Vec<u8> {
    let kind: &[u8] = match kind {
        Kind::Release => b"release",
        Kind::Approve => b"approve",
        Kind::Submit => b"submit",
        Kind::Cancel => b"cancel",
        Kind::End => b"end",
    };
    label::context(label::MESSAGE, &[kind, session.as_bytes()])
}

#[cfg(test)]
mod tests;

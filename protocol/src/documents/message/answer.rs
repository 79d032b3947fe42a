//! Answers: signed by the session, sealed to who asked.

use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use super::{MAX_LEN, SessionStatus};
use crate::{
    Digest, SecretKey,
    crypto::aead::{Aes256Gcm, NONCE_LEN},
    documents::dsse::{DsseError, Envelope},
    encoding::{Base64, JsonError, check_version, parse_json, to_json},
};

/// DSSE payload type of an answer.
pub const ANSWER_TYPE: &str = "application/vnd.mc2.answer.v1+json";

/// The key an answer to one message is sealed under.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct AnswerKey(pub(super) SecretKey);

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// The key was taken.
    Released,
    /// The key for guests was taken.
    KeyTaken,
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
    /// What the session has, and what it waits for.
    Status(SessionStatus),
    /// The answer to a start's challenge was taken.
    Answered,
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

/// What a sender keeps to read the answer to its message: a secret, which it may keep for a later
/// process as [`secret_json`](crate::encoding::secret_json) writes it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    pub(super) const fn new(request: Digest, session: Digest, key: AnswerKey) -> Self {
        Self {
            request,
            session,
            key,
        }
    }

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

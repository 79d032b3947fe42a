//! The storage interface: what the runtime, and a client, ask of the host (protocol.md §9).
//!
//! Objects are sealed; the host sees ciphertext, manifests and sizes. Nothing it answers is used
//! before it is checked.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::{
    Card, Digest, Identity, Name,
    crypto::{hpke::Sealed, label},
    documents::{dsse::Envelope, receipt::SealedReceipt},
    encoding::{Base64, Hex, JsonError, parse_json, to_json},
    sealed::manifest::MAX_STREAMS,
};

/// Largest component accepted, in bytes.
pub const MAX_COMPONENT_LEN: usize = 256 * 1024 * 1024;
/// Most bytes asked for or sent in one request of an object's parts.
pub const MAX_PART_LEN: usize = 8 * 1024 * 1024;
/// DSSE payload type of a progress event.
pub const EVENT_TYPE: &str = "application/vnd.mc2.event.v1+json";
/// Largest sealed event accepted, in bytes.
pub const MAX_EVENT_LEN: usize = 64 * 1024;

/// An upload in progress: 16 random bytes chosen by the uploader.
pub type UploadId = Hex<16>;

/// How a job ended, as the host may know it: the query of the receipt's `PUT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Whether every step ended with success.
    pub success: bool,
}

/// Largest question about a job's start accepted, in bytes.
pub const MAX_START_LEN: usize = 128 * 1024;

/// What a session draws when a job's start must be answered for: 32 random bytes.
pub type StartChallenge = Hex<32>;

/// What a job waits for before it starts, as the host hands it on to those who answer. It is the
/// host's word; an answer to a question that no enclave asked does nothing.
///
/// ```
/// use mc2_protocol::{Digest, documents::storage::StartQuestion, encoding::Hex};
///
/// let question = StartQuestion {
///     policy: Digest::of(b"the policy"),
///     job: Digest::of(b"the job"),
///     challenge: Hex([7; 32]),
///     datasets: vec!["transactions".parse()?],
/// };
/// assert_eq!(StartQuestion::parse(&question.to_bytes())?, question);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartQuestion {
    /// Digest of the session's policy, whose expiry is to be looked at.
    pub policy: Digest,
    /// The job digest.
    pub job: Digest,
    /// What the answer repeats.
    pub challenge: StartChallenge,
    /// The datasets for each of which its broker or its owner must answer.
    pub datasets: Vec<Name>,
}

impl StartQuestion {
    /// Parses a question.
    ///
    /// # Errors
    /// Not one, or more than [`MAX_START_LEN`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        parse_json("the question about a job's start", bytes, MAX_START_LEN)
    }

    /// The bytes that travel.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }
}

/// A progress event for one recipient.
///
/// ```
/// use ed25519_dalek::SigningKey;
/// use mc2_protocol::{
///     Digest, Identity,
///     documents::storage::{Event, SealedEvent},
/// };
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let recipient = Identity::generate("bank-a".parse()?, &mut rng);
/// let (session, signing) = (Digest::of(b"the session record"), SigningKey::from_bytes(&[1; 32]));
/// let event = Event {
///     session,
///     number: 1,
///     sequence: 0,
///     permille: 420,
///     text: "joined orders".to_owned(),
/// };
/// let sealed = SealedEvent::seal(&event, recipient.card(), &signing, &mut rng);
/// assert_eq!(sealed.open(&session, &signing.verifying_key(), &recipient)?, event);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedEvent {
    /// Digest of the recipient's card.
    pub card: Digest,
    /// The signed event, sealed to the card.
    pub sealed: Sealed,
}

/// What a guest said of its progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The session's digest.
    pub session: Digest,
    /// The job's number in the session.
    pub number: u64,
    /// Position among the job's events, from 0.
    pub sequence: u64,
    /// Thousandths done, 0 to 1000.
    pub permille: u16,
    /// The guest's words: untrusted, no control characters.
    pub text: String,
}

/// Why an event was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the progress event is not this session's, or was altered")]
pub struct EventError;

impl SealedEvent {
    /// Signs an event by the session and seals it to one recipient.
    pub fn seal(
        event: &Event,
        recipient: &Card,
        signing_key: &ed25519_dalek::SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let envelope = Envelope::sign(EVENT_TYPE, to_json(event), signing_key);
        let info = event_info(&event.session, recipient.digest());
        let sealed = recipient.public_key().seal(&info, &to_json(&envelope), rng);
        Self {
            card: *recipient.digest(),
            sealed,
        }
    }

    /// Parses a sealed event.
    ///
    /// # Errors
    /// Not an event, or more than [`MAX_EVENT_LEN`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        parse_json("the event", bytes, MAX_EVENT_LEN)
    }

    /// Opens and checks an event of `session`.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn open(
        &self,
        session: &Digest,
        session_key: &ed25519_dalek::VerifyingKey,
        recipient: &Identity,
    ) -> Result<Event, EventError> {
        let info = event_info(session, recipient.card().digest());
        let bytes = recipient
            .private_key()
            .open(&info, &self.sealed)
            .map_err(|_| EventError)?;
        let envelope: Envelope =
            parse_json("the event", &bytes, MAX_EVENT_LEN).map_err(|_| EventError)?;
        let payload = envelope
            .verify(EVENT_TYPE, session_key)
            .map_err(|_| EventError)?;
        let event: Event =
            parse_json("the event", payload, MAX_EVENT_LEN).map_err(|_| EventError)?;
        if event.session != *session {
            return Err(EventError);
        }
        Ok(event)
    }
}

/// The answer to `GET /v1/sessions/{session}/jobs/{number}?after=N`, for clients: the state, and
/// the sealed events after the first `N`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobStatus {
    /// How far it is.
    pub state: crate::documents::control::JobState,
    /// Sealed events, oldest first, as they were stored.
    pub events: Vec<SealedEvent>,
    /// The value of `after` for the next question.
    pub next: u64,
    /// The sealed receipt of a job that has ended, where it was asked for and is not large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<SealedReceipt>,
}

/// Largest receipt that comes with a job's status, in bytes.
pub const MAX_RECEIPT_LEN: usize = 256 * 1024;

/// Most bytes of an [`UploadProgress`]: as many streams as an object has, each in few words.
pub const MAX_PROGRESS_LEN: usize = MAX_STREAMS * 96 + 4096;

/// `GET /v1/uploads/{upload}`: how far an upload is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadProgress {
    /// The streams that were begun.
    pub streams: Vec<StreamProgress>,
}

/// How far a stream of an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamProgress {
    /// Its number in the manifest.
    pub index: usize,
    /// How many of its sealed bytes there are.
    pub file: u64,
    /// How many bytes of the list of its segments' digests.
    pub digests: u64,
}

impl UploadProgress {
    /// Parses its bytes.
    ///
    /// # Errors
    /// No such answer, or more than [`MAX_PROGRESS_LEN`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        parse_json("the upload's progress", bytes, MAX_PROGRESS_LEN)
    }
}

/// The answer to a committed upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Committed {
    /// The object's id.
    pub object: Digest,
}

/// Opaque bytes in JSON.
pub type Bytes = Base64;

fn event_info(session: &Digest, card: &Digest) -> Vec<u8> {
    label::context(label::EVENT, &[session.as_bytes(), card.as_bytes()])
}

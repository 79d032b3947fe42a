//! Signing and sealing a message, and opening one: the sender is known before its body is parsed.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{
    MAX_LEN,
    answer::{AnswerKey, PendingAnswer},
    body::{Approve, Body, Kind},
};
use crate::{
    Card, Digest, Identity,
    crypto::{
        hpke::{HpkeError, PrivateKey, PublicKey, Sealed},
        label,
        secret::SecretBytes,
    },
    documents::dsse::{self, Envelope, EnvelopeSignature},
    encoding::{JsonError, check_version, parse_json, secret_json, to_json},
};

/// DSSE payload type of a message.
pub const MESSAGE_TYPE: &str = "application/vnd.mc2.message.v1+json";

/// What travels: the type, and HPKE's output over the signed message.
///
/// ```
/// use mc2_protocol::{
///     Digest, Identity,
///     crypto::hpke::PrivateKey,
///     documents::message::{Approve, Body, SealedMessage},
/// };
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// // The key is the one in the session's record, once its evidence was appraised.
/// let session = Digest::of(b"the session record");
/// let enclave = PrivateKey::generate(&mut rng);
/// let alice = Identity::generate("alice".parse()?, &mut rng);
/// let body = Body::Approve(Approve::Policy(Digest::of(b"the policy")));
/// let (bytes, _answer) =
///     SealedMessage::seal(&body, session, &enclave.public_key(), &alice, 0, &mut rng);
///
/// // In the enclave: opened, then believed only of a party of the policy.
/// let (opened, _answer_key) = SealedMessage::parse(&bytes)?.open(&session, &enclave)?;
/// let message = opened.verify(|card| (card == alice.card().digest()).then_some(alice.card()))?;
/// assert!(matches!(message.body, Body::Approve(Approve::Policy(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedMessage {
    pub(super) version: u32,
    /// Bound into HPKE's `info`.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The encapsulated key and the sealed envelope.
    pub sealed: Sealed,
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
        let pending = PendingAnswer::new(Digest::of(&bytes), session, AnswerKey(key));
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

/// The signed content of a message.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content<B> {
    pub(super) version: u32,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) session: Digest,
    pub(super) sender: Digest,
    pub(super) sequence: u64,
    pub(super) body: B,
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

pub(super) fn info(kind: Kind, session: &Digest) -> Vec<u8> {
    let kind: &[u8] = match kind {
        Kind::Release => b"release",
        Kind::Approve => b"approve",
        Kind::Submit => b"submit",
        Kind::Cancel => b"cancel",
        Kind::End => b"end",
        Kind::Status => b"status",
        Kind::GuestKey => b"guest-key",
        Kind::Start => b"start",
    };
    label::context(label::MESSAGE, &[kind, session.as_bytes()])
}

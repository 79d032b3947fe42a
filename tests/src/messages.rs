//! Messages to a session, made by hand: under any sequence number, to any address.

use mc2_client::{
    http::{HttpError, Request},
    session::Session,
};
use mc2_protocol::{
    Digest, Identity,
    crypto::{aead::Aes256Gcm, label},
    documents::message::{
        ANSWER_TYPE, Answer, Body, MAX_LEN, Outcome, PendingAnswer, SealedMessage, Submit,
    },
};
use mc2_wire::routes::messages_path;
use serde::Deserialize;

use crate::{Stack, rng};

/// A message of `sender` to the session, sealed, and what opens its answer.
pub fn sealed(
    session: &Session<'_>,
    sender: &Identity,
    sequence: u64,
    body: &Body,
) -> (Vec<u8>, PendingAnswer) {
    let appraised = session.appraised();
    let to = appraised.hpke_public_key();
    SealedMessage::seal(body, *appraised.digest(), &to, sender, sequence, &mut rng())
}

/// The submission of these exact bytes as a job.
pub fn submission(session: &Session<'_>, job: Vec<u8>) -> Body {
    Body::Submit(Submit {
        job: job.into(),
        nonce: *session.nonce(),
        endorsements: Vec::new(),
    })
}

/// Sends any bytes as a submission, sealed to the session as a message is, and opens the answer.
pub async fn forged(stack: &Stack, session: &Session<'_>, plaintext: &[u8]) -> Outcome {
    let appraised = session.appraised();
    let digest = *appraised.digest();
    let info = label::context(label::MESSAGE, &[b"submit", digest.as_bytes()]);
    let (sealed, key) = appraised.hpke_public_key().seal_with_answer_key(
        &info,
        plaintext,
        label::ANSWER.as_bytes(),
        &mut rng(),
    );
    let message = serde_json::json!({ "version": 1, "type": "submit", "sealed": sealed });
    let answer = stack.deliver(&digest, message.to_string().into_bytes());
    let Answer::Sealed(bytes) = answer.await.expect("an answer") else {
        panic!("the seal opened, so the answer is sealed");
    };
    let (nonce, sealed) = bytes.0.split_first_chunk().expect("a nonce");
    let opened = Aes256Gcm::new(&key)
        .open(*nonce, b"", sealed)
        .expect("it opens");
    let envelope = serde_json::from_slice(&opened).expect("an envelope");
    public_outcome(session, &Answer::Signed(envelope))
}

impl Stack {
    /// Puts bytes where the messages to a session go, as anybody can.
    ///
    /// # Errors
    /// The host refuses.
    pub async fn deliver(&self, session: &Digest, bytes: Vec<u8>) -> Result<Answer, HttpError> {
        let call = Request::post(messages_path(session), bytes, MAX_LEN);
        let answer = self.http().send(&call).await?;
        Ok(Answer::parse(&answer.body).expect("an answer"))
    }

    /// Sends a message made by hand and opens its answer.
    pub async fn say(
        &self,
        session: &Session<'_>,
        sender: &Identity,
        sequence: u64,
        body: &Body,
    ) -> Outcome {
        let (bytes, pending) = sealed(session, sender, sequence, body);
        let answer = self
            .deliver(session.appraised().digest(), bytes)
            .await
            .expect("an answer");
        let key = session.appraised().signing_public_key();
        pending.open(&answer, &key).expect("the enclave's answer")
    }
}

/// The code of a refusal; empty where it is none.
pub fn code(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused(refused) => &refused.code,
        _ => "",
    }
}

/// What an answer to a message that could not be opened says, signed by the session.
pub fn public_outcome(session: &Session<'_>, answer: &Answer) -> Outcome {
    #[derive(Deserialize)]
    struct Content {
        outcome: Outcome,
    }
    let Answer::Signed(envelope) = answer else {
        panic!("the answer is sealed")
    };
    let key = session.appraised().signing_public_key();
    let payload = envelope
        .verify(ANSWER_TYPE, &key)
        .expect("the session's signature");
    let content: Content = serde_json::from_slice(payload).expect("an answer");
    content.outcome
}

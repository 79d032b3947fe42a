//! The control interface: what the host asks of the runtime (protocol.md §9).
//!
//! The runtime opens a connection to the host with `GET /v1/control`, `Connection: Upgrade` and
//! `Upgrade: mc2-control/1`; after `101 Switching Protocols` the host is the HTTP/1.1 client on
//! that connection. Bodies are JSON.

use ed25519_dalek::{Signature, Signer as _};
use serde::{Deserialize, Serialize};

use crate::{
    Card, Digest, Identity,
    crypto::label,
    documents::{
        receipt::{self, Endorsement, Evidence},
        record::Nonce,
    },
    encoding::{Base64, Hex},
};

/// Largest control request accepted, in bytes.
pub const MAX_LEN: usize = 8 * 1024 * 1024;

/// 32 random bytes that one runtime process takes once.
pub type Challenge = Hex<32>;

/// `POST /v1/challenges`: a challenge for whoever is about to open a session under a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskChallenge {
    /// SHA-256 of the policy's exact bytes: the host finds a process by it.
    pub policy: Digest,
}

/// The answer to [`AskChallenge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeGiven {
    /// To be signed, once.
    pub challenge: Challenge,
}

/// `POST /v1/sessions`: measure the policy's components and open a session for it.
///
/// A party the policy names signs for it, so that nobody opens a session in another's name, nor
/// one that was opened before.
///
/// ```
/// use mc2_protocol::{Digest, Identity, documents::control::OpenSession, encoding::Hex};
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let (alice, mallory) = ("alice".parse()?, "mallory".parse()?);
/// let alice = Identity::generate(alice, &mut rng);
/// let mallory = Identity::generate(mallory, &mut rng);
/// // The challenge is the process's, the nonce the opener's own.
/// let (challenge, nonce) = (Hex([1; 32]), Hex([2; 32]));
/// let open = OpenSession::sign(b"the policy's text", nonce, challenge, &alice);
///
/// // In the enclave: believed of a party of the policy, and over what was hashed there.
/// let policy = Digest::of(b"the policy's text");
/// let party = |card: &Digest| (card == alice.card().digest()).then_some(alice.card());
/// assert!(open.verify(&policy, party).is_ok());
/// assert!(open.verify(&Digest::of(b"another"), party).is_err());
/// let open = OpenSession::sign(b"the policy's text", nonce, challenge, &mallory);
/// assert!(open.verify(&policy, party).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// The policy's exact bytes.
    pub policy: Base64,
    /// The asking verifier's nonce.
    pub nonce: Nonce,
    /// What the process gave.
    pub challenge: Challenge,
    /// Digest of the opener's card.
    pub opener: Digest,
    /// The opener's Ed25519 signature over label, challenge, policy digest and nonce.
    pub signature: Hex<64>,
}

/// Nobody whom the policy names signed this opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the opening of the session is not signed by a card of its policy over this challenge, policy \
     and nonce: open it as a party the policy names"
)]
pub struct OpeningError;

impl OpenSession {
    /// Signs an opening.
    pub fn sign(policy: &[u8], nonce: Nonce, challenge: Challenge, opener: &Identity) -> Self {
        let signed = opening(&challenge, &Digest::of(policy), &nonce);
        Self {
            policy: policy.into(),
            nonce,
            challenge,
            opener: *opener.card().digest(),
            signature: Hex(opener.signing_key().sign(&signed).to_bytes()),
        }
    }

    /// Checks that the opener is one of the policy's parties, which `party` finds by its card's digest,
    /// and signed over the policy of this digest.
    ///
    /// # Errors
    /// [`OpeningError`].
    pub fn verify<'a>(
        &self,
        policy: &Digest,
        party: impl FnOnce(&Digest) -> Option<&'a Card>,
    ) -> Result<(), OpeningError> {
        let card = party(&self.opener).ok_or(OpeningError)?;
        let signed = opening(&self.challenge, policy, &self.nonce);
        let signature = Signature::from_bytes(&self.signature.0);
        card.verifying_key()
            .verify_strict(&signed, &signature)
            .map_err(|_| OpeningError)
    }
}

fn opening(challenge: &Challenge, policy: &Digest, nonce: &Nonce) -> Vec<u8> {
    let parts: [&[u8]; 3] = [&challenge.0, policy.as_bytes(), &nonce.0];
    label::context(label::OPENING, &parts)
}

/// The answer to [`OpenSession`] and to [`AskEvidence`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionOpened {
    /// The session record's exact bytes; their SHA-256 names the session from here on.
    pub record: Base64,
    /// Evidence over record and nonce.
    pub evidence: Evidence,
    /// What the runtime has at hand of what its vendor says of it, at most as much as a verifier
    /// reads: nothing in it counts but the vendor's signatures.
    #[serde(deserialize_with = "receipt::capped")]
    pub endorsements: Vec<Endorsement>,
}

/// `POST /v1/sessions/{session}/evidence`: evidence for another verifier's nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskEvidence {
    /// The asking verifier's nonce.
    pub nonce: Nonce,
}

/// The body of every answer that is not 2xx, from host and runtime alike: problem details as
/// RFC 9457 has them, with the member `code` besides. It is unsigned: the host's word.
///
/// Members that are not known are passed over, as the RFC asks: what stands before a host may add
/// some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// [`TYPE`](Self::TYPE) and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code as words, the same for every problem of that code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was expected, what was found, what to do.
    pub detail: String,
    /// A stable word in kebab case.
    pub code: String,
}

impl Problem {
    /// What every `type` begins with.
    pub const TYPE: &str = "urn:mc2:problem:";
    /// The media type of problem details in JSON.
    pub const MEDIA_TYPE: &str = "application/problem+json";

    /// The problem of a code.
    ///
    /// ```
    /// use mc2_protocol::documents::control::Problem;
    ///
    /// let problem = Problem::new(404, "unknown-session", "this host has no such session");
    /// assert_eq!(problem.kind, "urn:mc2:problem:unknown-session");
    /// assert_eq!(problem.title, "Unknown session");
    /// ```
    pub fn new(status: u16, code: &str, detail: impl Into<String>) -> Self {
        let mut words = code.replace('-', " ");
        if let Some(first) = words.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self {
            kind: format!("{}{code}", Self::TYPE),
            title: words,
            status,
            detail: detail.into(),
            code: code.to_owned(),
        }
    }
}

/// How far a job is, as far as the host may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// It was accepted, and waits for answers to its start's challenge.
    Waiting,
    /// It has not ended.
    Running,
    /// It ended with success; its receipt is stored.
    Done,
    /// It ended without; its receipt is stored.
    Failed,
    /// The runtime went away before it ended; there is no receipt.
    Lost,
}

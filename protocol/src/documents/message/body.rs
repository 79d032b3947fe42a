//! What messages ask for.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _},
};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::MAX_LEN;
use crate::{
    DataKey, Digest, Name, SecretKey,
    crypto::secret::SecretBytes,
    documents::{
        receipt::{self, Endorsement},
        record::Nonce,
        storage::StartChallenge,
    },
    encoding::{Base64, JsonError, parse_json},
};

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
    /// Say what the session has and waits for.
    Status,
    /// Give the guests of the policy's jobs a key of their own.
    GuestKey,
    /// Let a job start that waits for it.
    Start,
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
    /// See [`Kind::Status`].
    Status(AskStatus),
    /// See [`Kind::GuestKey`].
    GuestKey(GiveKey),
    /// See [`Kind::Start`].
    Start(StartAnswer),
}

impl Body {
    /// What kind of message has this body.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Release(_) => Kind::Release,
            Self::Approve(_) => Kind::Approve,
            Self::Submit(_) => Kind::Submit,
            Self::Cancel(_) => Kind::Cancel,
            Self::End(_) => Kind::End,
            Self::Status(_) => Kind::Status,
            Self::GuestKey(_) => Kind::GuestKey,
            Self::Start(_) => Kind::Start,
        }
    }

    pub(super) fn parse(kind: Kind, raw: &RawValue) -> Result<Self, JsonError> {
        fn body<T: DeserializeOwned>(raw: &RawValue) -> Result<T, JsonError> {
            parse_json("the message's body", raw.get().as_bytes(), MAX_LEN)
        }
        Ok(match kind {
            Kind::Release => Self::Release(body(raw)?),
            Kind::Approve => Self::Approve(body(raw)?),
            Kind::Submit => Self::Submit(body(raw)?),
            Kind::Cancel => Self::Cancel(body(raw)?),
            Kind::End => Self::End(body(raw)?),
            Kind::Status => Self::Status(body(raw)?),
            Kind::GuestKey => Self::GuestKey(body(raw)?),
            Kind::Start => Self::Start(body(raw)?),
        })
    }
}

/// A data key, given to one session for a number of runs.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "FlatRelease", into = "FlatRelease")]
pub struct Release {
    /// The key, with the dataset's name in the policy.
    pub key: DataKey,
    /// Of what is in custody its plaintext's length in bytes without padding; of a dataset nothing.
    pub length: Option<u64>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
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
            length: flat.length,
            runs: flat.runs,
        }
    }
}

impl From<Release> for FlatRelease {
    fn from(Release { key, length, runs }: Release) -> Self {
        Self {
            dataset: key.dataset,
            object: key.object,
            key: key.secret,
            length,
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
    #[serde(deserialize_with = "receipt::capped")]
    pub endorsements: Vec<Endorsement>,
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

/// What the session has of its parties so far is asked for; nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskStatus {}

/// Most bytes of a key for guests.
pub const MAX_GUEST_KEY: usize = 4096;

/// A key for guests, given to one session: the policy's `keys` say which steps get it, and from whom
/// it is taken. Under one name a later key takes the place of an earlier one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiveKey {
    /// Its name in the policy.
    pub name: Name,
    /// The key.
    pub key: GuestSecret,
}

/// A key of 1 to [`MAX_GUEST_KEY`] bytes, which means something to a guest alone. Wiped when
/// dropped.
#[derive(Clone, Serialize)]
pub struct GuestSecret(SecretBytes);

/// Bytes that are no key for guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key for a guest has 1 to {MAX_GUEST_KEY} bytes, this one {found}")]
pub struct GuestSecretError {
    found: usize,
}

impl GuestSecret {
    /// A key of these bytes.
    ///
    /// # Errors
    /// None, or too many.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, GuestSecretError> {
        match bytes.len() {
            1..=MAX_GUEST_KEY => Ok(Self(SecretBytes(bytes))),
            found => Err(GuestSecretError { found }),
        }
    }

    /// Its bytes, which whoever takes them goes on wiping.
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0.0
    }
}

impl<'de> Deserialize<'de> for GuestSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SecretBytes(bytes) = SecretBytes::deserialize(deserializer)?;
        Self::new(bytes).map_err(D::Error::custom)
    }
}

/// The answer to the challenge of a job that waits: its datasets may be read now, by the clock of
/// who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartAnswer {
    /// The job digest.
    pub job: Digest,
    /// The challenge that the enclave made for this job's start.
    pub challenge: StartChallenge,
    /// The datasets that are answered for, at least one.
    pub datasets: Vec<Name>,
}

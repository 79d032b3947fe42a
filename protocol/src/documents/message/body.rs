//! What messages ask for.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _},
};
use serde_json::value::RawValue;

use super::MAX_LEN;
use crate::{
    DataKey, Digest, Name, SecretKey,
    documents::{
        receipt::{Endorsement, MAX_ENDORSEMENTS, MAX_EVIDENCE_LEN, MAX_MEDIA_TYPE_LEN},
        record::Nonce,
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
        })
    }
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

/// What the session has of its parties so far is asked for; nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskStatus {}

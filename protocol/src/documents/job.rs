//! A job: exact bytes whose SHA-256, the job digest, is what approvals sign (protocol.md §11).

use serde::{Deserialize, Serialize};

use crate::{
    Digest, Name,
    encoding::{Hex, JsonError, check_version, parse_json, to_json},
};

/// Largest job accepted, in bytes.
pub const MAX_LEN: usize = 1024 * 1024;
/// Most steps a job may have.
pub const MAX_STEPS: usize = 64;

/// What a submitter asks an enclave to run under a policy.
///
/// ```
/// use mc2_protocol::{
///     Digest,
///     documents::job::{Job, Step},
/// };
///
/// let job = Job::new(
///     Digest::of(b"the policy"),
///     "query".parse()?,
///     [0; 32], // random bytes, so that a digest does not give the job away
///     vec![Step {
///         component: "sql".parse()?,
///         instances: 1,
///         arguments: vec!["select 1".to_owned()],
///         inputs: vec![],
///     }],
/// );
/// let bytes = job.to_bytes();
/// assert_eq!(Job::parse(&bytes)?, job);
/// // What approvals and the receipt name it by.
/// println!("{}", Digest::of(&bytes));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    version: u32,
    /// SHA-256 of the policy's exact bytes.
    pub policy: Digest,
    /// Which of the policy's jobs this is.
    pub name: Name,
    /// 32 random bytes: the digest tells nobody what the job asks.
    pub salt: Hex<32>,
    /// The steps in order, as many as the policy's job has.
    pub steps: Vec<Step>,
}

/// One step of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The component's name in the policy.
    pub component: Name,
    /// How many instances run together.
    pub instances: u32,
    /// The command line after the component's name.
    pub arguments: Vec<String>,
    /// What the guest finds under `/in`.
    pub inputs: Vec<StepInput>,
}

/// One input of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepInput {
    /// Its name under `/in`.
    pub name: Name,
    /// Where it comes from.
    pub source: Source,
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// A dataset of the policy, in exactly this version.
    Dataset {
        /// The dataset's name in the policy.
        name: Name,
        /// The object id: SHA-256 of the manifest.
        object: Digest,
    },
    /// An output of an earlier step.
    Step {
        /// The output's name.
        output: Name,
    },
    /// What an earlier job of the policy left in custody, in exactly this version.
    Custody {
        /// The output's name in the policy.
        output: Name,
        /// The object id: SHA-256 of the manifest.
        object: Digest,
    },
}

impl Job {
    /// A job of these parts.
    pub fn new(policy: Digest, name: Name, salt: [u8; 32], steps: Vec<Step>) -> Self {
        Self {
            version: crate::VERSION,
            policy,
            name,
            salt: Hex(salt),
            steps,
        }
    }

    /// Parses a job.
    ///
    /// # Errors
    /// Not a job of this version, or more than [`MAX_LEN`] bytes or [`MAX_STEPS`] steps.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let job: Self = parse_json("the job", bytes, MAX_LEN)?;
        check_version("the job", job.version)?;
        if job.steps.is_empty() || job.steps.len() > MAX_STEPS {
            return Err(JsonError::Invalid {
                what: "the job",
                reason: format!("{} steps, expected 1 to {MAX_STEPS}", job.steps.len()),
            });
        }
        Ok(job)
    }

    /// The exact bytes; their SHA-256 is the job digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }

    /// The object ids this job reads, with the dataset each is a version of, or the output in custody
    /// that it is.
    pub fn datasets(&self) -> impl Iterator<Item = (&Name, &Digest)> {
        self.steps
            .iter()
            .flat_map(|step| &step.inputs)
            .filter_map(|input| match &input.source {
                Source::Dataset { name, object }
                | Source::Custody {
                    output: name,
                    object,
                } => Some((name, object)),
                Source::Step { .. } => None,
            })
    }
}

//! Why a job or a key was refused. These words go to the sealed answer for the sender, never to
//! the host: they say what is in the policy, and never repeat an argument.

use crate::{Digest, Name, encoding::JsonError};

/// Why a job, or the release of a key, was refused. Steps and arguments count from 1.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not a job at all.
    #[error(transparent)]
    NotAJob(#[from] JsonError),
    /// Made for another policy.
    #[error("the job is for policy {found}, this session's is {expected}")]
    OtherPolicy {
        /// The session's policy.
        expected: Digest,
        /// The policy the job names.
        found: Digest,
    },
    /// No such job.
    #[error("the policy has no job {job}; it has {known}")]
    UnknownJob {
        /// The name asked for.
        job: Name,
        /// The policy's jobs.
        known: String,
    },
    /// Somebody else's to submit.
    #[error("the policy lets {allowed} submit job {job}, and the sender is none of them")]
    NotASubmitter {
        /// The job's name.
        job: Name,
        /// Those who may.
        allowed: String,
    },
    /// No runs left in this session.
    #[error("job {job} has had its {runs} runs in this session; a run that failed counts too")]
    RunsSpent {
        /// The job's name.
        job: Name,
        /// How many the policy gives.
        runs: u32,
    },
    /// Another number of steps.
    #[error("the policy's job {job} has {expected} steps, the submitted one {found}")]
    Steps {
        /// The job's name.
        job: Name,
        /// Steps in the policy.
        expected: usize,
        /// Steps submitted.
        found: usize,
    },
    /// Another component.
    #[error("step {step} runs component {expected} by the policy, the job asks for {found}")]
    Component {
        /// The step.
        step: usize,
        /// The policy's component.
        expected: Name,
        /// The one asked for.
        found: Name,
    },
    /// Another number of instances.
    #[error("step {step} has {expected} instances by the policy, the job asks for {found}")]
    Instances {
        /// The step.
        step: usize,
        /// The policy's number.
        expected: u32,
        /// The number asked for.
        found: u32,
    },
    /// Inputs that are not exactly the policy's.
    #[error("step {step} has the inputs {expected} by the policy, the job gives {found}")]
    Inputs {
        /// The step.
        step: usize,
        /// The policy's.
        expected: String,
        /// The job's.
        found: String,
    },
    /// An input from elsewhere.
    #[error("input {input} of step {step} is {expected} by the policy, not {found}")]
    Source {
        /// The step.
        step: usize,
        /// The input.
        input: Name,
        /// The policy's source.
        expected: String,
        /// The job's.
        found: String,
    },
    /// Another version than the policy pins.
    #[error("the policy pins dataset {dataset} to object {expected}, found {found}")]
    OtherVersion {
        /// The dataset.
        dataset: Name,
        /// The pinned object id.
        expected: Digest,
        /// The one named.
        found: Digest,
    },
    /// Two versions of one dataset in a job.
    #[error("the job names two versions of dataset {dataset}; a job reads each in one version")]
    TwoVersions {
        /// The dataset.
        dataset: Name,
    },
    /// No version given for a dataset.
    #[error("no version of dataset {dataset} was given: seal it, or name its object id")]
    NoVersion {
        /// The dataset.
        dataset: Name,
    },
    /// Another number of arguments.
    #[error("step {step} takes {expected} arguments by the policy, the job gives {found}")]
    ArgumentCount {
        /// The step.
        step: usize,
        /// The policy's number.
        expected: usize,
        /// The job's.
        found: usize,
    },
    /// An argument outside its pattern.
    #[error("argument {argument} of step {step} is not what the policy allows: {expected}")]
    Argument {
        /// The step.
        step: usize,
        /// The argument.
        argument: usize,
        /// The pattern.
        expected: String,
    },
    /// Approvals are missing.
    #[error(
        "job {job} needs the approval of {needed} of {of}{}, given: {given}", 
        if *.each { " for each run" } else { " in this session" }
    )]
    NotApproved {
        /// The job's name.
        job: Name,
        /// How many are needed.
        needed: usize,
        /// Those who may give it.
        of: String,
        /// Whether each run needs its own.
        each: bool,
        /// Those who did.
        given: String,
    },
    /// No such dataset.
    #[error("the policy has no dataset {dataset}; it has {known}")]
    UnknownDataset {
        /// The name given.
        dataset: Name,
        /// The policy's datasets.
        known: String,
    },
    /// No step takes a key of this name.
    #[error(
        "no step of the policy's jobs takes a key called {key}; the keys they take are {known}"
    )]
    UnknownGuestKey {
        /// The name given.
        key: Name,
        /// The policy's keys for guests.
        known: String,
    },
    /// Somebody else's key to give.
    #[error("the policy takes the key {key} from {from}, and from nobody else")]
    NotTheGiver {
        /// The key's name.
        key: Name,
        /// Who gives it.
        from: String,
    },
    /// What is in custody is its custodian's to release.
    #[error("output {output} is in custody of {custodian}: nobody else releases its key")]
    NotTheCustodian {
        /// The output.
        output: Name,
        /// Who keeps its key.
        custodian: String,
    },
    /// Somebody else's key to release.
    #[error("dataset {dataset} is {owner}'s: only its owner, or its broker, releases its key")]
    NotTheOwner {
        /// The dataset.
        dataset: Name,
        /// Its owner.
        owner: String,
    },
}

impl Refusal {
    /// A stable word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAJob(_) => "not-a-job",
            Self::OtherPolicy { .. } => "other-policy",
            Self::UnknownJob { .. } => "unknown-job",
            Self::NotASubmitter { .. } => "not-a-submitter",
            Self::RunsSpent { .. } => "runs-spent",
            Self::Steps { .. } => "wrong-steps",
            Self::Component { .. } => "wrong-component",
            Self::Instances { .. } => "wrong-instances",
            Self::Inputs { .. } => "wrong-inputs",
            Self::Source { .. } => "wrong-input-source",
            Self::OtherVersion { .. } => "wrong-object",
            Self::TwoVersions { .. } => "two-versions",
            Self::NoVersion { .. } => "no-version",
            Self::ArgumentCount { .. } => "wrong-argument-count",
            Self::Argument { .. } => "argument-not-allowed",
            Self::NotApproved { .. } => "not-approved",
            Self::UnknownDataset { .. } => "unknown-dataset",
            Self::NotTheOwner { .. } => "not-the-owner",
            Self::UnknownGuestKey { .. } => "unknown-guest-key",
            Self::NotTheGiver { .. } => "not-the-giver",
            Self::NotTheCustodian { .. } => "not-the-custodian",
        }
    }
}

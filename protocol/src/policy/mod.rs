//! Policies: what parties agree on, and what an enclave then enforces (`docs/policy.md`).
//!
//! A policy is a TOML file. [`Policy::parse`] reads its exact bytes into checked types: whatever
//! holds a [`Policy`] holds one whose names resolve, whose lists are not empty by accident and
//! whose parties are distinct. The bytes are what is hashed, so there is no canonical form.
//! [`Policy::admit`] is the one gate between a submitted job and its run.
//!
//! Everything is deny by default: unknown and duplicate fields are errors, an empty list is not
//! "any", a field that matters has no default.

mod admit;
mod approval;
mod argument;
mod enclave;
mod error;
mod errors;
mod firmware;
mod job;
mod party;
mod reader;
mod refusal;
mod sql;
mod step;
mod units;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use toml::de::DeTable;

pub use admit::{AdmittedJob, AdmittedStep};
pub use approval::{ApprovalError, Approvals, MAX_WAITING_APPROVALS, SpentApprovals};
pub use argument::{Arguments, MAX_ARGUMENTS, NumberRange, Pattern};
pub use enclave::{
    Enclave, Platform, PlatformError, Platforms, Tcb, TcbStatus, TcbStatusError, Tee, TeeError,
};
pub use error::{PolicyError, Position, Problem};
pub use errors::Errors;
pub use firmware::{PlatformFlags, SnpTcb};
pub use job::{Approve, JobRule, Limits, When};
pub use party::{Component, Dataset};
pub use refusal::Refusal;
pub use sql::{FixedSql, MAX_PARAM_TEXT, ParamType};
pub use step::{
    Custody, GuestKey, Input, MAX_INSTANCES, Origin, Output, Padding, RESERVED, STREAMS, Step, To,
    USAGE,
};
pub use units::{Duration, DurationError, MAX_BYTES, MAX_MILLIS, Size, SizeError};

use crate::{Card, Digest, Name};
use error::Problem as P;
use job::Known;
use reader::Fields;

/// Largest policy accepted, in bytes.
pub const MAX_LEN: usize = 1024 * 1024;

const FIELDS: [&str; 9] = [
    "version",
    "name",
    "expires",
    "visible",
    "enclave",
    "party",
    "component",
    "dataset",
    "job",
];

/// What the host can see of how a guest goes through its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// Which segments are read and what spills: inputs are fetched as they are read.
    Access,
    /// Only sizes: inputs are fetched whole before the guest starts, scratch stays in enclave
    /// memory, outputs are padded. How long a run takes is not hidden.
    Volume,
}

/// A checked policy and the exact bytes it was read from.
///
/// ```
/// use mc2_protocol::{Digest, policy::Policy};
///
/// let text = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/one-party.toml"))?;
/// let policy = Policy::parse(&text)?;
/// // A policy is its exact bytes.
/// assert_eq!(*policy.digest(), Digest::of(&text));
/// for party in policy.parties() {
///     println!("{} {}", party.name(), party.fingerprint());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Policy {
    bytes: Vec<u8>,
    digest: Digest,
    name: Name,
    expires: u64,
    visible: Visible,
    enclave: Enclave,
    parties: Vec<Arc<Card>>,
    components: Vec<Component>,
    datasets: Vec<Dataset>,
    jobs: Vec<JobRule>,
}

impl Policy {
    /// Reads and checks a policy's exact bytes.
    ///
    /// # Errors
    /// [`PolicyError`], with line, column and what to write instead.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() > MAX_LEN {
            return Err(PolicyError::TooLarge { found: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| PolicyError::NotText {
            at: error.valid_up_to(),
        })?;
        let document = DeTable::parse(text).map_err(|error| PolicyError::Syntax {
            at: Position::of(text, error.span().map_or(0, |span| span.start)),
            reason: syntax_reason(text, &error),
        })?;
        let fields = Fields::of_document(text, &document, &FIELDS)?;
        read_version(&fields)?;
        let name = fields
            .required("name", "a name for the policy, name = \"card-fraud-2026\"")?
            .checked()?;
        let expires = read_expiry(&fields)?;
        let parties = party::read_parties(&fields)?;
        let visible = read_visible(&fields, parties.len())?;
        let enclave = fields.required("enclave", "[enclave] with tee, platforms and tcb")?;
        let enclave = Enclave::read(&enclave)?;
        let components = party::read_components(&fields)?;
        let datasets = party::read_datasets(&fields, &parties)?;
        let known = Known {
            parties: &parties,
            components: &components,
            datasets: &datasets,
            jobs: &[],
            padded: visible == Visible::Volume,
        };
        let jobs = job::read_jobs(&fields, &known)?;
        Ok(Self {
            bytes: bytes.to_vec(),
            digest: Digest::of(bytes),
            name,
            expires,
            visible,
            enclave,
            parties,
            components,
            datasets,
            jobs,
        })
    }

    /// The exact bytes it was read from.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the exact bytes: what records, jobs and approvals name the policy by.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its name, for people.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// When it ends, in seconds since 1970-01-01T00:00:00Z. Owners and brokers, who have a clock
    /// they trust, release nothing from then on; an enclave has none and does not check it.
    pub const fn expires(&self) -> u64 {
        self.expires
    }

    /// Whether it has ended at `now`, in seconds since 1970-01-01T00:00:00Z.
    pub const fn is_expired(&self, now: u64) -> bool {
        now >= self.expires
    }

    /// What the host may see.
    pub const fn visible(&self) -> Visible {
        self.visible
    }

    /// What it demands of the enclave.
    pub const fn enclave(&self) -> &Enclave {
        &self.enclave
    }

    /// The parties, at least one.
    pub fn parties(&self) -> &[Arc<Card>] {
        &self.parties
    }

    /// The components, at least one.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// The datasets.
    pub fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }

    /// The jobs, at least one.
    pub fn jobs(&self) -> &[JobRule] {
        &self.jobs
    }

    /// The party whose card has this digest.
    pub fn party(&self, card: &Digest) -> Option<&Arc<Card>> {
        self.parties.iter().find(|party| party.digest() == card)
    }

    /// The party of this name.
    pub fn party_by_name(&self, name: &str) -> Option<&Arc<Card>> {
        self.parties
            .iter()
            .find(|party| party.name().as_str() == name)
    }

    /// The broker whose card has this digest.
    pub fn broker(&self, card: &Digest) -> Option<&Arc<Card>> {
        let mut brokers = self.datasets.iter().filter_map(|set| set.broker.as_ref());
        brokers.find(|broker| broker.digest() == card)
    }

    /// The party or broker whose card has this digest: who may speak to a session at all.
    pub fn speaker(&self, card: &Digest) -> Option<&Arc<Card>> {
        self.party(card).or_else(|| self.broker(card))
    }

    /// Who may answer for `dataset` when a job that reads it is about to start, its broker and its
    /// owner; nobody need where it has no broker.
    /// What is in custody of a broker is as a dataset of the owner for whom it stands.
    pub fn answerers(&self, dataset: &Name) -> Option<[&Arc<Card>; 2]> {
        if let Some(dataset) = self.dataset(dataset) {
            return Some([dataset.broker.as_ref()?, &dataset.owner]);
        }
        let holder = &self.custody(dataset)?.holder;
        let is_its = |set: &&Dataset| set.broker.as_ref() == Some(holder);
        let dataset = self.datasets.iter().find(is_its)?;
        Some([holder, &dataset.owner])
    }

    /// Who keeps the key of the output of this name, which a job leaves in custody.
    pub fn custody(&self, output: &Name) -> Option<&Custody> {
        let steps = self.jobs.iter().flat_map(|job| &job.steps);
        let outputs = steps.flat_map(|step| &step.outputs);
        outputs
            .filter(|one| one.name == *output)
            .find_map(Output::custody)
    }

    /// Whose a dataset is, or who keeps the key of the output of this name that is in custody.
    pub fn keeper_of(&self, name: &Name) -> Option<&Arc<Card>> {
        let custody = || self.custody(name).map(|custody| &custody.holder);
        self.owner_of(name).or_else(custody)
    }

    /// The component of this name.
    pub fn component(&self, name: &Name) -> Option<&Component> {
        self.components
            .iter()
            .find(|component| component.name == *name)
    }

    /// The dataset of this name.
    pub fn dataset(&self, name: &Name) -> Option<&Dataset> {
        self.datasets.iter().find(|dataset| dataset.name == *name)
    }

    /// The owner of the dataset of this name.
    pub fn owner_of(&self, dataset: &Name) -> Option<&Arc<Card>> {
        self.dataset(dataset).map(|dataset| &dataset.owner)
    }

    /// The job of this name.
    pub fn job(&self, name: &Name) -> Option<&JobRule> {
        self.jobs.iter().find(|job| job.name == *name)
    }
}

fn read_version(fields: &Fields<'_>) -> Result<(), PolicyError> {
    let version = fields.required("version", "version = 1")?;
    match version.integer(0..=u32::MAX)? {
        crate::VERSION => Ok(()),
        other => Err(version.error(P::value(
            format!("version {}, the one this release reads", crate::VERSION),
            &other.to_string(),
        ))),
    }
}

fn read_expiry(fields: &Fields<'_>) -> Result<u64, PolicyError> {
    let node = fields.required("expires", "when it ends, expires = 2026-12-31T00:00:00Z")?;
    let datetime = node.datetime()?;
    units::unix_seconds(datetime).ok_or_else(|| {
        node.error(P::value(
            "a day, a time in whole seconds and an offset or Z, 1970 or later, as in \
             2026-12-31T00:00:00Z",
            &datetime.to_string(),
        ))
    })
}

fn read_visible(fields: &Fields<'_>, parties: usize) -> Result<Visible, PolicyError> {
    const EXPECTED: &str = "visible = \"access\" (fast; the host sees which parts are read) or \
                            visible = \"volume\" (it sees sizes only)";
    let node = match fields.optional("visible") {
        Some(node) => node,
        None if parties == 1 => return Ok(Visible::Access),
        None => fields.required("visible", EXPECTED)?,
    };
    match node.string()? {
        "access" => Ok(Visible::Access),
        "volume" => Ok(Visible::Volume),
        other => Err(node.error(P::value("\"access\" or \"volume\"", other))),
    }
}

/// The parser's words; of a key that stands twice, also which.
fn syntax_reason(text: &str, error: &toml::de::Error) -> String {
    let reason = error.message();
    let found = error.span().and_then(|span| text.get(span));
    match found {
        Some(key) if reason.starts_with("duplicate key") => {
            format!(
                "{reason} `{}`; it stands above already",
                error::shortened(key)
            )
        }
        _ => reason.to_owned(),
    }
}

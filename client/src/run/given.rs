//! A policy that somebody wrote, and whether it allows the run that was asked for.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use mc2_protocol::{
    Digest, Identity, Name,
    policy::{JobRule, Origin, Policy},
};

use super::{error::RunError, wanted::Output};
use crate::{party::Parties, policy::read_policy, state::State, workload::Workload};

/// A policy from a file.
pub(crate) struct GivenPolicy {
    path: PathBuf,
    pub(crate) policy: Policy,
}

impl GivenPolicy {
    /// A policy that was read before; `path` says in errors where it is from.
    pub(crate) const fn new(path: PathBuf, policy: Policy) -> Self {
        Self { path, policy }
    }

    pub(super) fn read(path: &Path) -> Result<Self, RunError> {
        Ok(Self {
            path: path.to_owned(),
            policy: read_policy(path)?,
        })
    }

    /// The job of this name, or the only one; it has one step, of this component.
    pub(crate) fn job(
        &self,
        name: Option<&str>,
        workload: &Workload,
    ) -> Result<&JobRule, RunError> {
        let jobs = self.policy.jobs();
        let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        let job = match (name, jobs) {
            (Some(name), _) => jobs.iter().find(|job| job.name.as_str() == name),
            (None, [job]) => Some(job),
            (None, _) => {
                let names = names.join(", ");
                return Err(self.refuse(format!(
                    "it has several jobs: choose one of {names} with --job"
                )));
            }
        };
        let Some(job) = job else {
            let names = names.join(", ");
            return Err(self.refuse(format!("it has no such job; its jobs are {names}")));
        };
        let [step] = job.steps.as_slice() else {
            let found = job.steps.len();
            return Err(self.refuse(format!(
                "its job {} has {found} steps; mc2-run runs jobs of one step",
                job.name
            )));
        };
        let component = self.policy.component(&step.component);
        let expected = component.map(|component| component.sha256);
        if expected != Some(workload.sha256) {
            let expected = expected
                .map(|digest| digest.to_string())
                .unwrap_or_default();
            return Err(self.refuse(format!(
                "its component {} has the SHA-256 {expected}, the file given has {}; rebuild the \
                 file, or correct the policy",
                step.component, workload.sha256
            )));
        }
        Ok(job)
    }

    pub(crate) fn check_party(&self, identity: &Identity, job: &JobRule) -> Result<(), RunError> {
        if job.submit.iter().any(|card| **card == *identity.card()) {
            return Ok(());
        }
        let names: Vec<&str> = job.submit.iter().map(|card| card.name().as_str()).collect();
        Err(self.refuse(format!(
            "its job {} may be submitted by {}, and the card of {} ({}) is none of theirs",
            job.name,
            names.join(", "),
            identity.card().name(),
            identity.card().digest().short()
        )))
    }

    /// Nothing is released or approved under a policy with a card nobody compared.
    pub(crate) fn check_cards(
        &self,
        state: &State,
        identity: &Identity,
        stated: Option<&Digest>,
    ) -> Result<(), RunError> {
        let known = Parties::load(state)?.with_own(identity.card());
        known
            .check(&self.policy, stated)
            .map_err(|source| RunError::Untrusted {
                path: self.path.clone(),
                source,
            })
    }

    pub(crate) fn check_instances(
        &self,
        wanted: Option<u32>,
        job: &JobRule,
    ) -> Result<(), RunError> {
        for step in &job.steps {
            let allowed = step.instances;
            if wanted.is_some_and(|wanted| wanted != allowed) {
                return Err(self.refuse(format!(
                    "its job {} has instances = {allowed}: write --instances {allowed}, or leave \
                     it out",
                    job.name
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn check_outputs(
        &self,
        identity: &Identity,
        job: &JobRule,
        outputs: &[Output],
    ) -> Result<(), RunError> {
        for output in outputs {
            let rule = job
                .steps
                .iter()
                .find_map(|step| step.output(output.name.as_str()));
            let name = &output.name;
            let Some(rule) = rule else {
                return Err(self.refuse(format!("its job {} has no output {name}", job.name)));
            };
            if rule.folder != output.is_folder() {
                let (is, write) = if rule.folder {
                    ("a folder", "PATH/")
                } else {
                    ("a file", "PATH without / at its end")
                };
                return Err(self.refuse(format!(
                    "its output {name} is {is}: write --out {name}={write}"
                )));
            }
            if !rule
                .recipients()
                .iter()
                .any(|card| **card == *identity.card())
            {
                return Err(self.refuse(format!(
                    "its output {name} does not go to {}",
                    identity.card().name()
                )));
            }
        }
        Ok(())
    }

    /// Nothing is sealed, asked for or released for arguments that the policy does not allow, whatever the
    /// versions that they are for.
    pub(crate) fn check_arguments(
        &self,
        job: &JobRule,
        arguments: &[String],
    ) -> Result<(), RunError> {
        let mut any = BTreeMap::new();
        for input in job.steps.iter().flat_map(|step| &step.inputs) {
            let name = match &input.from {
                Origin::Dataset(name) | Origin::Custody(name) => name,
                Origin::Step(_) => continue,
            };
            let pinned = self.policy.dataset(name).and_then(|one| one.object);
            any.insert(name.clone(), pinned.unwrap_or_else(|| Digest::of(b"")));
        }
        let arguments = vec![arguments.to_vec()];
        self.policy.draft(&job.name, &any, arguments, [0; 32])?;
        Ok(())
    }

    /// The datasets the named inputs are, and that none of this party's is missing.
    pub(crate) fn datasets<T>(
        &self,
        identity: &Identity,
        job: &JobRule,
        sources: Vec<(Name, T)>,
    ) -> Result<Vec<(Name, T)>, RunError> {
        let inputs = || job.steps.iter().flat_map(|step| &step.inputs);
        let mut found: BTreeMap<Name, T> = BTreeMap::new();
        for (name, source) in sources {
            let dataset = Self::dataset_of(job, &name);
            self.check_owner(identity, &dataset)?;
            if found.insert(dataset.clone(), source).is_some() {
                return Err(self.refuse(format!("its dataset {dataset} is given twice")));
            }
        }
        for input in inputs() {
            let Origin::Dataset(dataset) = &input.from else {
                continue;
            };
            let own = self
                .policy
                .owner_of(dataset)
                .is_some_and(|o| **o == *identity.card());
            if own && !found.contains_key(dataset) {
                let name = &input.name;
                return Err(self.refuse(format!(
                    "its input {name} is missing: give --in {name}=PATH"
                )));
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The dataset that is a job's input of this name; or else the one of this name itself.
    pub(crate) fn dataset_of(job: &JobRule, name: &Name) -> Name {
        let mut inputs = job.steps.iter().flat_map(|step| &step.inputs);
        let by_input = inputs.find_map(|input| match &input.from {
            Origin::Dataset(dataset) if input.name == *name => Some(dataset.clone()),
            _ => None,
        });
        by_input.unwrap_or_else(|| name.clone())
    }

    /// There is such a dataset, and it is this party's.
    pub(crate) fn check_owner(&self, identity: &Identity, dataset: &Name) -> Result<(), RunError> {
        let Some(owner) = self.policy.owner_of(dataset) else {
            return Err(self.refuse(format!("it has no dataset or input {dataset}")));
        };
        if **owner != *identity.card() {
            return Err(self.refuse(format!(
                "its dataset {dataset} is owned by {}, not by {}",
                owner.name(),
                identity.card().name()
            )));
        }
        Ok(())
    }

    pub(crate) fn refuse(&self, reason: String) -> RunError {
        RunError::NotAllowed {
            path: self.path.clone(),
            reason,
        }
    }
}

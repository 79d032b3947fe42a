//! A run that can be started: every file is there, every name is one, the policy allows it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use mc2_attestation::TrustStore;
use mc2_protocol::{
    Digest, Identity, Name, SecretKey,
    policy::{self, JobRule, Limits, OneParty, Origin, Policy, Tee},
};
use rand_core::Rng as _;

use super::{
    error::RunError,
    options::{InputError, OutputPlan, RunOptions},
};
use crate::{
    files::read_capped,
    http::{HostAddress, Trust},
    party::Parties,
    seal::{
        object::{EXTENSION, LocalObject},
        source::Source,
    },
    state::State,
    unix_seconds,
    workload::Workload,
};

/// How long the policy written for a run is good, in seconds.
const ONE_DAY: u64 = 24 * 60 * 60;

/// Everything a run needs, checked.
pub struct Plan {
    pub(super) state: State,
    pub(super) identity: Identity,
    pub(super) workload: Workload,
    pub(super) policy: Policy,
    pub(super) job: Name,
    pub(super) arguments: Vec<String>,
    pub(super) inputs: Vec<PlannedInput>,
    pub(super) outputs: Vec<OutputPlan>,
    pub(super) stdout: Option<PathBuf>,
    pub(super) keep_sealed: Option<PathBuf>,
    pub(super) wait: Option<Duration>,
    pub(super) place: Place,
    pub(super) trust: TrustStore,
    pub(super) allow_simulated: bool,
}

/// A version of a dataset that goes to the host.
pub(super) struct PlannedInput {
    pub(super) dataset: Name,
    pub(super) data: InputData,
}

pub(super) enum InputData {
    /// To be sealed.
    Plain(Arc<Source>),
    /// Sealed before.
    Sealed(Arc<LocalObject>, SecretKey),
}

/// Where it runs.
pub(super) enum Place {
    /// In a simulator started for this run. NOT SECURE.
    Here { simulator: PathBuf, profile: String },
    /// On a host.
    Host { address: HostAddress, trust: Trust },
}

impl Plan {
    /// Checks what was asked for. Nothing is started, and nothing written but a first identity.
    ///
    /// # Errors
    /// [`RunError`], with what was expected, what was found, and what to do.
    pub fn new(options: RunOptions) -> Result<Self, RunError> {
        options.check_together()?;
        let workload = Workload::read(&options.workload)?;
        let named = options.named_inputs()?;
        let outputs = options.planned_outputs()?;
        let place = match &options.host {
            Some(address) => Place::Host {
                address: address.clone(),
                trust: match &options.host_ca {
                    Some(path) => Trust::File(path.clone()),
                    None => Trust::System,
                },
            },
            None => Place::Here {
                simulator: options.simulator()?,
                profile: options
                    .engine_profile
                    .clone()
                    .unwrap_or_else(|| "vm".to_owned()),
            },
        };
        let allow_simulated = options.allow_simulated || matches!(place, Place::Here { .. });
        let sources = scan(named)?;
        let state = State::locate()?;
        let trust = state.trusted()?;
        let given = match &options.policy {
            Some(path) => Some(GivenPolicy::read(path)?),
            None => None,
        };
        let identity = choose_identity(&options, &state, given.as_ref())?;
        let (policy, job, inputs) = match given {
            Some(given) => {
                let job = given.job(options.job.as_deref(), &workload)?.clone();
                given.check_party(&identity, &job)?;
                given.check_cards(&state, &identity, options.policy_digest.as_ref())?;
                given.check_instances(options.instances, &job)?;
                given.check_outputs(&identity, &job, &outputs)?;
                let inputs = given.datasets(&identity, &job, sources)?;
                (given.policy, job.name, inputs)
            }
            None => {
                let tee = own_tee(&options)?;
                let names = sources.iter().map(|(name, _)| name.clone()).collect();
                let policy = one_party(&options, tee, &identity, &workload, names, &outputs)?;
                (policy, job_name(), sources)
            }
        };
        let inputs = inputs
            .into_iter()
            .map(|(dataset, found)| prepare(dataset, found, &identity, &state))
            .collect::<Result<_, RunError>>()?;
        Ok(Self {
            state,
            identity,
            workload,
            policy,
            job,
            arguments: options.arguments,
            inputs,
            outputs,
            stdout: options.stdout,
            keep_sealed: options.keep_sealed,
            wait: options
                .wait
                .map(|wait| Duration::from_millis(wait.millis())),
            place,
            trust,
            allow_simulated,
        })
    }

    /// The policy it runs under.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Bytes of all inputs that are to be sealed.
    pub(super) fn input_length(&self) -> u64 {
        let length = |input: &PlannedInput| match &input.data {
            InputData::Plain(source) => source.length(),
            InputData::Sealed(object, _) => object.manifest().length(),
        };
        self.inputs.iter().map(length).sum()
    }

    /// The versions of the datasets this run reads.
    pub(super) fn draft(
        &self,
        objects: &BTreeMap<Name, Digest>,
    ) -> Result<mc2_protocol::documents::job::Job, RunError> {
        let mut salt = [0; 32];
        crate::random().fill_bytes(&mut salt);
        let arguments = vec![self.arguments.clone()];
        Ok(self.policy.draft(&self.job, objects, arguments, salt)?)
    }
}

/// What a path given as input holds.
enum Found {
    Plain(Source),
    Sealed(Arc<LocalObject>),
}

fn scan(named: Vec<(Name, Option<PathBuf>)>) -> Result<Vec<(Name, Found)>, InputError> {
    let scan = |(name, path): (Name, Option<PathBuf>)| {
        let Some(path) = path else {
            return Ok((name, Found::Plain(Source::standard_input())));
        };
        let sealed = path
            .extension()
            .is_some_and(|extension| extension == EXTENSION);
        if sealed && LocalObject::is_at(&path) {
            let object = LocalObject::read(&path).map_err(|source| InputError::Object {
                name: name.to_string(),
                source,
            })?;
            return Ok((name, Found::Sealed(Arc::new(object))));
        }
        let source = Source::scan(&path).map_err(|source| InputError::Source {
            name: name.to_string(),
            source,
        })?;
        Ok((name, Found::Plain(source)))
    };
    named.into_iter().map(scan).collect()
}

fn prepare(
    dataset: Name,
    found: Found,
    identity: &Identity,
    state: &State,
) -> Result<PlannedInput, RunError> {
    let data = match found {
        Found::Plain(source) => InputData::Plain(Arc::new(source)),
        Found::Sealed(object) => {
            let manifest = object.manifest();
            if *manifest.dataset() != dataset {
                return Err(InputError::OtherDataset {
                    name: dataset.to_string(),
                    expected: dataset,
                    found: manifest.dataset().clone(),
                }
                .into());
            }
            let key = crate::seal::object::key_for(&object, state, identity)?;
            let key = key.ok_or_else(|| InputError::NoKey {
                name: dataset.to_string(),
                owner: manifest
                    .owner()
                    .map_or_else(|| "nobody".to_owned(), |owner| owner.card.short()),
            })?;
            InputData::Sealed(object, key)
        }
    };
    Ok(PlannedInput { dataset, data })
}

fn choose_identity(
    options: &RunOptions,
    state: &State,
    given: Option<&GivenPolicy>,
) -> Result<Identity, RunError> {
    if let Some(name) = &options.identity {
        return Ok(state.identity(name)?);
    }
    let Some(given) = given else {
        return Ok(state.default_identity()?);
    };
    let is_party = |identity: &Identity| given.policy.party(identity.card().digest()).is_some();
    let found = state.identities()?.into_iter().find(is_party);
    found.ok_or_else(|| {
        let parties: Vec<&str> = given
            .policy
            .parties()
            .iter()
            .map(|card| card.name().as_str())
            .collect();
        given.refuse(format!(
            "none of the identities in {} is a party of this policy, whose parties are {}; name \
             yours with --as",
            state.root().display(),
            parties.join(", ")
        ))
    })
}

fn own_tee(options: &RunOptions) -> Result<Tee, InputError> {
    match (&options.host, options.tee) {
        (None, _) => Ok(Tee::Sim),
        (Some(_), Some(tee)) => Ok(tee),
        (Some(_), None) if options.allow_simulated => Ok(Tee::Sim),
        (Some(_), None) => Err(InputError::Together(
            "--host without --policy needs --tee: which kind of enclave you accept (sgx, tdx, \
             sev-snp, nitro, azure-vtpm), or --allow-simulated to try things out, NOT SECURE",
        )),
    }
}

fn job_name() -> Name {
    OneParty::JOB
        .parse()
        // A constant within the alphabet.
        .unwrap_or_else(|error| unreachable!("{error}"))
}

fn one_party(
    options: &RunOptions,
    tee: Tee,
    identity: &Identity,
    workload: &Workload,
    datasets: Vec<Name>,
    outputs: &[OutputPlan],
) -> Result<Policy, RunError> {
    let mut unique = [0; 8];
    crate::random().fill_bytes(&mut unique);
    let name: Name = format!("run-{}", hex::encode(unique))
        .parse()
        // Letters, a dash and digits.
        .unwrap_or_else(|error| unreachable!("{error}"));
    let generous = Limits::generous();
    let memory = options.memory.unwrap_or(generous.memory);
    let datasets: Vec<(Name, Option<Digest>)> =
        datasets.into_iter().map(|name| (name, None)).collect();
    let outputs: Vec<(Name, bool)> = outputs
        .iter()
        .map(|output| (output.name.clone(), output.folder))
        .collect();
    let policy = OneParty {
        name: &name,
        expires: unix_seconds(SystemTime::now()) + ONE_DAY,
        tee,
        card: identity.card(),
        component: &workload.name,
        sha256: &workload.sha256,
        datasets: &datasets,
        instances: options.instances.unwrap_or(1),
        outputs: &outputs,
        runs: 1,
        limits: Limits {
            memory,
            time: options.timeout.unwrap_or(generous.time),
            ..generous
        },
        metering: false,
    };
    Policy::parse(policy.to_toml().as_bytes()).map_err(|source| RunError::Policy {
        path: PathBuf::from("the policy written for this run"),
        source: Box::new(source),
    })
}

/// A policy from a file.
struct GivenPolicy {
    path: PathBuf,
    policy: Policy,
}

impl GivenPolicy {
    fn read(path: &Path) -> Result<Self, RunError> {
        let bytes = read_capped(path, policy::MAX_LEN).map_err(RunError::PolicyFile)?;
        let policy = Policy::parse(&bytes).and_then(|policy| {
            policy.require_enforced()?;
            Ok(policy)
        });
        let policy = policy.map_err(|source| RunError::Policy {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self {
            path: path.to_owned(),
            policy,
        })
    }

    /// The job of this name, or the only one; it has one step, of this component.
    fn job(&self, name: Option<&str>, workload: &Workload) -> Result<&JobRule, RunError> {
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

    fn check_party(&self, identity: &Identity, job: &JobRule) -> Result<(), RunError> {
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
    fn check_cards(
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

    fn check_instances(&self, wanted: Option<u32>, job: &JobRule) -> Result<(), RunError> {
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

    fn check_outputs(
        &self,
        identity: &Identity,
        job: &JobRule,
        outputs: &[OutputPlan],
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
            if rule.folder != output.folder {
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

    /// The datasets the named inputs are, and that none of this party's is missing.
    fn datasets(
        &self,
        identity: &Identity,
        job: &JobRule,
        sources: Vec<(Name, Found)>,
    ) -> Result<Vec<(Name, Found)>, RunError> {
        let inputs = || job.steps.iter().flat_map(|step| &step.inputs);
        let mut found: BTreeMap<Name, Found> = BTreeMap::new();
        for (name, source) in sources {
            let by_input = inputs().find_map(|input| match &input.from {
                Origin::Dataset(dataset) if input.name == name => Some(dataset.clone()),
                _ => None,
            });
            let dataset = by_input.unwrap_or_else(|| name.clone());
            let Some(owner) = self.policy.owner_of(&dataset) else {
                return Err(self.refuse(format!("it has no dataset or input {name}")));
            };
            if **owner != *identity.card() {
                return Err(self.refuse(format!(
                    "its dataset {dataset} is owned by {}, not by {}",
                    owner.name(),
                    identity.card().name()
                )));
            }
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

    fn refuse(&self, reason: String) -> RunError {
        RunError::NotAllowed {
            path: self.path.clone(),
            reason,
        }
    }
}

//! A run that can be started: every file is there, every name is one, the policy allows it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mc2_attestation::TrustStore;
use mc2_protocol::{
    Digest, Identity, Name,
    policy::{Limits, Policy, Tee},
};
use rand_core::Rng as _;

use super::{
    error::RunError,
    given::GivenPolicy,
    options::{InputError, RunOptions},
    wanted::Output,
};
use crate::{
    collateral::Collateral,
    dataset::{DatasetError, Found, Version},
    http::{HostAddress, Trust},
    party::own_party,
    policy::{OneParty, PolicyFileError, WantedOutput, generous_limits},
    seal::source::Source,
    simulator,
    state::State,
    unix_seconds,
    workload::Workload,
};

/// How long the policy written for a run is good, in seconds.
const ONE_DAY: u64 = 24 * 60 * 60;

/// Everything a run needs, checked.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use mc2_client::run::{Plan, RunEvent, RunOptions, Stop};
///
/// # async fn example() -> Result<(), mc2_client::run::RunError> {
/// let plan = Plan::new(RunOptions {
///     workload: "target/workloads/sql.wasm".into(),
///     inputs: vec![("sales".into(), "sales.csv".into())],
///     arguments: vec!["select count(*) from sales".into()],
///     ..RunOptions::default()
/// })?;
/// let observer = Arc::new(|event: RunEvent<'_>| eprintln!("{event:?}"));
/// let report = plan.run(&(observer as _), &Stop::never()).await?;
/// # let _ = report;
/// # Ok(())
/// # }
/// ```
pub struct Plan {
    pub(super) state: State,
    pub(super) identity: Arc<Identity>,
    pub(super) workload: Workload,
    pub(super) policy: Policy,
    pub(super) job: Name,
    pub(super) arguments: Vec<String>,
    pub(super) inputs: Vec<Version>,
    pub(super) outputs: Vec<Output>,
    pub(super) stdout: Option<PathBuf>,
    pub(super) keep_sealed: Option<PathBuf>,
    pub(super) wait: Option<Duration>,
    pub(super) place: Place,
    pub(super) trust: TrustStore,
    pub(super) collateral: Option<Collateral>,
    pub(super) allow_simulated: bool,
    /// The session to join, where it is not a new one.
    pub(super) session: Option<Digest>,
    /// Whether the session goes on after it, for more of its kind.
    pub(super) lasting: bool,
    /// How long others are waited for, where not until the policy's end.
    pub(super) others: Option<Duration>,
    /// Versions of others' datasets that were named.
    pub(super) versions: Vec<(Name, Digest)>,
}

/// A session at a host that runs of one policy go to, one after the other, and who sends them.
pub(crate) struct Within {
    pub(crate) state: State,
    pub(crate) identity: Arc<Identity>,
    pub(crate) policy: Policy,
    pub(crate) session: Digest,
    pub(crate) address: HostAddress,
    pub(crate) roots: Trust,
    pub(crate) trust: TrustStore,
    pub(crate) collateral: Option<Collateral>,
    pub(crate) allow_simulated: bool,
    /// How long others are waited for, where not until the policy's end.
    pub(crate) others: Option<Duration>,
}

/// What is to run in such a session.
pub(crate) struct Wanted {
    pub(crate) job: Name,
    pub(crate) workload: Workload,
    pub(crate) arguments: Vec<String>,
    pub(crate) inputs: Vec<Version>,
    pub(crate) outputs: Vec<Output>,
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
        let collateral = options.collateral.read(state.collateral())?;
        let trust = match &place {
            Place::Host { address, .. } => {
                simulator::trusted(&state, address, options.allow_simulated, None)?
            }
            Place::Here { .. } => state.trusted()?,
        };
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
                given.check_arguments(&job, &options.arguments)?;
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
            .map(|(dataset, found)| {
                let name = dataset.to_string();
                Version::new(dataset, found, &identity, &state).map_err(of_input(name))
            })
            .collect::<Result<_, RunError>>()?;
        Ok(Self {
            state,
            identity: Arc::new(identity),
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
            collateral,
            allow_simulated,
            session: options.session,
            lasting: false,
            others: None,
            versions: options.versions,
        })
    }

    /// A run in a session that goes on after it. What the policy allows was checked before.
    pub(crate) fn within(within: Within, wanted: Wanted) -> Self {
        Self {
            state: within.state,
            identity: within.identity,
            workload: wanted.workload,
            policy: within.policy,
            job: wanted.job,
            arguments: wanted.arguments,
            inputs: wanted.inputs,
            outputs: wanted.outputs,
            stdout: None,
            keep_sealed: None,
            wait: None,
            place: Place::Host {
                address: within.address,
                trust: within.roots,
            },
            trust: within.trust,
            collateral: within.collateral,
            allow_simulated: within.allow_simulated,
            session: Some(within.session),
            lasting: true,
            others: within.others,
            versions: Vec::new(),
        }
    }

    /// The policy it runs under.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Bytes of all inputs that are to be sealed.
    pub(super) fn input_length(&self) -> u64 {
        self.inputs.iter().map(Version::length).sum()
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

/// Looks at the paths given as inputs.
fn scan(named: Vec<(Name, Option<PathBuf>)>) -> Result<Vec<(Name, Found)>, RunError> {
    let scan = |(name, path): (Name, Option<PathBuf>)| {
        let found = match path {
            None => Found::Plain(Source::standard_input()),
            Some(path) => Found::at(&path).map_err(of_input(name.to_string()))?,
        };
        Ok((name, found))
    };
    named.into_iter().map(scan).collect()
}

/// What cannot be used of an input, with its name.
pub(crate) fn of_input(name: String) -> impl FnOnce(DatasetError) -> RunError {
    move |error| match error {
        DatasetError::State(error) => error.into(),
        source => InputError::Dataset { name, source }.into(),
    }
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
    Ok(own_party(state, &given.policy, None)?)
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
    outputs: &[Output],
) -> Result<Policy, RunError> {
    let mut unique = [0; 8];
    crate::random().fill_bytes(&mut unique);
    let name: Name = format!("run-{}", hex::encode(unique))
        .parse()
        // Letters, a dash and digits.
        .unwrap_or_else(|error| unreachable!("{error}"));
    let generous = generous_limits();
    let memory = options.memory.unwrap_or(generous.memory);
    let datasets: Vec<(Name, Option<Digest>)> =
        datasets.into_iter().map(|name| (name, None)).collect();
    let outputs: Vec<WantedOutput> = outputs.iter().map(Output::wanted).collect();
    let policy = OneParty {
        name: &name,
        expires: unix_seconds(SystemTime::now()) + ONE_DAY,
        tee,
        card: identity.card(),
        component: &workload.name,
        sha256: &workload.sha256,
        datasets: &datasets,
        inputs: &[],
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
    let policy = Policy::parse(policy.to_toml().as_bytes());
    Ok(policy.map_err(PolicyFileError::of("the policy written for this run"))?)
}

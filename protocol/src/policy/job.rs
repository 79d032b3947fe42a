//! The policy's `[[job]]`: who may run what over which data, and who gets the result.

use std::sync::Arc;

use super::{
    error::{PolicyError, Problem},
    errors::Errors,
    party::{Component, Dataset, find_parties},
    reader::{Fields, Node},
    step::{Output, Step},
    units::{Duration, Size},
};
use crate::{Card, Name, documents::job::MAX_STEPS};

const MAX_JOBS: usize = 256;
const FIELDS: [&str; 8] = [
    "name", "submit", "approve", "runs", "limits", "metering", "errors", "step",
];

/// One job of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobRule {
    /// Its name.
    pub name: Name,
    /// Who may submit it, at least one party.
    pub submit: Vec<Arc<Card>>,
    /// Whose approval it needs; `None` only in a policy of one party.
    pub approve: Option<Approve>,
    /// How often one session runs it, at least 1.
    pub runs: u32,
    /// What one run may use.
    pub limits: Limits,
    /// Whether fuel is counted and stands in the receipt. It costs speed.
    pub metering: bool,
    /// What of a guest's own words a failed run lets out.
    pub errors: Errors,
    /// The steps in order, at least one.
    pub steps: Vec<Step>,
}

/// Whose approval a job needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Approve {
    /// Those whose approval counts, each once.
    pub of: Vec<Arc<Card>>,
    /// How many of them must approve: 1 to all.
    pub at_least: usize,
    /// What they approve.
    pub when: When,
}

/// What an approval is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// To the policy, once in a session.
    Session,
    /// To every single job, by its digest.
    Job,
}

/// What one run of a job may use, all steps and instances together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all memories and tables at once.
    pub memory: Size,
    /// Run time, by the untrusted clock and by the engine's epochs.
    pub time: Duration,
    /// Plaintext bytes of all released outputs, streams included.
    pub output: Size,
    /// Bytes of `/tmp` and of outputs that live inside the job; where the policy is silent, as
    /// much as `memory`.
    pub scratch: Size,
}

/// What the rest of the policy says, for references from jobs.
pub(super) struct Known<'p> {
    pub(super) parties: &'p [Arc<Card>],
    pub(super) components: &'p [Component],
    pub(super) datasets: &'p [Dataset],
    /// The jobs above.
    pub(super) jobs: &'p [JobRule],
    /// Outputs must be padded: the policy says `visible = "volume"`.
    pub(super) padded: bool,
}

impl<'p> Known<'p> {
    /// The cards of parties and brokers.
    pub(super) fn cards(&self) -> impl Iterator<Item = &'p Arc<Card>> {
        let brokers = self.datasets.iter().filter_map(|set| set.broker.as_ref());
        self.parties.iter().chain(brokers)
    }

    /// The party or broker of this name.
    pub(super) fn card(&self, name: &str) -> Option<&'p Arc<Card>> {
        self.cards().find(|card| card.name().as_str() == name)
    }

    /// What jobs above leave in custody.
    pub(super) fn in_custody(&self) -> impl Iterator<Item = &'p Output> {
        let steps = self.jobs.iter().flat_map(|job| &job.steps);
        let outputs = steps.flat_map(|step| &step.outputs);
        outputs.filter(|output| output.custody().is_some())
    }

    /// The party of a one-party policy.
    pub(super) fn only_party(&self) -> Option<&Arc<Card>> {
        match self.parties {
            [party] => Some(party),
            _ => None,
        }
    }
}

impl JobRule {
    fn read(node: &Node<'_>, known: &Known<'_>) -> Result<Self, PolicyError> {
        const SUBMIT: &str = "who may submit the job, such as submit = [\"bank-a\"]";
        const STEP: &str = "[[job.step]] once for each step";
        let fields = node.table(&FIELDS)?;
        let name = fields.required("name", "a name for the job")?.checked()?;
        let submit = fields.required_list("submit", known.parties.len(), SUBMIT)?;
        let submit = find_parties(&submit, known.parties)?;
        let approve = Approve::read(&fields, known)?;
        let runs = fields
            .required("runs", "how often a session may run it, such as runs = 1")?
            .integer(1..=u32::MAX)?;
        let limits = Limits::read(&fields)?;
        let metering = match fields.optional("metering") {
            Some(node) => node.boolean()?,
            None => false,
        };
        let errors = Errors::read(&fields, known.only_party().is_some())?;
        let mut steps: Vec<Step> = Vec::new();
        for node in fields.required_list("step", MAX_STEPS, STEP)? {
            let step = Step::read(&node, known, &steps)?;
            steps.push(step);
        }
        Ok(Self {
            name,
            submit,
            approve,
            runs,
            limits,
            metering,
            errors,
            steps,
        })
    }
}

/// The jobs of the policy, unique by name.
pub(super) fn read_jobs(
    fields: &Fields<'_>,
    known: &Known<'_>,
) -> Result<Vec<JobRule>, PolicyError> {
    const EXPECTED: &str = "[[job]] once for each job; a policy without jobs allows nothing";
    let mut jobs: Vec<JobRule> = Vec::new();
    for node in fields.required_list("job", MAX_JOBS, EXPECTED)? {
        let known = Known {
            jobs: &jobs,
            ..*known
        };
        let job = JobRule::read(&node, &known)?;
        if jobs.iter().any(|other| other.name == job.name) {
            return Err(node.error(Problem::repeated("job name", job.name)));
        }
        jobs.push(job);
    }
    Ok(jobs)
}

impl Approve {
    fn read(fields: &Fields<'_>, known: &Known<'_>) -> Result<Option<Self>, PolicyError> {
        const EXPECTED: &str = "whose approval the job needs, such as approve = { who = \"all\", \
                                when = \"session\" }";
        let node = match fields.optional("approve") {
            Some(node) => node,
            None if known.only_party().is_some() => return Ok(None),
            None => fields.required("approve", EXPECTED)?,
        };
        let fields = node.table(&["who", "when"])?;
        let who = fields.required(
            "who",
            "\"all\", a list of parties, or { of = [\"bank-a\"], at_least = 1 }",
        )?;
        let (of, at_least) = read_who(&who, known.parties)?;
        let when = fields.required("when", "when = \"session\" or when = \"job\"")?;
        let when = match when.string()? {
            "session" => When::Session,
            "job" => When::Job,
            other => {
                return Err(when.error(Problem::value("\"session\" or \"job\"", other)));
            }
        };
        Ok(Some(Self { of, at_least, when }))
    }
}

impl Limits {
    fn read(fields: &Fields<'_>) -> Result<Self, PolicyError> {
        const EXPECTED: &str =
            "limits = { memory = \"3GiB\", time = \"30min\", output = \"64MiB\" }";
        let node = fields.required("limits", EXPECTED)?;
        let fields = node.table(&["memory", "time", "output", "scratch"])?;
        let memory_node = fields.required("memory", "the most memory, memory = \"3GiB\"")?;
        let memory: Size = memory_node.parsed()?;
        if memory.bytes() == 0 {
            return Err(memory_node.error(Problem::value("more than nothing", "0B")));
        }
        let time_node = fields.required("time", "the longest run, time = \"30min\"")?;
        let time: Duration = time_node.parsed()?;
        if time.millis() == 0 {
            return Err(time_node.error(Problem::value("more than nothing", "0s")));
        }
        let output = fields
            .required("output", "the most bytes released, output = \"64MiB\"")?
            .parsed()?;
        let scratch = match fields.optional("scratch") {
            Some(node) => node.parsed()?,
            None => memory,
        };
        Ok(Self {
            memory,
            time,
            output,
            scratch,
        })
    }
}

fn read_who(
    node: &Node<'_>,
    parties: &[Arc<Card>],
) -> Result<(Vec<Arc<Card>>, usize), PolicyError> {
    const NAMES: &str = "the names of those who must approve, or \"all\"";
    if let Some(text) = node.as_str() {
        if text == "all" {
            return Ok((parties.to_vec(), parties.len()));
        }
        let expected = "\"all\", a list of parties, or { of = […], at_least = 2 }";
        return Err(node.error(Problem::value(expected, text)));
    }
    if !node.is_table() {
        let of = find_parties(&node.filled_array(parties.len(), NAMES)?, parties)?;
        let at_least = of.len();
        return Ok((of, at_least));
    }
    let fields = node.table(&["of", "at_least"])?;
    let of = fields.required_list("of", parties.len(), NAMES)?;
    let of = find_parties(&of, parties)?;
    let at_least = fields
        .required("at_least", "how many of them must approve, at_least = 2")?
        .integer(1..=of.len() as u32)?;
    Ok((of, at_least as usize))
}

//! The gate between a submitted job and its run.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Approvals, Arguments, Component, Errors, GuestKey, Input, JobRule, Limits, Origin, Output,
    Padding, Policy, Refusal, Step, When, argument::Mismatch, error::listed, party::names,
};
use crate::{
    Card, Digest, Name,
    documents::job::{self, Job, Source, StepInput},
};

/// A job that the policy allows, with everything its run is held to. Only [`Policy::admit`] makes
/// one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdmittedJob {
    /// SHA-256 of the job's exact bytes.
    pub digest: Digest,
    /// Its name in the policy.
    pub name: Name,
    /// The party that submitted it.
    pub submitter: Arc<Card>,
    /// Cards of those whose approval was needed and given.
    pub approved_by: Vec<Digest>,
    /// What those approved, where approvals were needed.
    pub approved_when: Option<When>,
    /// What the run may use.
    pub limits: Limits,
    /// Whether fuel is counted.
    pub metering: bool,
    /// What of a guest's own words a failed run lets out.
    pub errors: Errors,
    /// The datasets it reads, each in its one version, and what it takes out of custody.
    pub datasets: BTreeMap<Name, Digest>,
    /// Those of them for which somebody must [answer](Policy::answerers) before it starts.
    pub answers: Vec<Name>,
    /// The steps in order.
    pub steps: Vec<AdmittedStep>,
    /// Who may read the receipt: the submitter, every recipient of an output, who keeps one in
    /// custody, and the owners of the datasets, each once.
    pub readers: Vec<Arc<Card>>,
    /// Who is told what the host saw: the owners of the datasets, each once; the party of a
    /// one-party policy in any case.
    pub owners: Vec<Arc<Card>>,
}

/// One step of an [`AdmittedJob`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdmittedStep {
    /// The component to run.
    pub component: Component,
    /// How many instances of it.
    pub instances: u32,
    /// Its command line after its name.
    pub arguments: Vec<String>,
    /// What stands under `/in`, and where it comes from.
    pub inputs: Vec<StepInput>,
    /// What may stand under `/out`, the streams, and who gets them. What is not here is an error
    /// where it is a file, and dropped where it is a stream.
    pub outputs: Vec<Output>,
    /// How the lengths of released outputs are hidden.
    pub padding: Padding,
    /// Keys the guest is handed, and from whom each must have come.
    pub keys: Vec<GuestKey>,
}

impl AdmittedStep {
    /// The output `name`.
    pub fn output(&self, name: &str) -> Option<&Output> {
        self.outputs
            .iter()
            .find(|output| output.name.as_str() == name)
    }
}

/// A job as its rule allows it, approvals and runs aside.
struct Allowed<'p> {
    job: Job,
    rule: &'p JobRule,
    submitter: Arc<Card>,
    datasets: BTreeMap<Name, Digest>,
}

impl Policy {
    /// Decides on a job by its exact bytes, sent by the party whose card digest is `submitter`.
    ///
    /// `runs_used` says how many runs of a job this session has started, however they ended. Count
    /// this one and [`spend`](Approvals::spend) the job's approvals before another is admitted.
    ///
    /// # Errors
    /// [`Refusal`], naming the first thing the policy does not allow.
    pub fn admit(
        &self,
        bytes: &[u8],
        submitter: &Digest,
        approvals: &Approvals,
        runs_used: impl FnOnce(&Name) -> u32,
    ) -> Result<AdmittedJob, Refusal> {
        let Allowed {
            job,
            rule,
            submitter,
            datasets,
        } = self.allowed(bytes, submitter)?;
        let digest = Digest::of(bytes);
        let approved_by = rule.approved(approvals, &digest)?;
        if runs_used(&rule.name) >= rule.runs {
            return Err(Refusal::RunsSpent {
                job: job.name,
                runs: rule.runs,
            });
        }
        let owners = self.owners(&datasets);
        let readers = readers(rule, &submitter, &owners);
        let steps = rule.steps.iter().zip(job.steps);
        let steps: Result<_, _> = steps
            .map(|(rule, step)| self.admit_step(rule, step))
            .collect();
        Ok(AdmittedJob {
            digest,
            name: job.name,
            submitter,
            approved_by,
            approved_when: rule.approve.as_ref().map(|approve| approve.when),
            limits: rule.limits,
            metering: rule.metering,
            errors: rule.errors.clone(),
            answers: self.answers(&datasets),
            datasets,
            steps: steps?,
            readers,
            owners,
        })
    }

    /// The job of these bytes, if the policy lets the party whose card digest is `submitter` ask for
    /// it: what an approver sees to before it looks at one. Approvals and runs are not looked at.
    ///
    /// # Errors
    /// [`Refusal`], as [`admit`](Self::admit).
    pub fn allows(&self, bytes: &[u8], submitter: &Digest) -> Result<Job, Refusal> {
        Ok(self.allowed(bytes, submitter)?.job)
    }

    fn allowed(&self, bytes: &[u8], submitter: &Digest) -> Result<Allowed<'_>, Refusal> {
        let job = Job::parse(bytes)?;
        if job.policy != self.digest {
            return Err(Refusal::OtherPolicy {
                expected: self.digest,
                found: job.policy,
            });
        }
        let rule = self.rule(&job.name)?;
        Ok(Allowed {
            submitter: rule.submitter(submitter)?,
            datasets: self.check_steps(rule, &job)?,
            rule,
            job,
        })
    }

    /// A job this policy allows: the steps and inputs are the policy's, `objects` gives the version
    /// of each dataset it does not pin, `arguments` the command line of each step.
    ///
    /// # Errors
    /// [`Refusal`], as [`admit`](Self::admit) would refuse it but for submitter, approvals and runs.
    pub fn draft(
        &self,
        name: &Name,
        objects: &BTreeMap<Name, Digest>,
        arguments: Vec<Vec<String>>,
        salt: [u8; 32],
    ) -> Result<Job, Refusal> {
        let rule = self.rule(name)?;
        if arguments.len() != rule.steps.len() {
            return Err(rule.wrong_steps(arguments.len()));
        }
        let steps = rule.steps.iter().zip(arguments).map(|(step, arguments)| {
            let inputs: Result<_, _> = step
                .inputs
                .iter()
                .map(|input| self.draft_input(input, objects))
                .collect();
            Ok(job::Step {
                component: step.component.clone(),
                instances: step.instances,
                arguments,
                inputs: inputs?,
            })
        });
        let steps = steps.collect::<Result<_, Refusal>>()?;
        let job = Job::new(self.digest, name.clone(), salt, steps);
        self.check_steps(rule, &job)?;
        Ok(job)
    }

    /// Decides whether `sender` may release the key of `object` as a version of `dataset`, or as the
    /// output of that name that is in its custody.
    ///
    /// # Errors
    /// [`Refusal`]: no such dataset, one of which the sender is neither owner nor broker, or another
    /// version than the pinned one.
    pub fn check_release(
        &self,
        sender: &Digest,
        dataset: &Name,
        object: &Digest,
    ) -> Result<(), Refusal> {
        if let Some(custody) = self.custody(dataset) {
            return match custody.holder.digest() == sender {
                true => Ok(()),
                false => Err(Refusal::NotTheCustodian {
                    output: dataset.clone(),
                    custodian: custody.holder.name().to_string(),
                }),
            };
        }
        let Some(rule) = self.dataset(dataset) else {
            return Err(Refusal::UnknownDataset {
                dataset: dataset.clone(),
                known: listed(self.datasets.iter().map(|dataset| &dataset.name)),
            });
        };
        let mut may = std::iter::once(&rule.owner).chain(&rule.broker);
        if !may.any(|card| card.digest() == sender) {
            return Err(Refusal::NotTheOwner {
                dataset: dataset.clone(),
                owner: rule.owner.name().to_string(),
            });
        }
        self.check_version(dataset, object)
    }

    /// Decides whether `sender` may give the guests' key `name`.
    ///
    /// # Errors
    /// [`Refusal`]: no step takes such a key, or none takes it from this party.
    pub fn check_guest_key(&self, sender: &Digest, name: &Name) -> Result<(), Refusal> {
        let steps = self.jobs.iter().flat_map(|job| &job.steps);
        let keys: Vec<&GuestKey> = steps.flat_map(|step| &step.keys).collect();
        let mut of_name = keys.iter().filter(|key| key.name == *name).peekable();
        if of_name.peek().is_none() {
            let known: BTreeSet<&Name> = keys.iter().map(|key| &key.name).collect();
            return Err(Refusal::UnknownGuestKey {
                key: name.clone(),
                known: listed(known),
            });
        }
        let from: BTreeSet<_> = of_name.clone().map(|key| key.from.name()).collect();
        if !of_name.any(|key| key.from.digest() == sender) {
            return Err(Refusal::NotTheGiver {
                key: name.clone(),
                from: listed(from),
            });
        }
        Ok(())
    }

    fn rule(&self, name: &Name) -> Result<&JobRule, Refusal> {
        self.job(name).ok_or_else(|| Refusal::UnknownJob {
            job: name.clone(),
            known: listed(self.jobs.iter().map(|job| &job.name)),
        })
    }

    /// Checks every step, and returns the one version of each dataset.
    fn check_steps(&self, rule: &JobRule, job: &Job) -> Result<BTreeMap<Name, Digest>, Refusal> {
        if job.steps.len() != rule.steps.len() {
            return Err(rule.wrong_steps(job.steps.len()));
        }
        let mut datasets = BTreeMap::new();
        for (index, (rule, step)) in rule.steps.iter().zip(&job.steps).enumerate() {
            let number = index + 1;
            if step.component != rule.component {
                return Err(Refusal::Component {
                    step: number,
                    expected: rule.component.clone(),
                    found: step.component.clone(),
                });
            }
            if step.instances != rule.instances {
                return Err(Refusal::Instances {
                    step: number,
                    expected: rule.instances,
                    found: step.instances,
                });
            }
            check_inputs(number, rule, &step.inputs)?;
            check_arguments(number, &rule.arguments, &step.arguments)?;
        }
        for (dataset, object) in job.datasets() {
            self.check_version(dataset, object)?;
            let earlier = datasets.insert(dataset.clone(), *object);
            if earlier.is_some_and(|earlier| earlier != *object) {
                return Err(Refusal::TwoVersions {
                    dataset: dataset.clone(),
                });
            }
        }
        Ok(datasets)
    }

    fn check_version(&self, dataset: &Name, object: &Digest) -> Result<(), Refusal> {
        let pinned = self.dataset(dataset).and_then(|dataset| dataset.object);
        match pinned {
            Some(expected) if expected != *object => Err(Refusal::OtherVersion {
                dataset: dataset.clone(),
                expected,
                found: *object,
            }),
            _ => Ok(()),
        }
    }

    fn admit_step(&self, rule: &Step, step: job::Step) -> Result<AdmittedStep, Refusal> {
        let component = self
            .component(&rule.component)
            // Parsing resolved every component a step names.
            .unwrap_or_else(|| unreachable!("a checked policy names its components"));
        Ok(AdmittedStep {
            component: component.clone(),
            instances: rule.instances,
            arguments: step.arguments,
            inputs: step.inputs,
            outputs: rule.outputs.clone(),
            padding: rule.padding,
            keys: rule.keys.clone(),
        })
    }

    fn answers(&self, datasets: &BTreeMap<Name, Digest>) -> Vec<Name> {
        let needed = datasets
            .keys()
            .filter(|name| self.answerers(name).is_some());
        needed.cloned().collect()
    }

    fn owners(&self, datasets: &BTreeMap<Name, Digest>) -> Vec<Arc<Card>> {
        if let [party] = &self.parties[..] {
            return vec![Arc::clone(party)];
        }
        let mut owners: Vec<Arc<Card>> = Vec::new();
        for owner in datasets
            .keys()
            .filter_map(|dataset| self.keeper_of(dataset))
        {
            if !owners.contains(owner) {
                owners.push(Arc::clone(owner));
            }
        }
        owners
    }

    fn draft_input(
        &self,
        input: &Input,
        objects: &BTreeMap<Name, Digest>,
    ) -> Result<StepInput, Refusal> {
        let source = match &input.from {
            Origin::Step(output) => Source::Step {
                output: output.clone(),
            },
            Origin::Custody(output) => Source::Custody {
                output: output.clone(),
                object: *objects.get(output).ok_or_else(|| Refusal::NoVersion {
                    dataset: output.clone(),
                })?,
            },
            Origin::Dataset(name) => {
                let pinned = self.dataset(name).and_then(|dataset| dataset.object);
                let object = objects.get(name).copied().or(pinned);
                Source::Dataset {
                    name: name.clone(),
                    object: object.ok_or_else(|| Refusal::NoVersion {
                        dataset: name.clone(),
                    })?,
                }
            }
        };
        Ok(StepInput {
            name: input.name.clone(),
            source,
        })
    }
}

impl JobRule {
    fn submitter(&self, card: &Digest) -> Result<Arc<Card>, Refusal> {
        let found = self.submit.iter().find(|party| party.digest() == card);
        found.cloned().ok_or_else(|| Refusal::NotASubmitter {
            job: self.name.clone(),
            allowed: listed(names(&self.submit)),
        })
    }

    fn approved(&self, approvals: &Approvals, job: &Digest) -> Result<Vec<Digest>, Refusal> {
        let Some(rule) = &self.approve else {
            return Ok(Vec::new());
        };
        let given = approvals.given(rule, job);
        if given.len() >= rule.at_least {
            return Ok(given);
        }
        let who = rule.of.iter().filter(|card| given.contains(card.digest()));
        Err(Refusal::NotApproved {
            job: self.name.clone(),
            needed: rule.at_least,
            of: listed(names(&rule.of)),
            each: rule.when == When::Job,
            given: listed(who.map(|card| card.name())),
        })
    }

    fn wrong_steps(&self, found: usize) -> Refusal {
        Refusal::Steps {
            job: self.name.clone(),
            expected: self.steps.len(),
            found,
        }
    }
}

fn readers(rule: &JobRule, submitter: &Arc<Card>, owners: &[Arc<Card>]) -> Vec<Arc<Card>> {
    let mut readers = vec![Arc::clone(submitter)];
    let outputs = rule.steps.iter().flat_map(|step| &step.outputs);
    let reached = outputs.flat_map(|output| {
        let holder = output.custody().map(|custody| &custody.holder);
        output.recipients().iter().chain(holder)
    });
    for card in reached.chain(owners) {
        if !readers.contains(card) {
            readers.push(Arc::clone(card));
        }
    }
    readers
}

fn check_inputs(step: usize, rule: &Step, inputs: &[StepInput]) -> Result<(), Refusal> {
    let mut found: Vec<&Name> = inputs.iter().map(|input| &input.name).collect();
    found.sort();
    // The policy's inputs are sorted and unique, so an input given twice differs too.
    if !found
        .iter()
        .copied()
        .eq(rule.inputs.iter().map(|input| &input.name))
    {
        return Err(Refusal::Inputs {
            step,
            expected: listed(rule.inputs.iter().map(|input| &input.name)),
            found: listed(found.iter().take(64)),
        });
    }
    for input in inputs {
        let expected = rule.inputs.iter().find(|rule| rule.name == input.name);
        let same = match (expected.map(|input| &input.from), &input.source) {
            (Some(Origin::Dataset(expected)), Source::Dataset { name, .. }) => expected == name,
            (Some(Origin::Step(expected)), Source::Step { output })
            | (Some(Origin::Custody(expected)), Source::Custody { output, .. }) => {
                expected == output
            }
            _ => false,
        };
        if !same {
            return Err(Refusal::Source {
                step,
                input: input.name.clone(),
                expected: match expected.map(|input| &input.from) {
                    Some(Origin::Dataset(name)) => format!("dataset {name}"),
                    Some(Origin::Step(name)) => format!("step output {name}"),
                    Some(Origin::Custody(name)) => format!("output {name} in custody"),
                    None => "nothing".to_owned(),
                },
                found: match &input.source {
                    Source::Dataset { name, .. } => format!("dataset {name}"),
                    Source::Step { output } => format!("step output {output}"),
                    Source::Custody { output, .. } => format!("output {output} in custody"),
                },
            });
        }
    }
    Ok(())
}

fn check_arguments(step: usize, rule: &Arguments, arguments: &[String]) -> Result<(), Refusal> {
    let refused = |index: usize, expected: String| Refusal::Argument {
        step,
        argument: index + 1,
        expected,
    };
    // A command line ends an argument at NUL: what was matched would not be what the guest reads.
    if let Some(index) = arguments
        .iter()
        .position(|argument| argument.contains('\0'))
    {
        return Err(refused(index, "no NUL bytes".to_owned()));
    }
    rule.check(arguments).map_err(|mismatch| match mismatch {
        Mismatch::Count(expected) => Refusal::ArgumentCount {
            step,
            expected,
            found: arguments.len(),
        },
        Mismatch::Argument(index, expected) => refused(index, expected),
    })
}

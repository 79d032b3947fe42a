//! From which datasets an output is made.

use std::collections::BTreeSet;

use mc2_protocol::{
    Card, Name,
    policy::{JobRule, Origin, Output, Policy, Step},
};

/// The datasets that can influence what this step leaves: those it reads, and those behind what it
/// reads of earlier steps and takes out of custody.
pub(super) fn behind(policy: &Policy, job: &JobRule, step: &Step) -> BTreeSet<Name> {
    let mut datasets = BTreeSet::new();
    for input in &step.inputs {
        match &input.from {
            Origin::Dataset(name) => {
                datasets.insert(name.clone());
            }
            Origin::Step(output) => {
                // A step reads of earlier ones only, so this ends.
                if let Some(earlier) = leaves(job, output) {
                    datasets.extend(behind(policy, job, earlier));
                }
            }
            Origin::Custody(output) => {
                // A job takes what jobs above it left, so this ends too.
                let kept = |step: &&Step| {
                    let output = step.output(output.as_str());
                    output.is_some_and(|output| output.custody().is_some())
                };
                for job in policy.jobs() {
                    let steps = job.steps.iter().filter(kept);
                    datasets.extend(steps.flat_map(|step| behind(policy, job, step)));
                }
            }
        }
    }
    datasets
}

/// Every dataset the job reads.
pub(super) fn read(policy: &Policy, job: &JobRule) -> BTreeSet<Name> {
    let steps = job.steps.iter();
    steps.flat_map(|step| behind(policy, job, step)).collect()
}

/// `transactions of bank-a and accounts of bank-b`.
pub(super) fn in_words(policy: &Policy, datasets: &BTreeSet<Name>) -> String {
    if datasets.is_empty() {
        return "no data of anybody's".to_owned();
    }
    super::listed(datasets.iter().map(|name| match policy.owner_of(name) {
        Some(owner) => format!("{name} of {}", owner.name()),
        None => name.to_string(),
    }))
}

/// Those of `datasets` that are somebody else's than `party`'s.
pub(super) fn of_others(
    policy: &Policy,
    datasets: &BTreeSet<Name>,
    party: &Card,
) -> BTreeSet<Name> {
    let others = |name: &&Name| policy.owner_of(name).is_some_and(|owner| **owner != *party);
    datasets.iter().filter(others).cloned().collect()
}

/// Whether the card is among the output's recipients.
pub(super) fn gets(card: &Card, output: &Output) -> bool {
    output.recipients().iter().any(|one| **one == *card)
}

fn leaves<'j>(job: &'j JobRule, output: &Name) -> Option<&'j Step> {
    let has = |step: &&Step| step.output(output.as_str()).is_some();
    job.steps.iter().find(has)
}

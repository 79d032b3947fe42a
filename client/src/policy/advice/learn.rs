//! What each party could learn, and from whose data.

use std::{collections::BTreeSet, sync::Arc};

use mc2_protocol::{
    Card, Name,
    policy::{Errors, JobRule, Origin, Output, Policy, Step, To, USAGE},
};

use super::{Said, Section::Learn, count, listed, place, sources};

pub(super) fn say(policy: &Policy, said: &mut Said) {
    for party in policy.parties() {
        let before = said.0.len();
        for job in policy.jobs() {
            outputs(policy, job, party, said);
            receipt(policy, job, party, said);
        }
        if said.0.len() == before {
            let text =
                "gets no output and reads no receipt. What it approves it is shown, and what a \
                        session has of each party it may ask."
                    .to_owned();
            said.fact(Learn, "learns-nothing", party.name(), text);
        }
    }
    for job in policy.jobs() {
        words_of_failure(policy, job, said);
        kept_back(job, said);
    }
    for dataset in policy.datasets() {
        reaches(policy, &dataset.name, &dataset.owner, said);
    }
}

/// What of a job's outputs goes to this party.
fn outputs(policy: &Policy, job: &JobRule, party: &Card, said: &mut Said) {
    for (index, step) in job.steps.iter().enumerate() {
        let from = sources::in_words(policy, &sources::behind(policy, job, step));
        let mine = step.outputs.iter().filter(|one| sources::gets(party, one));
        for output in mine {
            let (id, what) = described(job, step, output);
            let text = format!("gets {what}, made of {from} ({}).", place(&job.name, index));
            said.fact(Learn, id, party.name(), text);
        }
    }
}

fn described(job: &JobRule, step: &Step, output: &Output) -> (&'static str, String) {
    let component = &step.component;
    let most = job.limits.output;
    match output.name.as_str() {
        "stdout" | "stderr" => {
            let name = &output.name;
            let failed = if job.errors.are_full() {
                "of a failed run too"
            } else {
                "of a failed run nothing"
            };
            let what = format!("{name}, whatever {component} prints there, {failed}");
            ("learns-stream", what)
        }
        "progress" => {
            let what = if job.errors.are_full() {
                format!("progress, whatever {component} says while it runs")
            } else {
                format!("progress, numbers that {component} chooses while it runs")
            };
            ("learns-progress", what)
        }
        "error" => {
            let what = match &job.errors {
                Errors::Full => format!("error, whatever {component} says of its failure"),
                Errors::None => "error, which never says anything here".to_owned(),
                Errors::Codes(_) => format!("error, a code that {component} chooses when it fails"),
            };
            ("learns-error", what)
        }
        USAGE => {
            let what = format!(
                "usage, figures that {component} can steer (memory, bytes read and written, fuel)"
            );
            ("learns-usage", what)
        }
        name => {
            let kind = if output.folder { "folder" } else { "file" };
            let what = format!("the {kind} {name} of {component}, with other outputs {most} a run");
            ("learns-output", what)
        }
    }
}

/// What the receipt tells this party, where it reads it.
fn receipt(policy: &Policy, job: &JobRule, party: &Card, said: &mut Said) {
    let inputs = job.steps.iter().flat_map(|step| &step.inputs);
    let owner = inputs.clone().any(|input| match &input.from {
        // Who keeps what is in custody stands in its owner's place.
        Origin::Dataset(name) | Origin::Custody(name) => {
            policy.keeper_of(name).is_some_and(|one| **one == *party)
        }
        Origin::Step(_) => false,
    });
    let submitter = job.submit.iter().any(|one| **one == *party);
    let outputs = || job.steps.iter().flat_map(|step| &step.outputs);
    let recipient = outputs().any(|output| sources::gets(party, output));
    let custodian = outputs().any(|output| {
        let custody = output.custody();
        custody.is_some_and(|custody| *custody.holder == *party)
    });
    let mut roles = Vec::new();
    if submitter {
        roles.push("where it submitted the run");
    }
    if recipient {
        roles.push("as a recipient");
    }
    if custodian {
        roles.push("as a custodian");
    }
    if owner {
        roles.push("as an owner");
    }
    if roles.is_empty() {
        return;
    }
    let text = format!(
        "reads the receipt of job {} ({}): that the run succeeded, or in which step and in one word \
         why not; who submitted it; which objects it read and left, and who gets them.",
        job.name,
        listed(roles)
    );
    said.fact(Learn, "learns-receipt", party.name(), text);
    if owner || policy.parties().len() == 1 {
        let text = format!(
            "is told in the receipt of job {} what the host saw of each step: segments and bytes \
             fetched, bytes spilled and stored, time by its clock.",
            job.name
        );
        said.fact(Learn, "learns-observed", party.name(), text);
    }
}

/// How much a failed run says in its component's own words, where anybody hears it.
fn words_of_failure(policy: &Policy, job: &JobRule, said: &mut Said) {
    let about = format!("job {}", job.name);
    // A code passes under `error` alone, words under every stream.
    let hears = |one: &Output| match &job.errors {
        Errors::Codes(_) => one.name.as_str() == "error" && one.is_released(),
        _ => one.is_stream() && one.is_released(),
    };
    let heard = job
        .steps
        .iter()
        .filter(|step| step.outputs.iter().any(hears));
    let heard: Vec<&Step> = heard.collect();
    if heard.is_empty() {
        return;
    }
    // One step of a run fails, and which one is told besides.
    let bits = heard.iter().map(|step| job.errors.bits(step.inputs.len()));
    let bits = bits.reduce(|one, other| Some(one?.max(other?))).flatten();
    match (&job.errors, bits) {
        (Errors::None, _) => {
            let text = "a run that fails says nothing in its component's own words: its receipt \
                        says in one word of the runtime's why."
                .to_owned();
            said.fact(Learn, "errors-none", about, text);
        }
        (Errors::Codes(codes), Some(bits)) => {
            let all = u128::from(bits) * u128::from(job.runs);
            let text = format!(
                "a run that fails says in its component's own words one of {}, the name of an input \
                 and two numbers at most: {bits} bits, which the component chooses, and so {all} bits \
                 in a session's {}.",
                count(codes.len() as u128, "code", "codes"),
                count(job.runs, "run", "runs"),
            );
            said.warn(Learn, "errors-codes", about, text);
        }
        _ if policy.parties().len() == 1 => {}
        _ => {
            let text =
                "errors = \"full\": what a component says when it fails, and what it printed \
                        until then, may quote any value it read, and it can fail on purpose."
                    .to_owned();
            said.warn(Learn, "errors-full", about, text);
        }
    }
}

/// What a job leaves that no party gets.
fn kept_back(job: &JobRule, said: &mut Said) {
    for (index, step) in job.steps.iter().enumerate() {
        let about = place(&job.name, index);
        for output in &step.outputs {
            let name = &output.name;
            match &output.to {
                To::Step if is_read(job, name) => {
                    let text = format!(
                        "its output {name} goes to later steps of the same run; no party gets it."
                    );
                    said.fact(Learn, "output-inside", &about, text);
                }
                To::Step => {
                    let text = format!("its output {name} goes to \"step\" and no step reads it.");
                    said.warn(Learn, "output-unread", &about, text);
                }
                To::Parties(cards) if cards.is_empty() => {
                    let text = format!("its output {name} is released to nobody.");
                    said.warn(Learn, "output-to-nobody", &about, text);
                }
                To::Custody(custody) => {
                    let text = format!(
                        "its output {name} is nobody's to open: {} keeps its key and may release it \
                         to later jobs of this policy, {} times in all. {}'s own machine could open \
                         it all the same, or release it more often; nobody else's can.",
                        custody.holder.name(),
                        custody.runs,
                        custody.holder.name()
                    );
                    said.fact(Learn, "output-in-custody", &about, text);
                }
                To::Parties(_) => {}
            }
        }
    }
}

/// Where what stands in a dataset can end up.
fn reaches(policy: &Policy, dataset: &Name, owner: &Card, said: &mut Said) {
    let about = format!("dataset {dataset} of {}", owner.name());
    let mut others: BTreeSet<String> = BTreeSet::new();
    let mut ways = BTreeSet::new();
    let mut is_read = false;
    for job in policy.jobs() {
        for step in &job.steps {
            if !sources::behind(policy, job, step).contains(dataset) {
                continue;
            }
            is_read = true;
            for output in &step.outputs {
                let recipients: Vec<&Arc<Card>> = output
                    .recipients()
                    .iter()
                    .filter(|card| ***card != *owner)
                    .collect();
                if !recipients.is_empty() {
                    ways.insert(format!("{} of job {}", output.name, job.name));
                }
                others.extend(recipients.iter().map(|card| card.name().to_string()));
            }
        }
    }
    if !is_read {
        let text = "no job reads it.".to_owned();
        said.warn(Learn, "dataset-unread", about, text);
        return;
    }
    let text = if others.is_empty() {
        "no output made of it goes to anybody but its owner.".to_owned()
    } else {
        format!("it can reach {} through {}.", listed(others), listed(ways))
    };
    said.fact(Learn, "dataset-reaches", about, text);
}

fn is_read(job: &JobRule, output: &Name) -> bool {
    let mut inputs = job.steps.iter().flat_map(|step| &step.inputs);
    inputs.any(|input| matches!(&input.from, Origin::Step(name) if name == output))
}

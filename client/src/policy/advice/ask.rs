//! Who may ask, how freely and how often, who may choose the data, and who must agree.

use std::collections::BTreeSet;

use mc2_protocol::{
    Card, Name,
    policy::{Arguments, JobRule, Pattern, Policy, Step, When},
};

use super::{super::words, Said, Section::Ask, count, listed, place, sources};
pub(super) fn say(policy: &Policy, said: &mut Said) {
    for job in policy.jobs() {
        submitters(job, said);
        approval(policy, job, said);
        for (index, step) in job.steps.iter().enumerate() {
            arguments(step, &place(&job.name, index), said);
            keys(step, &place(&job.name, index), said);
        }
        askers(policy, job, said);
    }
    versions(policy, said);
    components(policy, said);
}

fn submitters(job: &JobRule, said: &mut Said) {
    let about = format!("job {}", job.name);
    let who = listed(job.submit.iter().map(|card| card.name()));
    let outputs = job.steps.iter().flat_map(|step| &step.outputs);
    let released = outputs.filter(|output| output.is_released()).count() as u128;
    let runs = u128::from(job.runs);
    let text = format!(
        "{who} may submit it: {} in one session, each with {}, so at most {}. A run is spent when it \
         starts. How many sessions there are is the owners' to count: each key \
         goes to one session for a number of runs, and that number is spent.",
        count(runs, "run", "runs"),
        count(released, "output", "outputs"),
        count(runs * released, "output", "outputs"),
    );
    said.fact(Ask, "answers", about, text);
}

fn arguments(step: &Step, about: &str, said: &mut Said) {
    let component = &step.component;
    let patterns = match &step.arguments {
        Arguments::Any => {
            let text = format!(
                "args = \"any\": the submitter may pass {component} anything; of one that takes \
                 queries it can ask for every row it reads."
            );
            said.warn(Ask, "arguments-any", about, text);
            return;
        }
        Arguments::Listed(patterns) => patterns,
    };
    let chosen = patterns
        .iter()
        .filter(|one| one.choices() != Some(1))
        .count();
    let number: usize = patterns.iter().map(Pattern::arguments).sum();
    let number = count(number as u128, "argument", "arguments");
    if chosen == 0 {
        let text = if patterns.is_empty() {
            format!("{component} gets no arguments.")
        } else {
            let all = patterns.iter().map(words::pattern);
            format!("{component} gets exactly the {number} {}.", listed(all))
        };
        said.fact(Ask, "arguments-fixed", about, text);
    } else {
        let lists = patterns
            .iter()
            .try_fold(1_u128, |lists, one| lists.checked_mul(one.choices()?));
        let lists = lists.map_or_else(
            || "without a bound on how many different command lines there are".to_owned(),
            |lists| {
                format!(
                    "{} in all",
                    count(lists, "command line", "different command lines")
                )
            },
        );
        let text =
            format!("of the {number} of {component} the submitter chooses {chosen}, {lists}.");
        said.fact(Ask, "arguments-chosen", about, text);
    }
    let mut next = 1;
    for pattern in patterns {
        let number = next;
        next += pattern.arguments();
        match pattern {
            Pattern::Literal(_) => {}
            Pattern::Number(_) | Pattern::OneOf(_) => {
                let text = format!("argument {number} is {}.", words::pattern(pattern));
                said.fact(Ask, "argument-of-list", about, text);
            }
            Pattern::Any => {
                let text = format!(
                    "argument {number} is any text that does not start with -: the submitter \
                     chooses it freely."
                );
                said.warn(Ask, "argument-any", about, text);
            }
            Pattern::FixedSql(sql) => {
                let values = if sql.params.is_empty() {
                    String::new()
                } else {
                    "; the submitter chooses the values, which the engine binds and never puts into \
                     the text"
                        .to_owned()
                };
                let text = format!("argument {number} is {}{values}.", words::pattern(pattern));
                said.fact(Ask, "argument-fixed-sql", about, text);
            }
        }
    }
}

/// What of a party's secrets a component is handed.
fn keys(step: &Step, about: &str, said: &mut Said) {
    for key in &step.keys {
        let text = format!(
            "{} hands {} the key {}: the component sees it, and whatever it leaves may tell it.",
            key.from.name(),
            step.component,
            key.name
        );
        said.warn(Ask, "guest-key", about, text);
    }
}

/// Those who choose what is asked, and read the answer, about somebody else's data.
fn askers(policy: &Policy, job: &JobRule, said: &mut Said) {
    for submitter in &job.submit {
        for (index, step) in job.steps.iter().enumerate() {
            let earlier = &job.steps[..=index];
            let chooses = earlier.iter().any(is_chosen);
            let gets = step
                .outputs
                .iter()
                .filter(|output| sources::gets(submitter, output));
            let gets: Vec<String> = gets.map(|output| output.name.to_string()).collect();
            let datasets = sources::behind(policy, job, step);
            let others = sources::of_others(policy, &datasets, submitter);
            if !chooses || gets.is_empty() || others.is_empty() {
                continue;
            }
            let text = format!(
                "{} chooses arguments and gets {}, which are made of {}: what it can find out is \
                 what those arguments can make the components say.",
                submitter.name(),
                listed(gets),
                sources::in_words(policy, &others)
            );
            said.warn(Ask, "asks-of-others", place(&job.name, index), text);
        }
    }
}

fn is_chosen(step: &Step) -> bool {
    match &step.arguments {
        Arguments::Any => true,
        Arguments::Listed(patterns) => patterns.iter().any(|one| one.choices() != Some(1)),
    }
}

fn approval(policy: &Policy, job: &JobRule, said: &mut Said) {
    let about = format!("job {}", job.name);
    let Some(approve) = &job.approve else {
        let text = "needs no approval.".to_owned();
        said.fact(Ask, "no-approval", about, text);
        return;
    };
    let names = || listed(approve.of.iter().map(|card| card.name()));
    let who = if approve.at_least == approve.of.len() {
        names()
    } else {
        format!("any {} of {}", approve.at_least, names())
    };
    match approve.when {
        When::Session => {
            let text = format!(
                "needs the approval of {who}, given once in a session to this policy: an approver is \
                 not shown what is asked under it."
            );
            said.fact(Ask, "approved-once", &about, text);
            if job
                .steps
                .iter()
                .any(|step| step.arguments == Arguments::Any)
            {
                let text = "is approved once for a session, and its arguments may be anything: an \
                            approver does not see what will be asked."
                    .to_owned();
                said.warn(Ask, "approved-unseen", &about, text);
            }
        }
        When::Job => {
            let text = format!(
                "needs the approval of {who} for every single run: each is shown that run's exact \
                 arguments and inputs, and its approval is good for that run alone."
            );
            said.fact(Ask, "approved-each-job", &about, text);
        }
    }
    if approve.at_least < approve.of.len() {
        let text = format!(
            "any {} of {} approve it, the others need not agree.",
            approve.at_least,
            names()
        );
        said.warn(Ask, "quorum", &about, text);
    }
    for name in sources::read(policy, job) {
        let Some(owner) = policy.owner_of(&name) else {
            continue;
        };
        if !approve.of.contains(owner) {
            let broker = policy.dataset(&name).and_then(|one| one.broker.as_ref());
            let release = match broker {
                None => "its release of the key".to_owned(),
                Some(broker) => format!("its release of the key, or {}'s,", broker.name()),
            };
            let text = format!(
                "reads dataset {name} of {}, who is not asked for approval; {release} is its only \
                 say.",
                owner.name()
            );
            said.warn(Ask, "owner-not-asked", &about, text);
        }
    }
}

/// Who chooses which data a session reads.
fn versions(policy: &Policy, said: &mut Said) {
    for dataset in policy.datasets() {
        let owner = dataset.owner.name();
        let about = format!("dataset {}", dataset.name);
        if let Some(broker) = &dataset.broker {
            let text = format!(
                "its broker {} may release its key without {owner}; it approves, submits and opens \
                 nothing. {owner} signed its card ({}).",
                broker.name(),
                broker.fingerprint()
            );
            said.fact(Ask, "broker", &about, text);
        }
        match &dataset.object {
            Some(object) => {
                let broker = dataset.broker.as_ref().map(|broker| broker.name());
                let releases = broker.map_or_else(
                    || format!("{owner} releases its key"),
                    |broker| format!("{owner} or {broker} releases its key"),
                );
                let text = format!("is the version {object} and no other; {releases}.");
                said.fact(Ask, "dataset-pinned", &about, text);
            }
            None => {
                let with = beside(policy, dataset.owner.as_ref(), &dataset.name);
                let text = format!(
                    "is what {owner} brings to a session, any version of it{}",
                    if with.is_empty() {
                        ".".to_owned()
                    } else {
                        format!(
                            ": by rows made up for it {owner} may steer what is said of {}.",
                            listed(with)
                        )
                    }
                );
                said.fact(Ask, "dataset-any-version", &about, text);
            }
        }
    }
}

/// The datasets of others that are read together with this one.
fn beside(policy: &Policy, owner: &Card, dataset: &Name) -> Vec<String> {
    let mut found = BTreeSet::new();
    for job in policy.jobs() {
        for step in &job.steps {
            let datasets = sources::behind(policy, job, step);
            if datasets.contains(dataset) {
                for name in sources::of_others(policy, &datasets, owner) {
                    let whose = policy.owner_of(&name).map(|card| card.name());
                    found.extend(whose.map(|whose| format!("{name} of {whose}")));
                }
            }
        }
    }
    found.into_iter().collect()
}

fn components(policy: &Policy, said: &mut Said) {
    for component in policy.components() {
        let about = format!("component {}", component.name);
        let steps = || policy.jobs().iter().flat_map(|job| &job.steps);
        if !steps().any(|step| step.component == component.name) {
            let text = "is used by no job.".to_owned();
            said.warn(Ask, "component-unused", about, text);
            continue;
        }
        let text = format!(
            "is the file whose SHA-256 is {} and no other; it gets no authority but its inputs, \
             its outputs and the keys it is handed.",
            component.sha256
        );
        said.fact(Ask, "component", about, text);
    }
}

//! What an approver is shown: all of it, so that it cannot be misread.
//!
//! An approval signs the digest of exact bytes. What is shown here is read from those bytes and
//! nothing else, with their digest: every field, nothing cut off, every name with what makes it
//! unique, and text of others' in quotes with whatever could hide in it spelt out
//! ([`quoted`]).

use std::fmt::Write as _;

use mc2_protocol::{
    Card, Digest, Identity, Name,
    documents::job::{Job, Source},
    encoding::JsonError,
    policy::{
        Arguments, Errors, JobRule, Origin, Padding, Pattern, Platforms, Policy, Step, Tcb, To,
        Visible, When,
    },
};

use super::{advice, date::rfc3339, words::pattern};
use crate::terminal::{listed, quoted};

/// A policy, field by field, with its digest.
pub fn policy_text(policy: &Policy) -> String {
    let mut text = Text::new();
    text.line("what", "policy");
    text.line("name", policy.name());
    text.line("digest", policy.digest());
    text.line("expires", rfc3339(policy.expires()));
    let visible = match policy.visible() {
        Visible::Access => "access",
        Visible::Volume => "volume",
    };
    text.line("visible", visible);
    enclave(policy, &mut text);
    for party in policy.parties() {
        text.line(
            "party",
            format!("{}  {}", party.name(), party.fingerprint()),
        );
    }
    for component in policy.components() {
        let (name, sha256) = (&component.name, component.sha256);
        text.line("component", format!("{name}  {sha256}"));
    }
    for dataset in policy.datasets() {
        let version = dataset
            .object
            .map_or_else(|| "any version".to_owned(), |id| id.to_string());
        let owner = dataset.owner.name();
        text.line("dataset", format!("{} of {owner}, {version}", dataset.name));
        if let Some(broker) = &dataset.broker {
            let told = format!("broker {}  {}", broker.name(), broker.fingerprint());
            text.line("", told);
        }
    }
    for job in policy.jobs() {
        job_rule(job, &mut text);
    }
    for warning in advice::warnings(policy) {
        text.line("warning", warning);
    }
    text.0
}

/// A job by its exact bytes, field by field, with its digest.
///
/// # Errors
/// They are no job.
pub fn job_text(bytes: &[u8]) -> Result<String, JsonError> {
    let job = Job::parse(bytes)?;
    let mut text = Text::new();
    text.line("what", "job");
    text.line("digest", Digest::of(bytes));
    text.line("policy", job.policy);
    text.line("name", &job.name);
    text.line("salt", job.salt);
    for (number, step) in (1..).zip(&job.steps) {
        let instances = step.instances;
        let told = format!("{number}: {}, {instances} instances", step.component);
        text.line("step", told);
        for input in &step.inputs {
            let from = match &input.source {
                Source::Dataset { name, object } => format!("dataset {name}, object {object}"),
                Source::Step { output } => format!("output {output} of an earlier step"),
                Source::Custody { output, object } => {
                    format!("output {output} in custody, object {object}")
                }
            };
            text.line("  input", format!("{} from {from}", input.name));
        }
        let count = step.arguments.len();
        for (number, argument) in (1..).zip(&step.arguments) {
            let told = format!("{number} of {count}: {}", quoted(argument));
            text.line("  argument", told);
        }
        if step.arguments.is_empty() {
            text.line("  argument", "none");
        }
    }
    Ok(text.0)
}

/// What is approved where the job `name` needs an approval of this party's: the policy, or the job
/// of these bytes; nothing where it needs none.
///
/// # Errors
/// The bytes are no job.
pub fn asked_of(
    policy: &Policy,
    name: &Name,
    party: &Identity,
    job: &[u8],
) -> Result<Option<String>, JsonError> {
    let rule = policy.job(name).and_then(|job| job.approve.as_ref());
    let asked = rule.filter(|rule| rule.of.iter().any(|card| **card == *party.card()));
    match asked.map(|rule| rule.when) {
        None => Ok(None),
        Some(When::Session) => Ok(Some(policy_text(policy))),
        Some(When::Job) => job_text(job).map(Some),
    }
}

fn enclave(policy: &Policy, text: &mut Text) {
    let enclave = policy.enclave();
    text.line("enclave", listed(&enclave.tee));
    let platforms = match &enclave.platforms {
        Platforms::Any => "any".to_owned(),
        Platforms::Listed(platforms) => listed(platforms),
    };
    text.line("platforms", platforms);
    let tcb = match &enclave.tcb {
        Tcb::UpToDate => "up-to-date".to_owned(),
        Tcb::Accepted(statuses) => listed(statuses),
    };
    text.line("tcb", tcb);
    let allowed: Vec<&str> = enclave.allow.names().collect();
    if !allowed.is_empty() {
        text.line("allowed", allowed.join(", "));
    }
    if enclave.min_tcb_evaluation > 0 {
        text.line(
            "intel's tcb",
            format!("evaluation {} or later", enclave.min_tcb_evaluation),
        );
    }
    if let Some(least) = enclave.min_snp_tcb {
        text.line("amd's tcb", format!("at least {least}"));
    }
}

fn job_rule(job: &JobRule, text: &mut Text) {
    text.line("job", &job.name);
    text.line("  submit", names(&job.submit));
    let approve = job.approve.as_ref().map_or_else(
        || "nobody need approve".to_owned(),
        |rule| {
            let when = match rule.when {
                When::Session => "once for a session",
                When::Job => "every single job",
            };
            let of = names(&rule.of);
            format!("{} of {of}, {when}", rule.at_least)
        },
    );
    text.line("  approve", approve);
    text.line("  runs", job.runs);
    let limits = job.limits;
    let told = format!(
        "memory {}, time {}, output {}, scratch {}",
        limits.memory, limits.time, limits.output, limits.scratch
    );
    text.line("  limits", told);
    if job.metering {
        text.line("  metering", "fuel is counted");
    }
    let errors = match &job.errors {
        Errors::Full => "of a failed run, in the component's own words".to_owned(),
        Errors::None => "of a failed run, none of the component's own words".to_owned(),
        Errors::Codes(codes) => format!(
            "of a failed run, one of the codes {} with an input's name and two numbers",
            listed(codes)
        ),
    };
    text.line("  errors", errors);
    for (number, step) in (1..).zip(&job.steps) {
        step_rule(number, step, text);
    }
}

fn step_rule(number: u32, step: &Step, text: &mut Text) {
    let instances = step.instances;
    let told = format!("{number}: {}, {instances} instances", step.component);
    text.line("  step", told);
    for input in &step.inputs {
        let from = match &input.from {
            Origin::Dataset(name) => format!("dataset {name}"),
            Origin::Step(output) => format!("output {output} of an earlier step"),
            Origin::Custody(output) => format!("output {output} in custody"),
        };
        text.line("    input", format!("{} from {from}", input.name));
    }
    match &step.arguments {
        Arguments::Any => text.line("    argument", "any number of any arguments"),
        Arguments::Listed(patterns) if patterns.is_empty() => text.line("    argument", "none"),
        Arguments::Listed(patterns) => {
            let count: usize = patterns.iter().map(Pattern::arguments).sum();
            let mut number = 1;
            for one in patterns {
                let told = format!("{number} of {count}: {}", pattern(one));
                text.line("    argument", told);
                number += one.arguments();
            }
        }
    }
    for output in &step.outputs {
        let slash = if output.folder { "/" } else { "" };
        let to = match &output.to {
            To::Step => "later steps".to_owned(),
            To::Parties(cards) if cards.is_empty() => "nobody".to_owned(),
            To::Parties(cards) => names(cards),
            To::Custody(custody) => format!(
                "nobody, in custody of {} for {} runs of later jobs",
                custody.holder.name(),
                custody.runs
            ),
        };
        let kind = if output.media_type.is_octet_stream() {
            String::new()
        } else {
            format!(", as {}", quoted(output.media_type.as_str()))
        };
        text.line(
            "    output",
            format!("{}{slash} to {to}{kind}", output.name),
        );
    }
    let padding = match step.padding {
        Padding::Exact => "exact".to_owned(),
        Padding::PowerOfTwo => "power-of-two".to_owned(),
        Padding::Fixed(size) => format!("fixed, {size}"),
    };
    text.line("    padding", padding);
    for key in &step.keys {
        let from = key.from.name();
        text.line("    key", format!("{} from {from}", key.name));
    }
}

fn names(cards: &[std::sync::Arc<Card>]) -> String {
    listed(cards.iter().map(|card| card.name()))
}

/// Lines of what and value.
struct Text(String);

impl Text {
    const fn new() -> Self {
        Self(String::new())
    }

    fn line(&mut self, what: &str, value: impl std::fmt::Display) {
        // A string takes everything.
        let _ = writeln!(self.0, "{what:<12} {value}");
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::documents::broker::BrokerCard;

    use super::*;
    use mc2_protocol::{documents::job, encoding::Hex};

    fn job_of(argument: &str) -> Vec<u8> {
        let step = job::Step {
            component: "sql".parse().unwrap(),
            instances: 1,
            arguments: vec![argument.to_owned()],
            inputs: Vec::new(),
        };
        let salt = Hex([1; 32]).0;
        Job::new(
            Digest::of(b"policy"),
            "ask".parse().unwrap(),
            salt,
            vec![step],
        )
        .to_bytes()
    }

    #[test]
    fn what_hides_in_an_argument_is_spelt_out_and_nothing_is_cut_off() {
        let long = format!("select {}secret", "a, ".repeat(20_000));
        for (argument, shown) in [
            ("select 'ä' \"b\"", "\"select 'ä' \\\"b\\\"\""),
            ("a\nstep         2: x", "\"a\\nstep         2: x\""),
            ("a\u{1b}[2K\rb", "\"a\\u{1b}[2K\\rb\""),
            (
                "a\u{202e}b\u{2066}c\u{200b}d",
                "\"a\\u{202e}b\\u{2066}c\\u{200b}d\"",
            ),
            ("\\u{202e}", "\"\\\\u{202e}\""),
            (
                "a\u{3164}\u{2800}\u{ad}b",
                "\"a\\u{3164}\\u{2800}\\u{ad}b\"",
            ),
            (&long, &format!("\"{long}\"")),
        ] {
            let bytes = job_of(argument);
            let text = job_text(&bytes).unwrap();
            assert!(text.contains(shown), "{shown}\n{text}");
            assert!(text.contains(&Digest::of(&bytes).to_string()));
            let lines = text.lines().filter(|line| line.starts_with("step")).count();
            assert_eq!(lines, 1, "{text}");
        }
    }

    #[test]
    fn letters_that_look_like_others_are_told_apart() {
        let (latin, cyrillic) = (job_of("select"), job_of("s\u{435}lect"));
        let [latin, cyrillic] = [latin, cyrillic].map(|job| job_text(&job).unwrap());
        assert!(latin.contains("1 of 1: \"select\"\n"), "{latin}");
        assert!(
            cyrillic.contains("in ASCII \"s\\u{435}lect\""),
            "{cyrillic}"
        );
    }

    #[test]
    fn every_field_of_a_policy_is_shown() {
        for file in ["card-fraud", "fraud-scores", "two-clinics", "one-party"] {
            let path = format!("../policies/{file}.toml");
            let bytes = std::fs::read(path).unwrap();
            let policy = Policy::parse(&bytes).unwrap();
            let text = policy_text(&policy);
            // Every string of the file stands in what is shown, a card by its fingerprint.
            let document: toml::Value =
                toml::from_str(std::str::from_utf8(&bytes).unwrap()).unwrap();
            let mut strings = Vec::new();
            collect(&document, &mut strings);
            for string in strings {
                let broker = string.parse::<BrokerCard>().ok();
                let broker = broker.and_then(|signed| {
                    let mut owners = policy.parties().iter();
                    owners.find_map(|owner| signed.signed_by(owner).ok().cloned())
                });
                let card = string.parse::<Card>().ok().or(broker);
                let string = card.map_or(string, |card| card.fingerprint());
                let known = string.trim_start_matches("dataset:");
                let known = known.trim_start_matches("step:");
                let known = known.trim_start_matches("custody:");
                let shown = text.contains(known)
                    || text.contains(&quoted(known))
                    || matches!(
                        known,
                        "all" | "step" | "session" | "job" | "date" | "number"
                    );
                assert!(shown, "{file}: {known:?} is not in\n{text}");
            }
        }
    }

    fn collect(value: &toml::Value, into: &mut Vec<String>) {
        match value {
            toml::Value::String(text) => into.push(text.clone()),
            toml::Value::Array(values) => values.iter().for_each(|one| collect(one, into)),
            toml::Value::Table(table) => table.values().for_each(|one| collect(one, into)),
            _ => {}
        }
    }
}

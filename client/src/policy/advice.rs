//! What a person should know about a policy that is right.

use mc2_protocol::{
    Name,
    policy::{
        Arguments, Enclave, JobRule, Origin, Platforms, Policy, Step, Tcb, TcbStatus, Tee, To,
        Visible, When,
    },
};

use crate::terminal::listed;

/// What `mc2 policy check` says about a policy that is right: each line a sentence.
///
/// ```
/// use mc2_client::policy::advice::warnings;
/// use mc2_protocol::policy::Policy;
///
/// let policy = Policy::parse(&std::fs::read("../policies/one-party.toml")?)?;
/// assert!(warnings(&policy).join("\n").contains("NOT SECURE"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn warnings(policy: &Policy) -> Vec<String> {
    let mut lines = enclave_warnings(policy.enclave());
    lines.push(match policy.visible() {
        Visible::Access => "visible = \"access\": the host sees which parts of each input are \
                            read and when, how much spills and how long a run takes; a \
                            component that means to can signal data to the host that way."
            .to_owned(),
        Visible::Volume => {
            "visible = \"volume\": the host sees sizes and durations only.".to_owned()
        }
    });
    job_warnings(policy, &mut lines);
    unused(policy, &mut lines);
    lines
}

fn enclave_warnings(enclave: &Enclave) -> Vec<String> {
    let mut lines = Vec::new();
    if enclave.allows(Tee::Sim) {
        lines.push(
            "tee = [\"sim\"]: NOT SECURE. The simulator protects nothing from the machine it \
             runs on."
                .to_owned(),
        );
    } else if enclave.platforms == Platforms::Any {
        lines.push(
            "platforms = \"any\": one broken chip anywhere in the world can pose as this \
             enclave; list the chips, or the operator, you expect."
                .to_owned(),
        );
    }
    if enclave.allows(Tee::AzureVtpm) {
        lines.push("tee \"azure-vtpm\": Microsoft's paravisor is trusted too.".to_owned());
    }
    if let Tcb::Accepted(statuses) = &enclave.tcb {
        let weak: Vec<_> = statuses
            .iter()
            .filter(|status| **status != TcbStatus::UpToDate)
            .collect();
        if !weak.is_empty() {
            lines.push(format!(
                "tcb: platforms with known weaknesses are accepted: {}.",
                listed(weak)
            ));
        }
    }
    lines
}

fn job_warnings(policy: &Policy, lines: &mut Vec<String>) {
    for job in policy.jobs() {
        let name = &job.name;
        if let Some(approve) = &job.approve {
            if approve.at_least < approve.of.len() {
                lines.push(format!(
                    "job {name}: any {} of {} approve it, the others need not agree.",
                    approve.at_least,
                    listed(approve.of.iter().map(|card| card.name()))
                ));
            }
            if approve.when == When::Session && takes_any_arguments(job) {
                lines.push(format!(
                    "job {name}: approved once for a session, and its arguments may be \
                     anything: an approver does not see what will be asked."
                ));
            }
        }
        for (index, step) in job.steps.iter().enumerate() {
            let place = format!("job {name}, step {}", index + 1);
            if step.arguments == Arguments::Any {
                lines.push(format!(
                    "{place}: args = \"any\": the submitter may pass anything."
                ));
            }
            for output in &step.outputs {
                match &output.to {
                    To::Parties(cards) if cards.is_empty() => lines.push(format!(
                        "{place}: output {} is released to nobody.",
                        output.name
                    )),
                    To::Step if !is_read(policy, name, &output.name) => lines.push(format!(
                        "{place}: output {} goes to \"step\" and no step reads it.",
                        output.name
                    )),
                    _ => {}
                }
            }
            owner_warnings(policy, job, step, &place, lines);
        }
    }
}

/// Owners whose data a job reads without asking them each time.
fn owner_warnings(
    policy: &Policy,
    job: &JobRule,
    step: &Step,
    place: &str,
    lines: &mut Vec<String>,
) {
    let Some(approve) = &job.approve else {
        return;
    };
    for input in &step.inputs {
        let Origin::Dataset(name) = &input.from else {
            continue;
        };
        if let Some(owner) = policy.owner_of(name)
            && !approve.of.contains(owner)
        {
            lines.push(format!(
                "{place}: reads dataset {name} of {}, who is not asked for approval; its \
                 release of the key is its only say.",
                owner.name()
            ));
        }
    }
}

fn takes_any_arguments(job: &JobRule) -> bool {
    let any = |step: &Step| step.arguments == Arguments::Any;
    job.steps.iter().any(any)
}

fn is_read(policy: &Policy, job: &Name, output: &Name) -> bool {
    let steps = policy.job(job).into_iter().flat_map(|job| &job.steps);
    let mut inputs = steps.flat_map(|step| &step.inputs);
    inputs.any(|input| matches!(&input.from, Origin::Step(name) if name == output))
}

fn unused(policy: &Policy, lines: &mut Vec<String>) {
    let steps = || policy.jobs().iter().flat_map(|job| &job.steps);
    for component in policy.components() {
        if !steps().any(|step| step.component == component.name) {
            lines.push(format!("component {} is used by no job.", component.name));
        }
    }
    for dataset in policy.datasets() {
        let mut inputs = steps().flat_map(|step| &step.inputs);
        let name = &dataset.name;
        if !inputs.any(|input| matches!(&input.from, Origin::Dataset(read) if read == name)) {
            lines.push(format!("dataset {name} is read by no job."));
        }
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::{Digest, Identity};

    use super::*;

    /// A policy of two parties with this enclave, and one job of two steps as given.
    fn policy(enclave: &str, approve: &str, rest: &str) -> Policy {
        let card = |name: &str| {
            let identity = Identity::generate(name.parse().unwrap(), &mut crate::random());
            identity.card().to_string()
        };
        let (a, b, sha256) = (card("bank-a"), card("bank-b"), Digest::of(b"a component"));
        let text = format!(
            r#"version = 1
name = "two-banks"
expires = 2026-12-31T00:00:00Z
visible = "access"
[enclave]
{enclave}
[[party]]
card = "{a}"
[[party]]
card = "{b}"
[[component]]
name = "sql"
sha256 = "{sha256}"
[[component]]
name = "old"
sha256 = "{other}"
[[dataset]]
name = "transactions"
owner = "bank-a"
[[dataset]]
name = "accounts"
owner = "bank-b"
[[dataset]]
name = "spare"
owner = "bank-a"
[[job]]
name = "train"
submit = ["bank-a"]
runs = 2
limits = {{ memory = "3GiB", time = "30min", output = "64MiB" }}
approve = {{ {approve}, when = "session" }}
{rest}"#,
            other = Digest::of(b"another"),
        );
        Policy::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    const STEPS: &str = r#"
[[job.step]]
component = "sql"
inputs = { transactions = "dataset:transactions", accounts = "dataset:accounts" }
args = "any"
outputs = { features = "step" }
[[job.step]]
component = "sql"
inputs = { train = "dataset:transactions" }
args = ["train"]
outputs = { model = ["bank-b"], stderr = [] }
padding = "power-of-two"
"#;

    #[test]
    fn the_warnings_say_what_a_signer_should_know() {
        let enclave = r#"tee = ["tdx", "azure-vtpm"]
platforms = "any"
tcb = ["UpToDate", "OutOfDate"]"#;
        let approve = r#"who = { of = ["bank-a"], at_least = 1 }"#;
        let warnings = warnings(&policy(enclave, approve, STEPS)).join("\n");
        for says in [
            "one broken chip",
            "paravisor",
            "known weaknesses are accepted: OutOfDate",
            "which parts of each input",
            "its arguments may be anything",
            "args = \"any\"",
            "reads dataset accounts of bank-b, who is not asked",
            "output stderr is released to nobody",
            "output features goes to \"step\" and no step reads it",
            "component old is used by no job",
            "dataset spare is read by no job",
        ] {
            assert!(warnings.contains(says), "{says:?} is not in:\n{warnings}");
        }
    }

    #[test]
    fn a_quorum_and_a_simulator_are_named() {
        let enclave = r#"tee = ["sim"]
platforms = "any"
tcb = "up-to-date""#;
        let approve = r#"who = { of = ["bank-a", "bank-b"], at_least = 1 }"#;
        let warnings = warnings(&policy(enclave, approve, STEPS)).join("\n");
        for says in ["any 1 of bank-a, bank-b approve it", "NOT SECURE"] {
            assert!(warnings.contains(says), "{says:?} is not in:\n{warnings}");
        }
    }
}

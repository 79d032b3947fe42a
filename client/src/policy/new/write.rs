//! The file that is written: every field with what it means.

use std::fmt::{self, Write as _};

use super::draft::{Approvers, Draft, DraftStep, list};
use crate::policy::rfc3339;

/// The policy's text; its bytes are what is hashed.
pub(super) fn to_toml(draft: &Draft<'_>) -> String {
    let mut text = String::new();
    policy(draft, &mut text)
        .and_then(|()| job(draft, &mut text))
        // A string takes everything.
        .unwrap_or_else(|error| unreachable!("{error}"));
    text
}

fn policy(draft: &Draft<'_>, text: &mut String) -> fmt::Result {
    writeln!(
        text,
        "# Written by `mc2 policy new` on {}. Its exact bytes are the policy: change a blank and it is\n\
         # another one, which every party sees and approves again. `mc2 policy check` says what it\n\
         # means; docs/policy.md describes every field.\n",
        rfc3339(draft.now())
    )?;
    writeln!(text, "version = {}", mc2_protocol::VERSION)?;
    writeln!(text, "name = \"{}\"", draft.name)?;
    writeln!(
        text,
        "# Owners and brokers release no key from then on; an enclave has no clock."
    )?;
    writeln!(text, "expires = {}", draft.expires)?;
    let sees = match draft.visible.as_str() {
        "volume" => "The host sees sizes and times only.",
        _ => "The host sees which parts of the data are read, and when.",
    };
    writeln!(text, "# {sees}\nvisible = \"{}\"", draft.visible)?;
    writeln!(
        text,
        "\n# It narrows each verifier's own list of runtimes and never widens it."
    )?;
    writeln!(text, "[enclave]")?;
    if draft.simulated() {
        writeln!(
            text,
            "# NOT SECURE: the simulator protects nothing from the machine it runs on."
        )?;
    }
    writeln!(text, "tee = {}", list(&draft.tee))?;
    writeln!(text, "platforms = {}", any_or_list(&draft.platforms, "any"))?;
    writeln!(text, "tcb = {}", any_or_list(&draft.tcb, "up-to-date"))?;
    for card in &draft.cards {
        let (name, fingerprint) = (card.name(), card.fingerprint());
        writeln!(text, "\n# {name}, fingerprint {fingerprint}")?;
        writeln!(text, "[[party]]\ncard = \"{card}\"")?;
    }
    for (name, sha256) in &draft.components {
        writeln!(text, "\n# This file and no other may run under the name.")?;
        writeln!(
            text,
            "[[component]]\nname = \"{name}\"\nsha256 = \"{sha256}\""
        )?;
    }
    for dataset in &draft.datasets {
        let (name, owner) = (&dataset.name, &dataset.owner);
        writeln!(text, "\n# {owner} alone releases its key.")?;
        writeln!(text, "[[dataset]]\nname = \"{name}\"\nowner = \"{owner}\"")?;
        if let Some(object) = &dataset.object {
            writeln!(text, "# This version and no other.\nobject = \"{object}\"")?;
        }
    }
    Ok(())
}

fn job(draft: &Draft<'_>, text: &mut String) -> fmt::Result {
    writeln!(
        text,
        "\n# A further [[job]] would stand below, with its own steps."
    )?;
    writeln!(text, "[[job]]\nname = \"{}\"", draft.job)?;
    writeln!(text, "submit = {}", list(&draft.submit))?;
    let who = match &draft.approve {
        Approvers::None => None,
        _ if draft.at_least < draft.approvers() => {
            let names = match &draft.approve {
                Approvers::Named(names) => list(names),
                _ => list(draft.party_names()),
            };
            Some(format!("{{ of = {names}, at_least = {} }}", draft.at_least))
        }
        Approvers::All => Some("\"all\"".to_owned()),
        Approvers::Named(names) => Some(list(names)),
    };
    if let Some(who) = who {
        let what = match draft.when.as_str() {
            "job" => "every single job, by its digest",
            _ => "this policy, once in a session",
        };
        writeln!(text, "# What is approved: {what}.")?;
        writeln!(
            text,
            "approve = {{ who = {who}, when = \"{}\" }}",
            draft.when
        )?;
    }
    writeln!(
        text,
        "# In one session; across sessions owners count by the keys they release."
    )?;
    writeln!(text, "runs = {}", draft.runs)?;
    let (memory, time, output) = (&draft.memory, &draft.time, &draft.output);
    writeln!(text, "# Of one run, all steps and instances together.")?;
    writeln!(
        text,
        "limits = {{ memory = \"{memory}\", time = \"{time}\", output = \"{output}\" }}"
    )?;
    writeln!(
        text,
        "# What a failed run may say in its component's own words."
    )?;
    writeln!(text, "errors = {}", draft.errors)?;
    for draft in &draft.steps {
        step(draft, text)?;
    }
    Ok(())
}

fn step(step: &DraftStep, text: &mut String) -> fmt::Result {
    writeln!(text, "\n[[job.step]]\ncomponent = \"{}\"", step.component)?;
    if step.args == "\"any\"" {
        writeln!(text, "# Any arguments: the submitter may ask anything.")?;
    } else {
        writeln!(text, "# One pattern for each argument.")?;
    }
    writeln!(text, "args = {}", step.args)?;
    if let Some(padding) = &step.padding {
        writeln!(
            text,
            "# How the lengths of released outputs are hidden from the host."
        )?;
        writeln!(text, "padding = {padding}")?;
    }
    if !step.inputs.is_empty() {
        writeln!(text, "[job.step.inputs]")?;
        for (name, from) in &step.inputs {
            writeln!(text, "\"{name}\" = \"{from}\"")?;
        }
    }
    if !step.outputs.is_empty() {
        writeln!(text, "# What is not here nobody gets.\n[job.step.outputs]")?;
        for (name, to) in &step.outputs {
            writeln!(text, "\"{name}\" = {to}")?;
        }
    }
    Ok(())
}

fn any_or_list(values: &[String], any: &str) -> String {
    match values {
        [only] if only == any => format!("\"{any}\""),
        values => list(values),
    }
}

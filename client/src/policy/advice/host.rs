//! What the host sees, and which enclaves are accepted.

use mc2_protocol::policy::{
    Enclave, Padding, Platforms, Policy, Tcb, TcbStatus, Tee, USAGE, Visible,
};

use super::{
    Said,
    Section::{Enclave as Enclaves, Host},
    listed, place,
};

pub(super) fn say(policy: &Policy, said: &mut Said) {
    let about = "the host";
    match policy.visible() {
        Visible::Access => {
            let text =
                "visible = \"access\": the host sees which parts of each input are read and \
                        when, how much spills and how long a run takes; a component that means to \
                        can signal data to the host that way."
                    .to_owned();
            said.warn(Host, "host-sees-access", about, text);
        }
        Visible::Volume => {
            let text =
                "visible = \"volume\": the host sees sizes: inputs are fetched whole and in \
                        order before the guest starts, scratch stays in the enclave, outputs are \
                        padded."
                    .to_owned();
            said.fact(Host, "host-sees-volume", about, text);
        }
    }
    let text = "how long a run takes is never hidden, nor whether it succeeded: a component that \
                means to can signal data to the host by either."
        .to_owned();
    // Where accesses are hidden, somebody may think that nothing else is left.
    match policy.visible() {
        Visible::Access => said.fact(Host, "host-sees-time", about, text),
        Visible::Volume => said.warn(Host, "host-sees-time", about, text),
    }
    let text = "it reads this policy and every component, and who submits when; data, keys, \
                arguments and results reach it sealed."
        .to_owned();
    said.fact(Host, "host-reads", about, text);
    for job in policy.jobs() {
        for (index, step) in job.steps.iter().enumerate() {
            let released = step.outputs.iter().filter(|output| {
                // Figures have one length, whatever they are.
                output.is_released() && output.name.as_str() != USAGE
            });
            let names: Vec<String> = released.map(|output| output.name.to_string()).collect();
            if names.is_empty() {
                continue;
            }
            let about = place(&job.name, index);
            let names = listed(names);
            match step.padding {
                Padding::Exact if policy.parties().len() > 1 => {
                    let text = format!(
                        "padding = \"exact\": the host sees the exact length of {names}, which may \
                         say something of the data."
                    );
                    said.warn(Host, "host-sees-lengths", about, text);
                }
                Padding::Exact => {
                    let text = format!("the host sees the exact length of {names}.");
                    said.fact(Host, "host-sees-lengths", about, text);
                }
                Padding::PowerOfTwo => {
                    let text = format!(
                        "the host sees between which powers of two the length of {names} is."
                    );
                    said.fact(Host, "host-sees-powers", about, text);
                }
                Padding::Fixed(size) => {
                    let text = format!("the host sees {size} of {names}, whatever its length.");
                    said.fact(Host, "host-sees-fixed", about, text);
                }
            }
        }
    }
}

pub(super) fn say_enclave(policy: &Policy, said: &mut Said) {
    let enclave = policy.enclave();
    let about = "the enclave";
    if enclave.allows(Tee::Sim) {
        let text =
            "tee = [\"sim\"]: NOT SECURE. The simulator protects nothing from the machine it \
                    runs on."
                .to_owned();
        said.warn(Enclaves, "simulator", about, text);
    } else {
        let text = format!(
            "is one of {}, and a runtime that each verifier's own trust store holds: this policy \
             cannot add one.",
            listed(&enclave.tee)
        );
        said.fact(Enclaves, "tee", about, text);
    }
    platforms(enclave, said);
    configuration(enclave, said);
    if enclave.allows(Tee::AzureVtpm) {
        let text = "tee \"azure-vtpm\": Microsoft's paravisor is trusted too.".to_owned();
        said.warn(Enclaves, "paravisor", about, text);
    }
    match &enclave.tcb {
        Tcb::UpToDate => {
            let text = "its platform is what the vendor calls up to date.".to_owned();
            said.fact(Enclaves, "tcb", about, text);
        }
        Tcb::Accepted(statuses) => {
            let weak: Vec<_> = statuses
                .iter()
                .filter(|status| **status != TcbStatus::UpToDate)
                .collect();
            if !weak.is_empty() {
                let text = format!(
                    "tcb: platforms that no vendor calls up to date are accepted: {}.",
                    listed(weak)
                );
                said.warn(Enclaves, "tcb-weak", about, text);
            }
        }
    }
}

/// What else is accepted of a platform, and the least that is.
fn configuration(enclave: &Enclave, said: &mut Said) {
    let about = "the enclave";
    if enclave.allow.smt {
        let text =
            "allow \"smt\": another guest may run on the same core; where that leaks, Intel \
                    says so by the TCB status."
                .to_owned();
        said.warn(Enclaves, "smt", about, text);
    }
    if enclave.allow.dynamic_platform {
        let text =
            "allow \"dynamic-platform\": its operator can add processors to the machine while \
                    it runs."
                .to_owned();
        said.warn(Enclaves, "dynamic-platform", about, text);
    }
    if enclave.allow.cached_keys {
        let text =
            "allow \"cached-keys\": Intel's registration service keeps the machine's root keys."
                .to_owned();
        said.warn(Enclaves, "cached-keys", about, text);
    }
    if let Some(least) = enclave.min_snp_tcb {
        let text = format!(
            "min_snp_tcb: AMD's firmware counts as up to date from {least} on, whatever verifiers \
             know of it."
        );
        said.warn(Enclaves, "min-snp-tcb", about, text);
    }
    if enclave.min_tcb_evaluation > 0 {
        let text = format!(
            "Intel's assessment of its firmware is number {} or a later one.",
            enclave.min_tcb_evaluation
        );
        said.fact(Enclaves, "min-tcb-evaluation", about, text);
    }
}

fn platforms(enclave: &Enclave, said: &mut Said) {
    let about = "the enclave";
    match &enclave.platforms {
        Platforms::Any if enclave.allows(Tee::Sim) => {}
        Platforms::Any => {
            let text =
                "platforms = \"any\": one broken chip anywhere in the world can pose as this \
                        enclave; list the chips, or the operator, you expect."
                    .to_owned();
            said.warn(Enclaves, "platforms-any", about, text);
        }
        Platforms::Listed(platforms) => {
            let text = format!("its machine is one of {}.", listed(platforms));
            said.fact(Enclaves, "platforms", about, text);
        }
    }
}

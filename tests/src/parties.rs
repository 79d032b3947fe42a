//! Policies of several parties.

use std::fmt::Write as _;

use mc2_protocol::{Digest, Identity, policy::Policy};

use crate::now;

/// A policy of these parties over one component, `workload`, with one job, `run`, whose table goes
/// on with `job`.
///
/// # Panics
/// When that is no policy.
pub fn policy_of(
    parties: &[&Identity],
    component: &Digest,
    datasets: &[(&str, &Identity)],
    job: &str,
) -> Policy {
    policy_showing("access", parties, component, datasets, job)
}

/// The same policy, but that the last step of its last job is handed the key `name` from the party
/// called `from`.
///
/// # Panics
/// When that is no policy.
pub fn handing(policy: &Policy, name: &str, from: &str) -> Policy {
    const STEP: &str = "[[job.step]]\n";
    let text = String::from_utf8_lossy(policy.bytes());
    let (before, step) = text.rsplit_once(STEP).expect("a step");
    let text = format!("{before}{STEP}keys = {{ {name} = \"{from}\" }}\n{step}");
    match Policy::parse(text.as_bytes()) {
        Ok(policy) => policy,
        Err(error) => panic!("{error}\n{text}"),
    }
}

/// The same under another `visible`.
///
/// # Panics
/// When that is no policy.
pub fn policy_showing(
    visible: &str,
    parties: &[&Identity],
    component: &Digest,
    datasets: &[(&str, &Identity)],
    job: &str,
) -> Policy {
    let mut text = format!(
        "version = 1\nname = \"several\"\nexpires = 2999-12-31T00:00:00Z\nvisible = \"{visible}\"\n\
         # {}\n[enclave]\ntee = [\"sim\"]\nplatforms = \"any\"\ntcb = \"up-to-date\"\n",
        now()
    );
    for party in parties {
        let _ = write!(text, "[[party]]\ncard = \"{}\"\n", party.card());
    }
    let _ = write!(
        text,
        "[[component]]\nname = \"workload\"\nsha256 = \"{component}\"\n"
    );
    for (name, owner) in datasets {
        let owner = owner.card().name();
        let _ = write!(
            text,
            "[[dataset]]\nname = \"{name}\"\nowner = \"{owner}\"\n"
        );
    }
    let _ = write!(text, "[[job]]\nname = \"run\"\n{job}\n");
    match Policy::parse(text.as_bytes()) {
        Ok(policy) => policy,
        Err(error) => panic!("{error}\n{text}"),
    }
}

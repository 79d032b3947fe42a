//! How long a policy holds, and what changing it takes.

use mc2_protocol::policy::Policy;

use super::{Said, Section::Time, Statement, listed};
use crate::policy::rfc3339;

pub(super) fn say(policy: &Policy, said: &mut Said) {
    let about = "the policy";
    let text = format!(
        "from {} on, owners and brokers release no key under it; an enclave has no clock and does \
         not check it.",
        rfc3339(policy.expires())
    );
    said.fact(Time, "expires", about, text);
    let without = policy.datasets().iter().filter(|one| one.broker.is_none());
    let without: Vec<&str> = without.map(|one| one.name.as_str()).collect();
    if !without.is_empty() {
        let text = format!(
            "its expiry binds the release alone for {}, which no broker holds: a session that has \
             the key by then may use it for the runs it was released for.",
            listed(without)
        );
        said.warn(Time, "expiry-binds-release", about, text);
    }
    let with = policy.datasets().iter().filter(|one| one.broker.is_some());
    let with: Vec<&str> = with.map(|one| one.name.as_str()).collect();
    if !with.is_empty() {
        let text = format!(
            "a run that reads {} starts only when a broker or the owner of each answers for it, at \
             that moment and by its own clock: after the expiry none does.",
            listed(with)
        );
        said.fact(Time, "expiry-binds-start", about, text);
    }
    let text = "it never changes: with one blank more it is another policy with another digest, \
                which every party sees and approves again."
        .to_owned();
    said.fact(Time, "immutable", about, text);
}

/// What is to say of a policy that has ended at `now`, in seconds since 1970.
pub(in crate::policy) fn ended(policy: &Policy, now: u64) -> Option<Statement> {
    policy.is_expired(now).then(|| Statement {
        id: "expired",
        section: Time,
        about: "the policy".to_owned(),
        warning: true,
        text: format!(
            "it ended on {}: nobody releases a key under it any more. Agree on one that ends \
             later.",
            rfc3339(policy.expires())
        ),
    })
}

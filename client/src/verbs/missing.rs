//! What a job wants that its session does not have, and of whom.

use std::fmt;

use mc2_protocol::{
    Digest, Name, PartyName,
    documents::{job::Job, message::SessionStatus},
    policy::{JobRule, Policy, When},
};

use crate::terminal::listed;

/// What a job wants that its session does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many approvals, and those who may still give one.
    pub approvals: Option<(usize, Vec<PartyName>)>,
    /// Keys of datasets and of outputs in custody: the version the job reads, and who releases it.
    pub keys: Vec<(Name, Digest, PartyName)>,
    /// Keys for the component itself, and who gives each.
    pub guest_keys: Vec<(Name, PartyName)>,
}

impl Missing {
    /// What the job of these bytes wants that is not in its session's status.
    pub fn of(
        policy: &Policy,
        rule: &JobRule,
        job: &Job,
        digest: &Digest,
        status: &SessionStatus,
    ) -> Self {
        let approvals = rule.approve.as_ref().and_then(|approve| {
            let given: &[Digest] = match approve.when {
                When::Session => &status.approved,
                When::Job => {
                    let mut jobs = status.jobs_approved.iter();
                    let job = jobs.find(|approved| approved.job == *digest);
                    job.map_or(&[], |approved| &approved.by)
                }
            };
            let (given, open): (Vec<_>, Vec<_>) = approve
                .of
                .iter()
                .partition(|card| given.contains(card.digest()));
            let left = approve
                .at_least
                .checked_sub(given.len())
                .filter(|left| *left > 0)?;
            Some((left, open.iter().map(|card| card.name().clone()).collect()))
        });
        let mut keys = Vec::new();
        for (dataset, object) in job.datasets() {
            let held = status
                .keys
                .iter()
                .any(|held| held.dataset == *dataset && held.object == *object && held.runs > 0);
            let key = policy
                .keeper_of(dataset)
                .map(|owner| (dataset.clone(), *object, owner.name().clone()));
            if let Some(key) = key.filter(|key| !held && !keys.contains(key)) {
                keys.push(key);
            }
        }
        let wanted = rule.steps.iter().flat_map(|step| &step.keys);
        let guest_keys = wanted
            .filter(|key| !status.guest_keys.contains(&key.name))
            .map(|key| (key.name.clone(), key.from.name().clone()));
        Self {
            approvals,
            keys,
            guest_keys: guest_keys.collect(),
        }
    }

    /// Whether it wants nothing more.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some((left, of)) = &self.approvals {
            parts.push(if *left == of.len() {
                format!("the approval of {}", listed(of))
            } else {
                let approvals = if *left == 1 { "approval" } else { "approvals" };
                format!("{left} more {approvals}, by any of {}", listed(of))
            });
        }
        for (dataset, object, owner) in &self.keys {
            parts.push(format!(
                "the key of {dataset}, object {object}, from {owner}"
            ));
        }
        for (name, from) in &self.guest_keys {
            parts.push(format!("the key {name} for the component, from {from}"));
        }
        f.write_str(&parts.join("; "))
    }
}

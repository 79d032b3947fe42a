//! `mc2 session status`: what a session has of its parties, by its enclave's own word.

use clap::Args;
use mc2_protocol::{
    Digest, Name,
    documents::message::{JobPhase, SessionStatus},
    policy::{Policy, When},
};
use serde_json::{Value, json};

use super::{Common, Context, Told, line};
use crate::{
    custody,
    terminal::listed,
    verbs::{Proposed, VerbError},
};

#[derive(Args)]
pub struct Status {
    /// The session's digest, or its first 8 digits or more
    session: String,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Status {
    pub(super) async fn run(self, context: &Context) -> Result<Told, VerbError> {
        let entered = context.member.enter(&self.session)?;
        let session = entered.followed()?;
        let status = session.status(&entered.identity).await?;
        let proposals = entered.proposals(&[]).await?;
        let policy = &entered.policy;
        let mut text = line("session", entered.known.session);
        text.push_str(&line(
            "policy",
            format!("{}  {}", policy.digest(), policy.name()),
        ));
        text.push_str(&approvals_text(policy, &status));
        text.push_str(&keys_text(policy, &status));
        for job in &status.jobs {
            let state = phase(&job.state);
            let told = format!("{} {state}, {}", job.number, job.digest);
            text.push_str(&line("job", told));
            for dataset in waits_for(&job.state) {
                let told = format!("the broker or owner of {dataset}, to let it start");
                text.push_str(&line("  waits for", told));
            }
        }
        for one in &proposals {
            let told = format!("{}  {} of {}", one.job, one.name, one.proposer);
            text.push_str(&line("proposed", told));
        }
        let fields = json!({
            "session": entered.known.session,
            "policy": policy.digest(),
            "approvals": approvals_json(policy, &status),
            "jobs_approved": jobs_json(policy, &status),
            "keys": keys_json(policy, &status),
            "guest_keys": status.guest_keys,
            "jobs": status.jobs.iter().map(|job| json!({
                "number": job.number,
                "job": job.digest,
                "state": phase(&job.state),
                "waits_for": waits_for(&job.state),
            })).collect::<Vec<_>>(),
            "proposals": proposals.iter().map(proposed_json).collect::<Vec<_>>(),
        });
        Ok(Told::done("open", text, fields))
    }
}

/// Whoever is asked for an approval of the session, and whether they gave it.
fn asked<'p>(policy: &'p Policy, status: &SessionStatus) -> Vec<(&'p str, bool)> {
    let parties = policy.parties().iter().filter(|card| {
        let mut rules = policy.jobs().iter().filter_map(|job| job.approve.as_ref());
        rules.any(|rule| rule.when == When::Session && rule.of.contains(card))
    });
    parties
        .map(|card| {
            let given = status.approved.contains(card.digest());
            (card.name().as_str(), given)
        })
        .collect()
}

fn approvals_text(policy: &Policy, status: &SessionStatus) -> String {
    let mut text = String::new();
    for (name, given) in asked(policy, status) {
        let told = if given { "approved" } else { "not yet" };
        text.push_str(&line("approval", format!("of {name}: {told}")));
    }
    for job in &status.jobs_approved {
        let told = format!("of job {} by {}", job.job, listed(names(policy, &job.by)));
        text.push_str(&line("approval", told));
    }
    text
}

fn keys_text(policy: &Policy, status: &SessionStatus) -> String {
    let mut text = String::new();
    for dataset in policy.datasets() {
        let (name, owner) = (&dataset.name, dataset.owner.name());
        let held = status.keys.iter().find(|held| held.dataset == *name);
        let told = held.map_or_else(
            || format!("of {name}: not yet, {owner} releases it"),
            |held| format!("of {name}, object {}, {} runs left", held.object, held.runs),
        );
        text.push_str(&line("key", told));
    }
    for (name, custody) in custody::outputs(policy) {
        let holder = custody.holder.name();
        let held = status.keys.iter().find(|held| held.dataset == *name);
        let told = held.map_or_else(
            || format!("of {name} in custody: not yet, {holder} releases it"),
            |held| {
                let (object, runs) = (held.object, held.runs);
                format!("of {name} in custody, object {object}, {runs} runs left")
            },
        );
        text.push_str(&line("key", told));
    }
    for name in &status.guest_keys {
        text.push_str(&line("key", format!("{name}, for the component")));
    }
    text
}

fn approvals_json(policy: &Policy, status: &SessionStatus) -> Vec<Value> {
    let asked = asked(policy, status).into_iter();
    asked
        .map(|(party, approved)| json!({ "party": party, "approved": approved }))
        .collect()
}

fn jobs_json(policy: &Policy, status: &SessionStatus) -> Vec<Value> {
    let jobs = status.jobs_approved.iter();
    jobs.map(|job| json!({ "job": job.job, "by": names(policy, &job.by) }))
        .collect()
}

fn keys_json(policy: &Policy, status: &SessionStatus) -> Vec<Value> {
    let datasets = policy.datasets().iter();
    let datasets = datasets.map(|dataset| (&dataset.name, &dataset.owner));
    let in_custody = custody::outputs(policy).map(|(name, custody)| (name, &custody.holder));
    datasets
        .chain(in_custody)
        .map(|(name, owner)| {
            let mut keys = status.keys.iter();
            let held = keys.find(|held| held.dataset == *name);
            json!({
                "dataset": name,
                "owner": owner.name(),
                "object": held.map(|held| held.object),
                "runs": held.map_or(0, |held| held.runs),
            })
        })
        .collect()
}

fn proposed_json(one: &Proposed) -> Value {
    json!({ "job": one.job, "name": one.name, "proposer": one.proposer })
}

/// The parties' names; a card that is none of theirs cannot have approved.
fn names(policy: &Policy, cards: &[Digest]) -> Vec<String> {
    let known = cards.iter().filter_map(|card| policy.party(card));
    known.map(|card| card.name().to_string()).collect()
}

/// The datasets whose brokers or owners have not answered for the job's start.
fn waits_for(phase: &JobPhase) -> &[Name] {
    match phase {
        JobPhase::Waiting { datasets } => datasets,
        JobPhase::Starting | JobPhase::Running => &[],
    }
}

const fn phase(phase: &JobPhase) -> &'static str {
    match phase {
        JobPhase::Starting => "starting",
        JobPhase::Waiting { .. } => "waiting",
        JobPhase::Running => "running",
    }
}

//! `mc2 broker status`: what a broker may, holds and did.

use std::io::Write;

use mc2_protocol::{Digest, PartyName};
use serde::Serialize;

use super::{
    Outcome,
    told::{custody_text, held_text, say},
};
use crate::{
    broker::{BrokerError, Folder, Held, InCustody, datasets_of},
    policy::rfc3339,
    session::allowed_runs,
};

/// What `mc2 broker status` says.
#[derive(Serialize)]
struct Status {
    broker: PartyName,
    fingerprint: String,
    granting: bool,
    lines: u64,
    head: Digest,
    policies: Vec<PolicyStatus>,
    versions: Vec<Held>,
    custody: Vec<InCustody>,
}

#[derive(Serialize)]
struct PolicyStatus {
    policy: Digest,
    name: String,
    expires: u64,
    datasets: Vec<Spent>,
}

#[derive(Serialize)]
struct Spent {
    dataset: String,
    spent: u64,
    allowed: u64,
}

pub(super) fn status(folder: &Folder, json: bool, out: &mut impl Write) -> Outcome {
    let status = Status::of(folder)?;
    if json {
        let text = serde_json::to_string(&status).unwrap_or_default();
        return say(out, &format!("{text}\n"));
    }
    say(out, &status.in_words())
}

impl Status {
    fn of(folder: &Folder) -> Result<Self, BrokerError> {
        let card = folder.card()?;
        let ledger = folder.ledger()?;
        // As it is, whatever the mark says of it.
        let plain = folder.state().ledger();
        let head = plain.head()?;
        let granting = ledger.is_marked() && ledger.head().is_ok();
        let mut policies = Vec::new();
        for policy in folder.accepted()? {
            let mut datasets = Vec::new();
            for dataset in datasets_of(&policy, card.digest()) {
                datasets.push(Spent {
                    spent: plain.spent(policy.digest(), card.digest(), &dataset)?,
                    allowed: allowed_runs(&policy, &dataset),
                    dataset: dataset.to_string(),
                });
            }
            policies.push(PolicyStatus {
                policy: *policy.digest(),
                name: policy.name().to_string(),
                expires: policy.expires(),
                datasets,
            });
        }
        Ok(Self {
            broker: card.name().clone(),
            fingerprint: card.fingerprint(),
            granting,
            lines: head.lines,
            head: head.last,
            policies,
            versions: folder.versions()?,
            custody: folder.in_custody()?,
        })
    }

    fn in_words(&self) -> String {
        let granting = if self.granting {
            "yes"
        } else {
            "no: compare the head with the one you noted, then `mc2 broker resume --head DIGEST`"
        };
        let mut text = format!(
            "broker       {}\nfingerprint  {}\ngranting     {granting}\nledger       {} lines\n\
             head         {}\n",
            self.broker, self.fingerprint, self.lines, self.head,
        );
        for policy in &self.policies {
            text.push_str(&format!(
                "policy       {}  {}  until {}\n",
                policy.policy,
                policy.name,
                rfc3339(policy.expires),
            ));
            for one in &policy.datasets {
                text.push_str(&format!(
                    "  {}: {} of {} runs released\n",
                    one.dataset, one.spent, one.allowed,
                ));
            }
        }
        for held in &self.versions {
            text.push_str(&format!("holds        {}\n", held_text(held)));
        }
        for one in &self.custody {
            text.push_str(&format!("keeps        {}\n", custody_text(one)));
        }
        text
    }
}

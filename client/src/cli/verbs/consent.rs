//! `mc2 approve`, `mc2 release` and `mc2 revoke`.

use clap::Args;
use mc2_protocol::{Digest, Name};
use serde_json::{Value, json};

use super::{Common, Context, Told, confirm, line, version};
use crate::{
    state::Revoked,
    terminal::listed,
    verbs::{Choice, Releases, VerbError},
};

#[derive(Args)]
pub struct Consent {
    /// The session's digest, or its first 8 digits or more
    session: String,
    /// The version of a dataset to release, where it is not the newest uploaded from here;
    /// repeatable
    #[arg(long = "data", value_name = "DATASET=OBJECT", value_parser = version)]
    data: Vec<(Name, Digest)>,
    /// For how many runs each key is good; all the policy allows where nothing is said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// The digest of what is approved, instead of being asked
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,
    /// The policy's digest, for scripts: whoever states it knows the policy and every card in it
    #[arg(long, value_name = "DIGEST")]
    policy_digest: Option<Digest>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args)]
pub struct Revoke {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Every version of this dataset
    #[arg(long, value_name = "NAME")]
    dataset: Option<Name>,
    /// This version
    #[arg(long, value_name = "OBJECT")]
    object: Option<Digest>,
    /// Everything that this session could ask for
    #[arg(long, value_name = "DIGEST")]
    session: Option<Digest>,
}

impl Consent {
    pub(super) async fn run(self, context: &Context, approve: bool) -> Result<Told, VerbError> {
        let entered = context.member.enter(&self.session)?;
        let session = entered.session()?;
        let choice = Choice {
            versions: self.data.into_iter().collect(),
            runs: self.runs,
        };
        let policy_digest = self.policy_digest.as_ref();
        let approval = entered
            .plan_approval(&choice, approve, policy_digest)
            .await?;
        let stated = self.digest.as_ref().or(policy_digest);
        confirm(&approval.text, &approval.digest, stated)?;
        let (asked, digest) = (approval.asked, approval.digest);
        let released = keys_json(&approval.releases);
        let left_out = approval.releases.left_out.iter();
        let left_out: Vec<Value> = left_out
            .map(|(dataset, why)| json!({ "dataset": dataset, "reason": why }))
            .collect();
        let told = told_keys(&approval.releases);
        entered.approve(&session, approval).await?;
        let mut text = line("session", entered.known.session);
        if asked {
            text.push_str(&line("approved", format!("policy {digest}")));
        }
        text.push_str(&line("released", told));
        let fields = json!({
            "session": entered.known.session,
            "policy": digest,
            "approved": asked.then_some("policy"),
            "released": released,
            "left_out": left_out,
        });
        let status = if approve { "approved" } else { "released" };
        Ok(Told::done(status, text, fields))
    }
}

impl Revoke {
    pub(super) fn run(self, context: &Context) -> Result<Told, VerbError> {
        let What {
            dataset,
            object,
            session,
        } = self.what;
        let what = match (dataset, object, session) {
            (Some(dataset), ..) => Revoked::Dataset(dataset),
            (_, Some(object), _) => Revoked::Object(object),
            (.., Some(session)) => Revoked::Session(session),
            // The group is required.
            (None, None, None) => return Err(VerbError::NotConfirmed),
        };
        let revocation = context.member.revoke(what)?;
        let mut text = format!(
            "no further key of {} is released from here\n",
            revocation.what
        );
        if revocation.released.is_empty() {
            text.push_str("none was released before\n");
        } else {
            text.push_str(&format!(
                "a key that was released cannot be called back: these sessions have one until they \
                 end: {}\n",
                listed(&revocation.released)
            ));
        }
        let fields = json!({
            "revoked": revocation.what,
            "released_before": revocation.released,
        });
        Ok(Told::done("revoked", text, fields))
    }
}

fn keys_json(releases: &Releases) -> Vec<Value> {
    let planned = releases.planned.iter();
    planned
        .map(|one| json!({ "dataset": one.dataset, "object": one.object, "runs": one.runs }))
        .collect()
}

fn told_keys(releases: &Releases) -> String {
    if releases.planned.is_empty() {
        return "no key".to_owned();
    }
    let planned = releases.planned.iter();
    listed(planned.map(|one| format!("the key of {} for {} runs", one.dataset, one.runs)))
}

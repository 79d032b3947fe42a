//! `mc2 approve`, `mc2 release` and `mc2 revoke`.

use std::path::PathBuf;

use clap::Args;
use mc2_protocol::{Digest, Name, documents::message::GuestSecret};
use serde_json::{Value, json};

use super::{Common, Context, Told, line};
use crate::{
    cli::{name_and, version},
    confirm::Shown,
    files::read_secret,
    state::Revoked,
    terminal::listed,
    verbs::{Choice, Consent, Releases, VerbError},
};

/// More than any key has.
const MAX_KEY_FILE: usize = 64 * 1024;

#[derive(Args)]
pub struct ConsentArgs {
    /// The session's digest, or its first 8 digits or more
    session: String,
    /// The version of a dataset to release, where it is not the newest uploaded from here, or of an
    /// output in one's custody, where several are kept; repeatable
    #[arg(long = "data", value_name = "DATASET=OBJECT", value_parser = version)]
    data: Vec<(Name, Digest)>,
    /// For how many runs each key is good; one where nothing is said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// A key that the policy hands the component by this name, in a file of at most 4 KiB; repeatable
    #[arg(long = "key", value_name = "NAME=FILE", value_parser = key)]
    keys: Vec<(Name, PathBuf)>,
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
pub struct Approve {
    /// Approve one job that is proposed to this party, by its digest or its first 8 digits or more,
    /// and no other; the policy and all it allows where none is named
    #[arg(long, value_name = "JOB", conflicts_with_all = ["data", "runs"])]
    job: Option<String>,
    /// A file with the proposal of that job, where it did not come by the host; repeatable
    #[arg(long, value_name = "FILE", requires = "job")]
    proposal: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) consent: ConsentArgs,
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

impl ConsentArgs {
    /// Approves, or, where `approve` is `None`, releases keys alone.
    pub(super) async fn run(
        self,
        context: &Context,
        approve: Option<(Option<String>, Vec<PathBuf>)>,
    ) -> Result<Told, VerbError> {
        let entered = context.member.enter(&self.session)?;
        let session = entered.session()?;
        let choice = Choice {
            versions: self.data.into_iter().collect(),
            runs: self.runs,
        };
        let policy_digest = self.policy_digest.as_ref();
        let approving = approve.is_some();
        let (approval, stated) = match approve {
            None | Some((None, _)) => {
                let planned = entered.plan_approval(&choice, approving, policy_digest);
                let approval = planned.await?;
                (approval, self.digest.or(self.policy_digest))
            }
            Some((Some(job), files)) => {
                let planned = entered.plan_job_approval(&session, &job, &files, policy_digest);
                (planned.await?, self.digest)
            }
        };
        let keys = read_keys(&self.keys)?;
        let mut shown = approval.text.clone();
        for (name, _) in &keys {
            shown.push_str(&format!("give         the key {name} to the component\n"));
        }
        Shown {
            text: &shown,
            digest: approval.digest,
            stated,
            flag: "--digest",
        }
        .confirm()?;
        let (consent, digest) = (approval.consent, approval.digest);
        let released = keys_json(&approval.releases);
        let left_out = approval.releases.left_out.iter();
        let left_out: Vec<Value> = left_out
            .map(|(dataset, why)| json!({ "dataset": dataset, "reason": why }))
            .collect();
        let told = told_keys(&approval.releases);
        entered.approve(&session, approval).await?;
        let mut given = Vec::new();
        for (name, key) in keys {
            session.give_key(&entered.identity, &name, key).await?;
            given.push(name);
        }
        let mut text = line("session", entered.known.session);
        let approved = match consent {
            Consent::Nothing => None,
            Consent::Policy => Some("policy"),
            Consent::Job => Some("job"),
        };
        if let Some(what) = approved {
            text.push_str(&line("approved", format!("{what} {digest}")));
        }
        text.push_str(&line("released", told));
        let fields = json!({
            "session": entered.known.session,
            "digest": digest,
            "approved": approved,
            "released": released,
            "left_out": left_out,
            "guest_keys": given,
        });
        let status = if approving { "approved" } else { "released" };
        Ok(Told::done(status, text, fields))
    }
}

impl Approve {
    pub(super) async fn run(self, context: &Context) -> Result<Told, VerbError> {
        let Self {
            job,
            proposal,
            consent,
        } = self;
        consent.run(context, Some((job, proposal))).await
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
            (None, None, None) => return Err(VerbError::NothingNamed),
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

/// The keys for the component, each from its file.
fn read_keys(files: &[(Name, PathBuf)]) -> Result<Vec<(Name, GuestSecret)>, VerbError> {
    let read = files.iter().map(|(name, path)| {
        let bytes = read_secret(path, MAX_KEY_FILE).map_err(VerbError::File)?;
        let key = GuestSecret::new(bytes);
        let key = key.map_err(|source| VerbError::GuestKey {
            path: path.clone(),
            source,
        })?;
        Ok((name.clone(), key))
    });
    read.collect()
}

/// Reads `NAME=FILE`.
fn key(text: &str) -> Result<(Name, PathBuf), String> {
    match name_and(text, "expected NAME=FILE")? {
        (_, "") => Err("expected NAME=FILE".to_owned()),
        (name, path) => Ok((name, path.into())),
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

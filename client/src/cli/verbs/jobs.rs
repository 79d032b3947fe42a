//! `mc2 submit`, `mc2 watch` and `mc2 cancel`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::Args;
use mc2_protocol::{
    Digest, Name,
    documents::{job::Job, receipt::Status},
    policy,
};
use serde_json::{Value, json};

use super::{Common, Context, Told, line, shown};
use crate::{
    checks,
    cli::{name_and, version},
    exit::Exit,
    results,
    verbs::{Arguments, Drafting, Ended, Entered, Submitted, VerbError, Watching},
    verify::failure,
};

#[derive(Args)]
pub struct Submit {
    /// The session's digest, or its first 8 digits or more
    session: String,
    /// The job's name in the policy
    #[arg(required_unless_present = "again", conflicts_with = "again")]
    job: Option<Name>,
    /// Go on with a job that was kept here before, by its digest or the first 8 digits or more
    #[arg(long, value_name = "JOB", conflicts_with_all = ["inputs", "params", "steps", "arguments"])]
    again: Option<String>,
    /// Go on although the job may have been taken before: it then runs, and spends its keys, twice
    #[arg(long, requires = "again")]
    even_twice: bool,
    /// Submit it although the same left before and what became of that was not heard
    #[arg(long, conflicts_with = "again")]
    another: bool,
    /// The version of a dataset to read, where the policy pins none and it is not the newest
    /// uploaded from here, or of what is in custody, where not one alone is known here; repeatable
    #[arg(long = "in", value_name = "DATASET=OBJECT", value_parser = version)]
    inputs: Vec<(Name, Digest)>,
    /// The value of a parameter of a fixed query; repeatable
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param)]
    params: Vec<(Name, String)>,
    /// An argument of a step, by the step's number from 1; repeatable
    #[arg(long = "arg", value_name = "STEP=VALUE", value_parser = step_argument)]
    steps: Vec<(usize, String)>,
    /// Also leave the job's proposals in a folder, PARTY.proposal for each who is to approve it: for
    /// approvers who are sent them by another way than the host's
    #[arg(long, value_name = "FOLDER")]
    proposals: Option<PathBuf>,
    /// How long approvals and keys of others are waited for; for ever where nothing is said
    #[arg(long, value_name = "TIME", conflicts_with = "now")]
    wait: Option<policy::Duration>,
    /// Do not wait, in the host's queue neither: say what is missing, and of whom
    #[arg(long)]
    now: bool,
    /// The policy's digest, for scripts: whoever states it knows the policy and every card in it
    #[arg(long, value_name = "DIGEST")]
    policy_digest: Option<Digest>,
    #[command(flatten)]
    pub(super) common: Common,
    /// Arguments of the step that the policy leaves open: all of them, or those it leaves open
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

#[derive(Args)]
pub struct Watch {
    /// The session's digest, or its first 8 digits or more
    session: String,
    /// The job's number in the session, or the digest of one that was submitted from here
    job: String,
    /// How long its end is waited for; its time limit and 15 minutes where nothing is said
    #[arg(long, value_name = "TIME")]
    wait: Option<policy::Duration>,
    /// Keep its receipt and sealed outputs in a folder that `mc2 open` opens
    #[arg(long, value_name = "FOLDER")]
    keep_sealed: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args)]
pub struct Cancel {
    /// The session's digest, or its first 8 digits or more
    session: String,
    /// The job's number in the session, or its digest
    job: String,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Submit {
    pub(super) async fn run(self, context: &Context) -> Result<Told, VerbError> {
        let entered = context.member.enter(&self.session)?;
        let session = entered.session()?;
        let patience = match (self.now, self.wait) {
            (true, _) => Duration::ZERO,
            (_, Some(wait)) => Duration::from_millis(wait.millis()),
            _ => Duration::MAX,
        };
        let stated = self.policy_digest;
        let (folder, queued) = (self.proposals.clone(), !self.now);
        let observer = context.progress.observer();
        let stop = &context.stop;
        let submission = match (self.again.clone(), self.job.clone()) {
            (Some(again), _) => {
                let kept = entered.kept(&again, stated.as_ref())?;
                let resumed = tokio::select! {
                    resumed = entered.resume(&session, &kept, self.even_twice, &observer) => resumed?,
                    exit = stop.asked() => return Err(VerbError::Stopped(exit)),
                };
                if let Some(submitted) = resumed {
                    return Ok(told_submitted(&entered, &submitted));
                }
                if let Some(number) = entered.find(&session, &kept).await? {
                    let job = entered.note(kept, number)?.job;
                    return Err(VerbError::Taken { job, number });
                }
                kept
            }
            (None, Some(job)) => {
                let another = self.another;
                let job = self.drafted(&entered, job)?;
                if !another {
                    entered.refuse_unanswered(&job)?;
                }
                entered.keep(&job, stated.as_ref())?
            }
            // One of the two is required.
            (None, None) => return Err(VerbError::NothingNamed),
        };
        entered.agree(&session, &submission).await?;
        entered
            .propose(&session, &submission, folder.as_deref())
            .await?;
        entered
            .ready(&session, &submission, patience, &observer, stop)
            .await?;
        let submitted = tokio::select! {
            submitted = entered.submit(&session, submission, queued, &observer) => submitted?,
            exit = stop.asked() => return Err(VerbError::Stopped(exit)),
        };
        Ok(told_submitted(&entered, &submitted))
    }

    fn drafted(self, entered: &Entered<'_>, job: Name) -> Result<Job, VerbError> {
        let mut steps: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (step, value) in self.steps {
            steps.entry(step).or_default().push(value);
        }
        entered.draft(&Drafting {
            job,
            versions: self.inputs.into_iter().collect(),
            arguments: Arguments {
                open: self.arguments,
                steps,
                params: self.params.into_iter().collect(),
            },
        })
    }
}

impl Watch {
    pub(super) async fn run(self, context: &Context) -> Result<Told, VerbError> {
        let entered = context.member.enter(&self.session)?;
        let session = entered.followed()?;
        let watching = Watching {
            job: self.job,
            wait: self.wait.map(|wait| Duration::from_millis(wait.millis())),
            keep_sealed: self.keep_sealed,
        };
        let observer = context.progress.observer();
        let ended = entered
            .watch(&session, &watching, &observer, &context.stop)
            .await?;
        Ok(told_of(&ended, watching.keep_sealed))
    }
}

impl Cancel {
    pub(super) async fn run(self, context: &Context) -> Result<Told, VerbError> {
        let entered = context.member.enter(&self.session)?;
        let session = entered.followed()?;
        let number = entered.cancel(&session, &self.job).await?;
        let text = format!("job {number} is being stopped, or had ended\n");
        let fields = json!({ "session": entered.known.session, "number": number });
        Ok(Told::done("cancelled", text, fields))
    }
}

fn told_of(ended: &Ended, sealed: Option<PathBuf>) -> Told {
    let receipt = &ended.verified.receipt;
    let exit = Exit::of_job(&receipt.status);
    let (status, reason) = match &receipt.status {
        Status::Succeeded => ("succeeded", None),
        Status::Failed { reason, .. } => ("failed", Some(reason.as_str())),
    };
    let message = reason.map(|reason| failure::told_of(reason, ended.failed.output.as_ref(), ""));
    let mut text = [
        line("job", format!("{}  {}", receipt.job, receipt.job_name)),
        line("number", ended.number),
        line("status", results::in_words(&receipt.status)),
    ]
    .concat();
    if let Some(message) = &message {
        text.push_str(&line("", message));
    }
    text.push_str(&ended.figures.to_text());
    text.push_str(&custody_text(ended));
    text.push_str(&line("receipt", ended.receipt.display()));
    if let Some(folder) = &sealed {
        let folder = folder.display();
        text.push_str(&line("sealed", &folder));
        text.push_str(&format!("next: mc2 open {folder} --output FOLDER\n"));
    }
    let fields = json!({
        "session": ended.verified.session.digest(),
        "job": receipt.job,
        "name": receipt.job_name,
        "number": ended.number,
        "reason": reason,
        "message": message,
        "own_job": ended.own,
        "receipt": shown(&ended.receipt),
        "sealed": sealed.as_deref().map(shown),
        "verification": checks::to_json(&ended.checks),
        "custody": custody_json(ended),
        "usage": ended.figures.to_json(),
    });
    Told::ended(status, exit, text, fields)
}

/// What a job left in custody, and whether its key is kept here.
fn custody_text(ended: &Ended) -> String {
    let left = ended.verified.receipt.custody.iter().map(|one| {
        let (name, object, runs) = (&one.name, one.object, one.runs);
        let who = match is_kept(ended, &object) {
            true => "its key is kept here".to_owned(),
            false => format!("in custody of {}", holder(ended, name)),
        };
        line(
            "custody",
            format!("{name}, object {object}, {who}, for {runs} runs in all"),
        )
    });
    left.collect()
}

fn custody_json(ended: &Ended) -> Vec<Value> {
    let left = ended.verified.receipt.custody.iter();
    left.map(|one| {
        json!({
            "output": one.name,
            "object": one.object,
            "holder": holder(ended, &one.name),
            "runs": one.runs,
            "kept": is_kept(ended, &one.object),
        })
    })
    .collect()
}

fn is_kept(ended: &Ended, object: &Digest) -> bool {
    ended.kept.iter().any(|key| key.object == *object)
}

/// The custodian's name; a receipt without one in the policy does not verify.
fn holder<'e>(ended: &'e Ended, output: &Name) -> &'e str {
    let custody = ended.verified.policy.custody(output);
    custody.map_or("nobody", |custody| custody.holder.name().as_str())
}

fn read_text(read: &[(Name, Digest)]) -> String {
    let lines = read
        .iter()
        .map(|(name, object)| line("reads", format!("{name}, object {object}")));
    lines.collect()
}

fn read_json(read: &[(Name, Digest)]) -> Vec<Value> {
    let read = read.iter();
    read.map(|(name, object)| json!({ "name": name, "object": object }))
        .collect()
}

fn told_submitted(entered: &Entered<'_>, submitted: &Submitted) -> Told {
    let digest = entered.known.session;
    let text = [
        line("job", submitted.job),
        line("number", submitted.number),
        read_text(&submitted.read),
        format!("next: mc2 watch {} {}\n", digest.short(), submitted.number),
    ];
    let fields = json!({
        "session": digest,
        "job": submitted.job,
        "number": submitted.number,
        "read": read_json(&submitted.read),
    });
    Told::done("submitted", text.concat(), fields)
}

/// Reads `NAME=VALUE`.
fn param(text: &str) -> Result<(Name, String), String> {
    let (name, value) = name_and(text, "expected NAME=VALUE")?;
    Ok((name, value.to_owned()))
}

/// Reads `STEP=VALUE`.
fn step_argument(text: &str) -> Result<(usize, String), String> {
    let expected = "expected STEP=VALUE, the step by its number from 1";
    let (step, value) = text.split_once('=').ok_or(expected)?;
    let step = step.parse().map_err(|_| expected)?;
    Ok((step, value.to_owned()))
}

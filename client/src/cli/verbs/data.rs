//! `mc2 upload` and `mc2 list`.

use std::path::PathBuf;

use clap::Args;
use mc2_protocol::Name;
use serde_json::json;

use super::{Common, Context, Place, Told, line, shown};
use crate::{
    policy::rfc3339,
    terminal::size,
    verbs::{Known, Uploading, VerbError},
};

#[derive(Args)]
pub struct Upload {
    /// A file or folder, or a folder DATASET.sealed of `mc2 seal`
    path: PathBuf,
    /// The dataset it is a version of; what was sealed before knows
    #[arg(long, value_name = "DATASET")]
    name: Option<Name>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    pub(super) common: Common,
}

impl Upload {
    pub(super) async fn run(self, context: &Context) -> Result<Told, VerbError> {
        let uploading = Uploading {
            path: self.path,
            name: self.name,
            trust: self.place.trust(),
            host: self.place.host,
        };
        let observer = context.progress.observer();
        let uploaded = tokio::select! {
            uploaded = context.member.upload(uploading, &observer) => uploaded?,
            exit = context.stop.asked() => return Err(VerbError::Stopped(exit)),
        };
        let text = [
            line("object", uploaded.object),
            line("dataset", &uploaded.dataset),
            line("host", &uploaded.host),
        ];
        let fields = json!({
            "object": uploaded.object,
            "dataset": uploaded.dataset,
            "host": uploaded.host,
            "length": uploaded.length,
        });
        Ok(Told::done("stored", text.concat(), fields))
    }
}

impl List {
    pub(super) fn run(&self, context: &Context) -> Result<Told, VerbError> {
        let Known {
            sessions,
            jobs,
            uploads,
            custody,
            revoked,
        } = context.member.list()?;
        let mut text = String::new();
        for (known, name) in &sessions {
            let name = name.as_ref().map_or("?", Name::as_str);
            let time = rfc3339(known.appraised);
            let (session, host) = (known.session, &known.host);
            let told = format!("{session}  {name} at {host}, appraised {time}");
            text.push_str(&line("session", told));
        }
        for (job, receipt) in &jobs {
            let name = job.name();
            let name = name.as_ref().map_or("?", Name::as_str);
            let number = job.number.map_or_else(
                || "not taken".to_owned(),
                |number| format!("number {number}"),
            );
            let ended = match receipt {
                Some(receipt) => format!("receipt {}", receipt.display()),
                None => "no receipt yet".to_owned(),
            };
            let told = format!(
                "{}  {name}, {number} of {}, {ended}",
                job.job,
                job.session.short()
            );
            text.push_str(&line("job", told));
        }
        for upload in &uploads {
            let (object, dataset) = (upload.object, &upload.dataset);
            let told = format!(
                "{object}  {dataset} at {}, {}",
                upload.host,
                size(upload.length)
            );
            text.push_str(&line("upload", told));
        }
        for (key, spent) in &custody {
            let told = format!(
                "{}  {} of job {}, {spent} of {} runs released",
                key.object,
                key.output,
                key.job.short(),
                key.runs
            );
            text.push_str(&line("custody", told));
        }
        for (what, time) in &revoked {
            let told = format!("{what}, {}", rfc3339(*time));
            text.push_str(&line("revoked", told));
        }
        if text.is_empty() {
            text = "nothing yet\n".to_owned();
        }
        let sessions = sessions.iter().map(|(known, name)| {
            json!({
                "session": known.session,
                "policy": name,
                "host": known.host,
                "appraised": known.appraised,
                "own": known.own,
            })
        });
        let jobs = jobs.iter().map(|(job, receipt)| {
            json!({
                "job": job.job,
                "name": job.name(),
                "session": job.session,
                "number": job.number,
                "time": job.time,
                "receipt": receipt.as_deref().map(shown),
            })
        });
        let uploads = uploads.iter().map(|upload| {
            json!({
                "object": upload.object,
                "dataset": upload.dataset,
                "host": upload.host,
                "length": upload.length,
            })
        });
        let custody = custody.iter().map(|(key, spent)| {
            json!({
                "object": key.object,
                "output": key.output,
                "policy": key.policy,
                "job": key.job,
                "runs": key.runs,
                "released": spent,
            })
        });
        let revoked = revoked
            .iter()
            .map(|(what, time)| json!({ "what": what, "time": time }));
        let fields = json!({
            "sessions": sessions.collect::<Vec<_>>(),
            "jobs": jobs.collect::<Vec<_>>(),
            "uploads": uploads.collect::<Vec<_>>(),
            "custody": custody.collect::<Vec<_>>(),
            "revoked": revoked.collect::<Vec<_>>(),
        });
        Ok(Told::done("listed", text, fields))
    }
}

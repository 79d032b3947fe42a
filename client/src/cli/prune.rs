//! `mc2 prune`: what of the state folder goes.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};

use super::object;
use crate::{
    exit::Exit,
    policy::rfc3339,
    prune::{Prunable, PruneError},
    state::State,
};

const DAY: u64 = 24 * 60 * 60;

/// What goes, and whether it only says so.
#[derive(Args)]
pub struct PruneCommand {
    /// How old: 90d
    #[arg(long, value_name = "DAYS", value_parser = days)]
    older_than: Duration,
    /// Say what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Write one JSON object to standard output
    #[arg(long)]
    json: bool,
}

impl PruneCommand {
    /// Does it, and returns what is to be said.
    ///
    /// # Errors
    /// [`PruneError`].
    pub fn run(&self, state: &State) -> Result<String, PruneError> {
        let found = Prunable::find(state, self.older_than, SystemTime::now())?;
        if !self.dry_run {
            found.remove()?;
        }
        if self.json {
            return Ok(self.to_json(&found));
        }
        let what = if self.dry_run { "would go" } else { "gone" };
        let mut text = String::new();
        for job in &found.jobs {
            let files = job.files.len();
            let time = rfc3339(job.time);
            text.push_str(&format!(
                "job {}  of {time}, {files} files  {what}\n",
                job.job
            ));
        }
        for (session, _) in &found.sessions {
            text.push_str(&format!("session {session}  {what}\n"));
        }
        text.push_str(&format!(
            "{} jobs {what}; {} are younger, {} may still run\n",
            found.jobs.len(),
            found.young,
            found.open
        ));
        Ok(text)
    }

    fn to_json(&self, found: &Prunable) -> String {
        let jobs = found.jobs.iter();
        let jobs: Vec<Value> = jobs
            .map(|job| json!({ "job": job.job, "time": job.time, "files": job.files }))
            .collect();
        let fields = json!({
            "dry_run": self.dry_run,
            "jobs": jobs,
            "sessions": found.sessions.iter().map(|(session, _)| session).collect::<Vec<_>>(),
            "younger": found.young,
            "open": found.open,
        });
        object("pruned", Exit::Success, fields)
    }
}

fn days(text: &str) -> Result<Duration, String> {
    let days = text
        .strip_suffix('d')
        .and_then(|days| days.parse::<u32>().ok());
    let days = days.ok_or("expected a whole number of days, such as 90d")?;
    Ok(Duration::from_secs(u64::from(days) * DAY))
}

//! `mc2 ledger`: what was released, and whether the chain holds.

use std::{
    io::{self, Write},
    ops::ControlFlow,
};

use clap::Subcommand;
use mc2_protocol::encoding::to_json;
use serde_json::json;

use super::object;
use crate::{
    exit::Exit,
    policy::rfc3339,
    state::ledger::{Entry, Ledger, LedgerError, Recorded},
    terminal::{listed, quoted},
};

/// What to do with the ledger.
#[derive(Subcommand)]
pub enum LedgerCommand {
    /// Check the whole chain, line by line
    Verify {
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// List what stands in it, oldest first
    List {
        /// Write one JSON object a line to standard output
        #[arg(long)]
        json: bool,
    },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Nobody takes what is said.
    #[error("cannot write")]
    Write(#[source] io::Error),
}

impl LedgerCommand {
    /// Does it, and writes what is to be said to `out`.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn run(&self, ledger: &Ledger, out: &mut impl Write) -> Result<(), CommandError> {
        match self {
            Self::Verify { json } => {
                let head = ledger.verify()?;
                let text = if *json {
                    let fields = json!({
                        "verified": true,
                        "lines": head.lines,
                        "last": head.last,
                    });
                    object("verified", Exit::Success, fields)
                } else {
                    format!(
                        "{} lines follow from each other\nhead  {}\n",
                        head.lines, head.last
                    )
                };
                quiet(write!(out, "{text}"))
            }
            Self::List { json } => list(ledger, *json, out),
        }
    }
}

impl CommandError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Ledger(_) => Exit::StateBroken,
            Self::Write(_) => Exit::CannotWrite,
        }
    }
}

/// Writes every entry of a ledger, one a line.
///
/// # Errors
/// [`CommandError`]; a reader that went away is none.
pub fn list(ledger: &Ledger, json: bool, out: &mut impl Write) -> Result<(), CommandError> {
    let mut written = Ok(());
    ledger.entries(|recorded| {
        written = if json {
            let mut line = to_json(&recorded);
            line.push(b'\n');
            out.write_all(&line)
        } else {
            writeln!(out, "{}", in_words(&recorded))
        };
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    quiet(written)
}

fn in_words(recorded: &Recorded) -> String {
    let what = match &recorded.entry {
        Entry::Release(release) => format!(
            "release  {} for {} runs: object {} of {}, policy {}, session {}",
            release.dataset,
            release.runs,
            release.object.short(),
            release.owner.short(),
            release.policy.short(),
            release.session.short(),
        ),
        Entry::Refusal(refusal) => format!(
            "refusal  {}: {}, policy {}, session {}",
            refusal.code,
            // It may quote what a host said.
            quoted(&refusal.reason),
            refusal.policy.short(),
            refusal.session.short(),
        ),
        Entry::Added(added) => format!(
            "added    {} version {}: object {} of {}",
            added.dataset,
            added.number,
            added.object.short(),
            added.owner.short(),
        ),
        Entry::Kept(kept) => format!(
            "kept     {} object {} of job {} for {} runs under policy {}",
            kept.output,
            kept.object.short(),
            kept.job.short(),
            kept.runs,
            kept.policy.short(),
        ),
        Entry::Removed(removed) => format!("removed  object {}", removed.object.short()),
        Entry::Accepted(accepted) => format!("accepted policy {}", accepted.policy),
        Entry::Withdrawn(withdrawn) => format!("withdrawn policy {}", withdrawn.policy),
        Entry::Resumed(resumed) => format!("resumed  boot {}", quoted(&resumed.boot)),
        Entry::Start(start) => format!(
            "start    job {} over {}, policy {}, session {}",
            start.job.short(),
            listed(&start.datasets),
            start.policy.short(),
            start.session.short(),
        ),
    };
    format!("{:>6}  {}  {what}", recorded.line, rfc3339(recorded.time))
}

fn quiet(written: io::Result<()>) -> Result<(), CommandError> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Write(error)),
        _ => Ok(()),
    }
}

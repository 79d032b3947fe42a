//! What a party of a session types, each verb a process of its own.

mod consent;
mod data;
mod jobs;
mod session;
mod status;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Progress, collateral::CollateralArgs, of_fields};
use crate::{
    collateral::CollateralOptions,
    exit::Exit,
    http::{HostAddress, Trust},
    state::State,
    stop::Stop,
    verbs::{Member, VerbError},
};

/// What a party of a session does.
#[derive(Subcommand)]
pub enum VerbCommand {
    /// Store a version of a dataset at a host, sealed here
    Upload(data::Upload),
    /// Open a session, join one, see who said what in it, end it
    Session {
        /// What.
        #[command(subcommand)]
        command: session::SessionCommand,
    },
    /// Ask for new evidence of a session, and say of every check what was expected and found
    Attest(session::Attest),
    /// Approve a session's policy, and release the keys of one's own datasets and custody
    Approve(consent::Approve),
    /// Release the keys of one's own datasets and custody to a session, and approve nothing
    Release(consent::ConsentArgs),
    /// Submit a job of the policy
    Submit(jobs::Submit),
    /// Follow a job to its end, verify its receipt and keep its results
    Watch(jobs::Watch),
    /// List what is known here: sessions, jobs, results, uploads, keys in custody, revocations
    List(data::List),
    /// Stop a job that was submitted from here
    Cancel(jobs::Cancel),
    /// Release no further key of a dataset, an object or to a session
    Revoke(consent::Revoke),
}

/// What every verb may be given.
#[derive(Args)]
pub struct Common {
    /// Who acts: an identity by name or file; the one that is a party where none is named
    #[arg(long = "as", value_name = "IDENTITY")]
    identity: Option<String>,
    /// Accept a simulated enclave. NOT SECURE
    #[arg(long)]
    allow_simulated: bool,
    /// Write one JSON object to standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    collateral: CollateralArgs,
}

/// Where a host is.
#[derive(Args)]
pub struct Place {
    /// The host: https://NAME:PORT, http://NAME:PORT or unix:PATH
    #[arg(long, value_name = "URL")]
    host: HostAddress,
    /// The certificate authorities of the host, a PEM file, rather than this system's
    #[arg(long, value_name = "FILE")]
    host_ca: Option<PathBuf>,
}

/// What a verb has to say at its end.
pub struct Told {
    /// For people.
    pub text: String,
    /// For programs.
    pub json: Value,
    /// How the process ends.
    pub exit: Exit,
}

/// What a verb works with.
struct Context {
    member: Member,
    progress: std::sync::Arc<Progress>,
    stop: Stop,
}

impl VerbCommand {
    /// Whether one JSON object is wanted.
    pub const fn json(&self) -> bool {
        self.common().json
    }

    /// Does it.
    ///
    /// # Errors
    /// [`VerbError`].
    pub async fn run(self, state: State) -> Result<Told, VerbError> {
        let common = self.common();
        let stop = Stop::listen().map_err(|_| VerbError::Stopped(Exit::Failed))?;
        let options = CollateralOptions::from(&common.collateral);
        let context = Context {
            member: Member {
                collateral: options.read(state.collateral())?,
                state,
                identity: common.identity.clone(),
                allow_simulated: common.allow_simulated,
                trust: None,
            },
            progress: Progress::new(common.json, false),
            stop,
        };
        let told = match self {
            Self::Upload(upload) => upload.run(&context).await,
            Self::Session { command } => command.run(&context).await,
            Self::Attest(attest) => attest.run(&context).await,
            Self::Approve(approve) => approve.run(&context).await,
            Self::Release(release) => release.run(&context, None).await,
            Self::Submit(submit) => submit.run(&context).await,
            Self::Watch(watch) => watch.run(&context).await,
            Self::List(list) => list.run(&context),
            Self::Cancel(cancel) => cancel.run(&context).await,
            Self::Revoke(revoke) => revoke.run(&context),
        };
        context.progress.clear();
        told
    }

    const fn common(&self) -> &Common {
        match self {
            Self::Upload(upload) => &upload.common,
            Self::Session { command } => command.common(),
            Self::Attest(attest) => &attest.common,
            Self::Approve(approve) => &approve.consent.common,
            Self::Release(release) => &release.common,
            Self::Submit(submit) => &submit.common,
            Self::Watch(watch) => &watch.common,
            Self::List(list) => &list.common,
            Self::Cancel(cancel) => &cancel.common,
            Self::Revoke(revoke) => &revoke.common,
        }
    }
}

impl Place {
    fn trust(&self) -> Trust {
        self.host_ca.clone().map_or(Trust::System, Trust::File)
    }

    /// The authorities' file, wherever a later process is started.
    fn whole_ca(&self) -> Option<PathBuf> {
        let path = self.host_ca.as_ref()?;
        Some(path.canonicalize().unwrap_or_else(|_| path.clone()))
    }
}

impl Told {
    /// What was done, in words and as fields; `version`, `status` and `exit_code` are put to these.
    fn done(status: &str, text: String, fields: Value) -> Self {
        Self::ended(status, Exit::Success, text, fields)
    }

    fn ended(status: &str, exit: Exit, text: String, fields: Value) -> Self {
        let json = of_fields(status, exit, fields);
        Self { text, json, exit }
    }
}

/// A line of what and value.
fn line(what: &str, value: impl std::fmt::Display) -> String {
    format!("{what:<10} {value}\n")
}

/// A path as text.
fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

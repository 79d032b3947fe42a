//! `mc2 policy`: what a policy means, before anybody signs it.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::Subcommand;
use mc2_protocol::policy::{self, Policy, PolicyError};
use serde_json::json;

use super::object;
use crate::{
    exit::Exit,
    files::{FileError, read_capped},
    party::{Parties, PartyError},
    policy::{
        advice,
        approval::policy_text,
        check::{self, Checked},
        new::{self, Answers, Asked, NewPolicyError},
        to_json,
    },
    state::{State, StateError},
    unix_seconds,
};

/// What to do with a policy.
#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Say in plain sentences what a policy means: who could learn what, who may ask, what the host
    /// sees
    Check {
        /// The policy's file
        file: PathBuf,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Write a policy: asks what it must say, or takes the answers from flags. Never writes over a
    /// file
    New {
        /// Where to
        file: PathBuf,
        /// The answers, as far as they are given
        #[command(flatten)]
        answers: Box<Answers>,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Show a policy field by field with its digest, as it is shown before an approval
    Show {
        /// The policy's file
        file: PathBuf,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
}

/// What to say, and how to end.
pub struct Told {
    /// For standard output.
    pub text: String,
    /// How the command ends.
    pub exit: Exit,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something has the name already.
    #[error(
        "{} is there already and stays as it is: a policy that was agreed is never written over; \
         name another file",
        path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The answers.
    #[error(transparent)]
    New(#[from] NewPolicyError),
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The known cards.
    #[error(transparent)]
    Parties(#[from] PartyError),
    /// What is in it.
    #[error("{} is not a policy that holds", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what to write instead.
        source: Box<PolicyError>,
    },
}

impl PolicyCommand {
    /// Does it, and returns what is to be said.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn run(&self) -> Result<Told, CommandError> {
        match self {
            Self::Check { file, json } => check(file, *json),
            Self::New {
                file,
                answers,
                json,
            } => create(file, answers, *json),
            Self::Show { file, json } => show(file, *json),
        }
    }
}

impl CommandError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::File(_) | Self::Exists { .. } => Exit::BadInput,
            Self::New(error) => error.exit(),
            Self::State(error) => error.exit(),
            Self::Parties(error) => error.exit(),
            Self::Policy { .. } => Exit::PolicyRefused,
        }
    }
}

fn check(file: &Path, json: bool) -> Result<Told, CommandError> {
    let bytes = read_capped(file, policy::MAX_LEN)?;
    let checked = match Checked::of(&bytes, unix_seconds(SystemTime::now())) {
        Ok(checked) => checked,
        Err(error) if json => {
            return Ok(Told {
                text: object("refused", Exit::PolicyRefused, check::error_to_json(&error)),
                exit: Exit::PolicyRefused,
            });
        }
        Err(error) => return Err(refused(file, error)),
    };
    let exit = Exit::Success;
    let text = if json {
        object("checked", exit, checked.to_json())
    } else {
        checked.to_text()
    };
    Ok(Told { text, exit })
}

fn show(file: &Path, json: bool) -> Result<Told, CommandError> {
    let bytes = read_capped(file, policy::MAX_LEN)?;
    let policy = Policy::parse(&bytes).map_err(|error| refused(file, error))?;
    let text = if json {
        object("shown", Exit::Success, to_json(&policy))
    } else {
        policy_text(&policy)
    };
    let exit = Exit::Success;
    Ok(Told { text, exit })
}

fn create(file: &Path, answers: &Answers, json: bool) -> Result<Told, CommandError> {
    // Nobody answers twenty questions to learn that there is such a file already.
    if file.symlink_metadata().is_ok() {
        let path = file.to_owned();
        return Err(CommandError::Exists { path });
    }
    let known = Parties::load(&State::locate()?)?;
    let (mut from, mut to) = (io::stdin().lock(), io::stderr());
    let terminal = from.is_terminal() && to.is_terminal();
    let asked = terminal.then_some(Asked {
        from: &mut from,
        to: &mut to,
    });
    let now = unix_seconds(SystemTime::now());
    let policy = new::compose(answers, &known, now, asked)?;
    new::write(file, &policy)?;
    let text = if json {
        let fields = json!({ "file": file, "digest": policy.digest() });
        object("written", Exit::Success, fields)
    } else {
        let mut text = format!("policy  {}\ndigest  {}\n", file.display(), policy.digest());
        for warning in advice::warnings(&policy) {
            text.push_str(&format!("! {warning}\n"));
        }
        text.push_str("next: `mc2 policy check` says all of what it means; every party checks the same bytes\n");
        text
    };
    let exit = Exit::Success;
    Ok(Told { text, exit })
}

fn refused(file: &Path, error: PolicyError) -> CommandError {
    CommandError::Policy {
        path: file.to_owned(),
        source: Box::new(error),
    }
}

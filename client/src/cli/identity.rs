//! `mc2 identity`: one's own identities, carried and replaced.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::object;
use crate::{
    exit::Exit,
    identity::{self, IdentityError, Replaced},
    keys::{KeyError, Passphrase, Question},
    party::{Fingerprint, Parties, PartyError},
    state::{DEFAULT_IDENTITY, State, StateError},
};

const FLAG: &str = "--passphrase-file";

/// What to do with one's own identities.
#[derive(Subcommand)]
pub enum IdentityCommand {
    /// Show one's own identities: names, fingerprints, what replaced what
    Show {
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Write an identity to a file under a passphrase, to keep a copy or to carry it elsewhere
    Export {
        /// The identity: its name, or its file
        #[arg(default_value = DEFAULT_IDENTITY)]
        name: String,
        /// Where to; never over a file that is there
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// A file whose first line is the passphrase, `-` for standard input; asked for on a
        /// terminal
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Take an exported identity
    Import {
        /// The file
        file: PathBuf,
        /// A file whose first line is the passphrase, `-` for standard input; asked for on a
        /// terminal
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Make a new identity in the place of one, whose card the old one signs
    Replace {
        /// The identity's name
        #[arg(default_value = DEFAULT_IDENTITY)]
        name: String,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The known cards.
    #[error(transparent)]
    Party(#[from] PartyError),
    /// The passphrase.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl CommandError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Identity(error) => error.exit(),
            Self::State(error) => error.exit(),
            Self::Party(error) => error.exit(),
            Self::Key(_) => Exit::BadInput,
        }
    }
}

impl IdentityCommand {
    /// Does it, and returns what is to be said.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn run(&self, state: &State) -> Result<String, CommandError> {
        match self {
            Self::Show { json } => show(state, *json),
            Self::Export {
                name,
                output,
                passphrase_file,
                json,
            } => {
                let identity = state.identity(name)?;
                let typed = question(passphrase_file.as_deref()).choose()?;
                let keeper = Passphrase::new(typed)?;
                identity::export(&identity, &keeper, output)?;
                let card = identity.card();
                Ok(if *json {
                    done(
                        "exported",
                        json!({
                            "file": output,
                            "name": card.name(),
                            "fingerprint": card.fingerprint(),
                        }),
                    )
                } else {
                    format!(
                        "{}  {}\nexported     {}\nwhoever has the file and the passphrase is {}\n",
                        card.name(),
                        card.fingerprint(),
                        output.display(),
                        card.name()
                    )
                })
            }
            Self::Import {
                file,
                passphrase_file,
                json,
            } => {
                let keeper = Passphrase::new(question(passphrase_file.as_deref()).ask()?)?;
                let (card, kept) = identity::import(state, &keeper, file)?;
                Ok(if *json {
                    done(
                        "imported",
                        json!({
                            "file": kept,
                            "name": card.name(),
                            "fingerprint": card.fingerprint(),
                        }),
                    )
                } else {
                    format!(
                        "identity     {}\nfingerprint  {}\n",
                        kept.display(),
                        card.fingerprint()
                    )
                })
            }
            Self::Replace { name, json } => {
                let replaced = identity::replace(state, name)?;
                Ok(if *json {
                    replaced_json(&replaced)
                } else {
                    replaced_text(&replaced)
                })
            }
        }
    }
}

const fn question(file: Option<&Path>) -> Question<'_> {
    Question {
        what: "the passphrase",
        flag: FLAG,
        file,
    }
}

fn show(state: &State, as_json: bool) -> Result<String, CommandError> {
    let parties = Parties::load(state)?;
    let cards = parties.own();
    if as_json {
        let one = |card: &mc2_protocol::Card| {
            json!({
                "name": card.name(),
                "fingerprint": card.fingerprint(),
                "digest": card.digest(),
                "card": card,
                "replaces": parties.replaces(card).map(mc2_protocol::Card::fingerprint),
                "replaced_by": parties.replaced_by(card).map(mc2_protocol::Card::fingerprint),
            })
        };
        let identities: Vec<Value> = cards.iter().map(one).collect();
        return Ok(done("listed", json!({ "identities": identities })));
    }
    if cards.is_empty() {
        return Ok("there is no identity yet; `mc2 keygen` makes one\n".to_owned());
    }
    let mut text = String::new();
    for card in cards {
        text.push_str(&format!("{}  {}", card.name(), Fingerprint::of(card)));
        if let Some(new) = parties.replaced_by(card) {
            text.push_str(&format!("  replaced by {}", Fingerprint::of(new)));
        }
        if let Some(old) = parties.replaces(card) {
            text.push_str(&format!("  replaces {}", Fingerprint::of(old)));
        }
        text.push('\n');
    }
    Ok(text)
}

fn replaced_text(replaced: &Replaced) -> String {
    let (old, new) = (replaced.replacement.old(), &replaced.card);
    let name = new.name();
    let mut text = format!(
        "identity     {}\nfingerprint  {}\nreplaces     {}\nold identity {}\nstatement    {}\n\
         Give the statement to every other party: `mc2 party add` takes it once the new fingerprint \
         was compared.\nKeep the old identity: what was sealed to it opens with it alone.\n\
         Every policy that names the old card needs the new one, and so has another digest, which \
         every party approves again; a broker's card is signed again by the new identity.\n",
        replaced.file.display(),
        new.fingerprint(),
        old.fingerprint(),
        replaced.old_file.display(),
        replaced.statement.display(),
    );
    for (digest, policy) in &replaced.policies {
        text.push_str(&format!(
            "names the old card of {name}: policy {policy}  {digest}\n"
        ));
    }
    text
}

fn replaced_json(replaced: &Replaced) -> String {
    let policies = replaced.policies.iter();
    let policies: Vec<Value> = policies
        .map(|(digest, name)| json!({ "digest": digest, "name": name }))
        .collect();
    done(
        "replaced",
        json!({
            "name": replaced.card.name(),
            "fingerprint": replaced.card.fingerprint(),
            "replaces": replaced.replacement.old().fingerprint(),
            "file": replaced.file,
            "old_file": replaced.old_file,
            "statement": replaced.statement,
            "policies": policies,
        }),
    )
}

fn done(status: &str, fields: Value) -> String {
    object(status, Exit::Success, fields)
}

//! `mc2 party`: whose cards are known.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use mc2_protocol::{Card, PartyName};
use serde_json::{Value, json};

use super::object;
use crate::{
    exit::Exit,
    party::{Added, Fingerprint, FingerprintError, Introduction, Parties, PartyError},
    state::State,
    terminal::quoted,
};

/// What to do with the known cards.
#[derive(Subcommand)]
pub enum PartyCommand {
    /// Know a party's card, once its fingerprint was compared over another channel
    Add {
        /// The card's file, that of a new card which the known one signed, or with --name a policy
        card: PathBuf,
        /// Take the card of this party out of a policy
        #[arg(long, value_name = "PARTY")]
        name: Option<PartyName>,
        /// The fingerprint the party told; asked for on a terminal
        #[arg(long, value_name = "DIGITS")]
        fingerprint: Option<Fingerprint>,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// List the known cards, one's own first
    List {
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
    /// Forget a party's card
    Remove {
        /// Its name
        name: PartyName,
        /// Write one JSON object to standard output
        #[arg(long)]
        json: bool,
    },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The card or the store.
    #[error(transparent)]
    Party(#[from] PartyError),
    /// Nobody says what was told.
    #[error(
        "a card is known only once its fingerprint was compared. The card in {} says it is {name}'s \
         and has the fingerprint {fingerprint}: ask {name} over another channel, such as the \
         telephone, what its fingerprint is, and give that with --fingerprint \"…\"",
        path.display()
    )]
    NotCompared {
        /// The file.
        path: PathBuf,
        /// The name in the card.
        name: PartyName,
        /// The card's fingerprint.
        fingerprint: Fingerprint,
    },
    /// What was typed is no fingerprint.
    #[error("{text} is not what {name} told")]
    Typed {
        /// What was typed.
        text: String,
        /// The name in the card.
        name: PartyName,
        /// What is wrong with it.
        source: FingerprintError,
    },
    /// The terminal.
    #[error("cannot ask for the fingerprint")]
    Terminal(#[source] io::Error),
}

impl PartyCommand {
    /// Does it, and returns what is to be said.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn run(&self, state: &State) -> Result<String, CommandError> {
        let mut parties = Parties::load(state)?;
        match self {
            Self::Add {
                card,
                name,
                fingerprint,
                json,
            } => {
                let read = Introduction::read(card, name.as_ref())?;
                let told = match fingerprint {
                    Some(told) => *told,
                    None => ask(card, read.card())?,
                };
                let told = add(&mut parties, state, &read, &told)?;
                Ok(if *json {
                    told.to_json()
                } else {
                    told.to_text()
                })
            }
            Self::List { json: true } => Ok(list_json(&parties)),
            Self::List { json: false } => Ok(list(&parties)),
            Self::Remove { name, json } => {
                parties.remove(name)?;
                if *json {
                    return Ok(done("removed", json!({ "removed": name })));
                }
                Ok(format!("{name} is not known any more\n"))
            }
        }
    }
}

impl CommandError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Party(error) => error.exit(),
            _ => Exit::BadInput,
        }
    }
}

/// Checks that a card has the fingerprint that was told, which is asked for where it is not given.
pub(super) fn compared(
    path: &Path,
    card: &Card,
    told: Option<Fingerprint>,
) -> Result<(), CommandError> {
    let told = match told {
        Some(told) => told,
        None => ask(path, card)?,
    };
    let found = Fingerprint::of(card);
    if told != found {
        return Err(CommandError::Party(PartyError::Fingerprint {
            name: card.name().clone(),
            expected: told,
            found,
        }));
    }
    Ok(())
}

/// Asks for what the party told, before the card's own fingerprint is shown: it is typed, not read
/// off.
fn ask(path: &Path, card: &Card) -> Result<Fingerprint, CommandError> {
    let name = card.name();
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(CommandError::NotCompared {
            path: path.to_owned(),
            name: name.clone(),
            fingerprint: Fingerprint::of(card),
        });
    }
    let mut line = String::new();
    let mut terminal = io::stderr();
    write!(
        terminal,
        "The card says it is {name}'s. Ask {name} over another channel, such as the telephone.\n\
         The fingerprint {name} tells you: "
    )
    .and_then(|()| terminal.flush())
    .and_then(|()| io::stdin().lock().read_line(&mut line))
    .map_err(CommandError::Terminal)?;
    line.parse().map_err(|source| CommandError::Typed {
        text: quoted(line.trim()),
        name: name.clone(),
        source,
    })
}

/// A card that was added, and what should be known of it.
struct Told<'r> {
    card: &'r Card,
    added: Added,
    replaces: Option<&'r Card>,
    looks_like: Option<PartyName>,
}

fn add<'r>(
    parties: &mut Parties,
    state: &State,
    read: &'r Introduction,
    told: &Fingerprint,
) -> Result<Told<'r>, CommandError> {
    let card = read.card();
    let looks_like = parties.looks_like(card.name()).cloned();
    let (added, replaces) = match read {
        Introduction::Card(card) => (parties.add(state, card, told)?, None),
        Introduction::Next(next) => {
            let added = parties.replace(state, next, told)?;
            (added, Some(next.old()))
        }
    };
    Ok(Told {
        card,
        added,
        replaces,
        looks_like,
    })
}

impl Told<'_> {
    fn to_text(&self) -> String {
        let what = match self.added {
            Added::New => "known from now on",
            Added::Known => "known already",
        };
        let mut text = format!("{}  {what}\n", shown(self.card));
        let name = self.card.name();
        if let Some(old) = self.replaces {
            text.push_str(&format!(
                "it takes the place of {name}'s card {}, which signed it: every policy that names the \
                 old one needs the new one, and so has another digest that every party approves \
                 again\n",
                Fingerprint::of(old)
            ));
        }
        if let Some(known) = &self.looks_like {
            text.push_str(&format!(
                "its name looks like {known}'s, who is somebody else\n"
            ));
        }
        text
    }

    fn to_json(&self) -> String {
        done(
            "added",
            json!({
                "name": self.card.name(),
                "fingerprint": self.card.fingerprint(),
                "new": self.added == Added::New,
                "replaces": self.replaces.map(Card::fingerprint),
                "looks_like": self.looks_like,
            }),
        )
    }
}

fn list(parties: &Parties) -> String {
    let own = parties.own().iter().map(|card| (card, "  your own"));
    let others = parties.others().iter().map(|card| (card, ""));
    own.chain(others)
        .map(|(card, whose)| {
            let before = parties.replaces(card);
            let before = before.map(|old| format!("  replaces {}", Fingerprint::of(old)));
            let after = parties.replaced_by(card);
            let after = after.map(|new| format!("  replaced by {}", Fingerprint::of(new)));
            let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
            format!("{}{whose}{before}{after}\n", shown(card))
        })
        .collect()
}

fn list_json(parties: &Parties) -> String {
    let one = |card: &Card, own: bool| {
        json!({
            "name": card.name(),
            "fingerprint": card.fingerprint(),
            "digest": card.digest(),
            "own": own,
            "replaces": parties.replaces(card).map(Card::fingerprint),
            "replaced_by": parties.replaced_by(card).map(Card::fingerprint),
        })
    };
    let own = parties.own().iter().map(|card| one(card, true));
    let others = parties.others().iter().map(|card| one(card, false));
    let cards: Vec<Value> = own.chain(others).collect();
    done("listed", json!({ "parties": cards }))
}

fn done(status: &str, fields: Value) -> String {
    object(status, Exit::Success, fields)
}

fn shown(card: &Card) -> String {
    format!("{}  {}", card.name(), Fingerprint::of(card))
}

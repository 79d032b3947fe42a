//! `mc2 party`: whose cards are known.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use mc2_protocol::{Card, PartyName};

use crate::{
    exit::Exit,
    party::{Added, Fingerprint, FingerprintError, Parties, PartyError, read_card},
    state::State,
    terminal::quoted,
};

/// What to do with the known cards.
#[derive(Subcommand)]
pub enum PartyCommand {
    /// Know a party's card, once its fingerprint was compared over another channel
    Add {
        /// The card's file, or with --name a policy that holds it
        card: PathBuf,
        /// Take the card of this party out of a policy
        #[arg(long, value_name = "PARTY")]
        name: Option<PartyName>,
        /// The fingerprint the party told; asked for on a terminal
        #[arg(long, value_name = "DIGITS")]
        fingerprint: Option<Fingerprint>,
    },
    /// List the known cards, one's own first
    List,
    /// Forget a party's card
    Remove {
        /// Its name
        name: PartyName,
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
                card: path,
                name,
                fingerprint,
            } => {
                let card = read_card(path, name.as_ref())?;
                let told = match fingerprint {
                    Some(told) => *told,
                    None => ask(path, &card)?,
                };
                let alike = parties
                    .looks_like(card.name())
                    .map(|known| format!("its name looks like {known}'s, who is somebody else\n"));
                let added = parties.add(state, &card, &told)?;
                let what = match added {
                    Added::New => "known from now on",
                    Added::Known => "known already",
                };
                let alike = alike.unwrap_or_default();
                Ok(format!("{}  {what}\n{alike}", shown(&card)))
            }
            Self::List => Ok(list(&parties)),
            Self::Remove { name } => {
                parties.remove(name)?;
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

fn list(parties: &Parties) -> String {
    let own = parties.own().iter().map(|card| (card, "  your own"));
    let others = parties.others().iter().map(|card| (card, ""));
    own.chain(others)
        .map(|(card, whose)| format!("{}{whose}\n", shown(card)))
        .collect()
}

fn shown(card: &Card) -> String {
    format!("{}  {}", card.name(), Fingerprint::of(card))
}

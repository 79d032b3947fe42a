//! `mc2 broker`: a broker and what its owner does with it.

mod serve;
mod status;
mod told;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::{Args, Subcommand, ValueEnum};
use mc2_protocol::{Card, Digest, Identity, PartyName, documents::broker::BrokerCard};
use serde_json::json;

use super::{ledger, party::compared};
use crate::{
    broker::{BrokerError, Folder, Keep, Unlock, give},
    confirm::{ConfirmError, Shown},
    exit::Exit,
    files::read_capped,
    http::ConnectError,
    party::{Fingerprint, PartyError, read_card},
    policy::{PolicyFileError, approval::policy_text, read_policy},
    state::{DEFAULT_IDENTITY, State, StateError},
};
use serve::WatchArgs;
use status::status;
use told::Told;

/// What to do with a broker.
#[derive(Subcommand)]
pub enum BrokerCommand {
    /// Make a broker: its key, its card, its folder
    Init {
        /// Its name: a-z 0-9 -
        name: PartyName,
        /// What keeps its secrets
        #[arg(long, value_enum, default_value_t = KeepKind::Passphrase)]
        keys: KeepKind,
        /// The PKCS#11 module, a shared library, with --keys pkcs11
        #[arg(long, value_name = "FILE", required_if_eq("keys", "pkcs11"))]
        module: Option<PathBuf>,
        /// The PKCS#11 token's label, with --keys pkcs11
        #[arg(long, value_name = "LABEL", required_if_eq("keys", "pkcs11"))]
        token: Option<String>,
        /// Which broker
        #[command(flatten)]
        place: Place,
        /// Where what unlocks it stands
        #[command(flatten)]
        unlock: UnlockArgs,
    },
    /// Print the broker's card, which its owner signs
    Card {
        /// Which broker
        #[command(flatten)]
        place: Place,
    },
    /// As an owner, sign a broker's card once its fingerprint was compared: prints what a policy
    /// names as `broker`
    Sign {
        /// The card's file
        card: PathBuf,
        /// The fingerprint that `mc2 broker card` prints on the broker's machine; asked for on a
        /// terminal
        #[arg(long, value_name = "DIGITS")]
        fingerprint: Option<Fingerprint>,
        /// The owner: an identity by name or file
        #[arg(long = "as", value_name = "IDENTITY", default_value = DEFAULT_IDENTITY)]
        identity: String,
    },
    /// As an owner, sign a sealed object as a version of its dataset and seal its key to a broker
    Give {
        /// The sealed object's folder, into which it is written
        sealed: PathBuf,
        /// The broker: its card, or what `mc2 broker sign` printed, in a file
        #[arg(long, value_name = "FILE")]
        broker: PathBuf,
        /// Which version it is: more than every earlier one
        #[arg(long = "number", value_name = "N")]
        number: u64,
        /// The owner: an identity by name or file
        #[arg(long = "as", value_name = "IDENTITY", default_value = DEFAULT_IDENTITY)]
        identity: String,
    },
    /// Take a version that an owner gave, or what a job left in this broker's custody
    Add {
        /// The sealed object's folder: its manifest and handover.json are enough
        #[arg(required_unless_present = "receipt")]
        sealed: Option<PathBuf>,
        /// The receipt of a job under an accepted policy, or the folder of its result: what it left in
        /// this broker's custody is kept
        #[arg(long, value_name = "FILE", conflicts_with = "sealed")]
        receipt: Option<PathBuf>,
        /// Accept the receipt of a simulated enclave that the broker's trust store holds. NOT SECURE
        #[arg(long, requires = "receipt")]
        allow_simulated: bool,
        /// Which broker
        #[command(flatten)]
        place: Place,
        /// Where what unlocks it stands
        #[command(flatten)]
        unlock: UnlockArgs,
    },
    /// Forget the key of a version, or of an output in custody
    Remove {
        /// The object
        object: Digest,
        /// Which broker
        #[command(flatten)]
        place: Place,
    },
    /// Accept a policy: sessions under it get what it lets this broker release
    Accept {
        /// The policy
        policy: PathBuf,
        /// The digest it must have, rather than being asked
        #[arg(long, value_name = "DIGEST")]
        policy_digest: Option<Digest>,
        /// Which broker
        #[command(flatten)]
        place: Place,
    },
    /// Accept a policy no more
    Withdraw {
        /// Its digest
        policy: Digest,
        /// Which broker
        #[command(flatten)]
        place: Place,
    },
    /// Look at hosts for sessions that name this broker, and grant them what was accepted
    Serve {
        /// Where it looks, and how
        #[command(flatten)]
        watch: WatchArgs,
        /// Which broker
        #[command(flatten)]
        place: Place,
        /// Where what unlocks it stands
        #[command(flatten)]
        unlock: UnlockArgs,
    },
    /// Put the broker's key back into the kernel's keyring, after a reboot or days without use
    Unlock {
        /// Which broker
        #[command(flatten)]
        place: Place,
        /// A file whose first line is the recovery passphrase, `-` for standard input
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Go on after this machine was started anew, if the ledger's head is the one you noted
    Resume {
        /// The head you noted
        #[arg(long, value_name = "DIGEST")]
        head: Digest,
        /// Go on though the ledger does not go as far as this broker went since the machine was
        /// started: what was released meanwhile is released again
        #[arg(long)]
        although_rolled_back: bool,
        /// Which broker
        #[command(flatten)]
        place: Place,
    },
    /// Say what is accepted and held, what was released, and whether anything is granted
    Status {
        /// Which broker
        #[command(flatten)]
        place: Place,
    },
    /// List the broker's ledger, oldest first
    Log {
        /// Which broker
        #[command(flatten)]
        place: Place,
    },
}

/// Which broker.
#[derive(Args)]
pub struct Place {
    /// The broker's folder, rather than $MC2_BROKER_HOME or mc2-broker beside the state folder
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Where what unlocks it stands.
#[derive(Args)]
pub struct UnlockArgs {
    /// A file whose first line is the passphrase, `-` for standard input
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// A file whose first line is the token's PIN, `-` for standard input
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

/// What keeps a broker's secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeepKind {
    /// A passphrase
    Passphrase,
    /// The kernel's keyring, and a passphrase after a reboot or days without use
    Keyring,
    /// A key in a PKCS#11 token
    Pkcs11,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The owner's state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its ledger, shown.
    #[error(transparent)]
    Ledger(#[from] ledger::CommandError),
    /// A card.
    #[error(transparent)]
    Card(#[from] super::party::CommandError),
    /// A policy's file.
    #[error(transparent)]
    Policy(#[from] PolicyFileError),
    /// What was shown was not confirmed.
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// A host.
    #[error("cannot talk to the host")]
    Host(#[from] ConnectError),
    /// Nobody takes what is said.
    #[error("cannot write")]
    Terminal(#[source] io::Error),
}

type Outcome = Result<(), CommandError>;

impl BrokerCommand {
    /// Does it, and writes what is to be said to `out`, in JSON where that is asked for.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run(self, json: bool, out: &mut impl Write) -> Outcome {
        let now = SystemTime::now();
        match self {
            Self::Init {
                name,
                keys,
                module,
                token,
                place,
                unlock,
            } => {
                let folder = place.locate()?;
                let keep = match (keys, module, token) {
                    (KeepKind::Pkcs11, Some(module), Some(token)) => Keep::Token { module, token },
                    (KeepKind::Keyring, ..) => Keep::Keyring,
                    _ => Keep::Passphrase,
                };
                let broker = folder.init(name, &keep, &unlock.into())?;
                Told::made(&folder, &broker)?.write(json, out)
            }
            Self::Card { place } => {
                let card = place.locate()?.card()?.to_string();
                Told::line("card", &card, json!({ "card": card })).write(json, out)
            }
            Self::Sign {
                card,
                fingerprint,
                identity,
            } => sign(&card, fingerprint, &identity)?.write(json, out),
            Self::Give {
                sealed,
                broker,
                number,
                identity,
            } => {
                let (state, owner) = owner(&identity)?;
                let broker = broker_card(&broker, &owner)?;
                let path = give(&state, &owner, &sealed, &broker, number)?;
                let fields = json!({ "file": path });
                Told::line("given", &path.display().to_string(), fields).write(json, out)
            }
            Self::Add {
                sealed,
                receipt,
                allow_simulated,
                place,
                unlock,
            } => {
                let broker = place.locate()?.unlock(&unlock.into())?;
                let held = match sealed {
                    Some(sealed) => Some(broker.add(&sealed, now)?),
                    None => None,
                };
                let taken = match receipt {
                    Some(receipt) => broker.add_receipt(&receipt, allow_simulated, now)?,
                    None => Vec::new(),
                };
                Told::added(held.as_ref(), &taken).write(json, out)
            }
            Self::Remove { object, place } => {
                place.locate()?.remove(&object, now)?;
                Told::silent("removed", json!({ "object": object })).write(json, out)
            }
            Self::Accept {
                policy,
                policy_digest,
                place,
            } => accept(&place.locate()?, &policy, policy_digest, now)?.write(json, out),
            Self::Withdraw { policy, place } => {
                place.locate()?.withdraw(&policy, now)?;
                Told::silent("withdrawn", json!({ "policy": policy })).write(json, out)
            }
            Self::Serve {
                watch,
                place,
                unlock,
            } => {
                let broker = place.locate()?.unlock(&unlock.into())?;
                watch.serve(&broker, json).await
            }
            Self::Unlock {
                place,
                passphrase_file,
            } => {
                place.locate()?.restore_keyring(&Unlock {
                    passphrase: passphrase_file,
                    pin: None,
                })?;
                Told::silent("unlocked", json!({})).write(json, out)
            }
            Self::Resume {
                head,
                although_rolled_back,
                place,
            } => {
                let folder = place.locate()?;
                let head = folder.resume(&head, although_rolled_back, now)?;
                let fields = json!({ "head": head.last });
                Told::line("resumed", &format!("head  {}", head.last), fields).write(json, out)
            }
            Self::Status { place } => status(&place.locate()?, json, out),
            Self::Log { place } => {
                let state = place.locate()?;
                Ok(ledger::list(&state.state().ledger(), json, out)?)
            }
        }
    }
}

impl Place {
    fn locate(&self) -> Result<Folder, BrokerError> {
        Folder::locate(self.folder.as_deref())
    }
}

impl From<UnlockArgs> for Unlock {
    fn from(args: UnlockArgs) -> Self {
        Self {
            passphrase: args.passphrase_file,
            pin: args.pin_file,
        }
    }
}

impl CommandError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Broker(error) => error.exit(),
            Self::State(error) => error.exit(),
            Self::Ledger(error) => error.exit(),
            Self::Card(error) => error.exit(),
            Self::Policy(error) => error.exit(),
            Self::Confirm(ConfirmError::OtherDigest { .. }) => Exit::PolicyRefused,
            Self::Confirm(_) => Exit::BadInput,
            Self::Host(_) => Exit::HostUnreachable,
            Self::Terminal(_) => Exit::CannotWrite,
        }
    }
}

impl From<PartyError> for CommandError {
    fn from(error: PartyError) -> Self {
        Self::Card(error.into())
    }
}

fn sign(
    path: &Path,
    fingerprint: Option<Fingerprint>,
    identity: &str,
) -> Result<Told, CommandError> {
    let card = read_card(path, None)?;
    compared(path, &card, fingerprint)?;
    let (_, owner) = owner(identity)?;
    let signed = BrokerCard::sign(card, &owner).to_string();
    Ok(Told::line("signed", &signed, json!({ "broker": signed })))
}

fn owner(identity: &str) -> Result<(State, Identity), CommandError> {
    let state = State::locate()?;
    let owner = state.identity(identity)?;
    Ok((state, owner))
}

/// A broker's card as it is, or as its owner signed it.
fn broker_card(path: &Path, owner: &Identity) -> Result<Card, CommandError> {
    const MAX_LEN: usize = 64 * 1024;
    let bytes = read_capped(path, MAX_LEN).map_err(BrokerError::from)?;
    let text = String::from_utf8_lossy(&bytes);
    let signed = text.trim().parse::<BrokerCard>().ok();
    match signed
        .as_ref()
        .and_then(|signed| signed.signed_by(owner.card()).ok())
    {
        Some(card) => Ok(card.clone()),
        None => Ok(read_card(path, None)?),
    }
}

fn accept(
    folder: &Folder,
    path: &Path,
    stated: Option<Digest>,
    now: SystemTime,
) -> Result<Told, CommandError> {
    let policy = read_policy(path)?;
    Shown {
        text: &policy_text(&policy),
        digest: *policy.digest(),
        stated,
        flag: "--policy-digest",
    }
    .confirm()?;
    folder.accept(&policy, stated.as_ref(), now)?;
    let digest = policy.digest();
    let fields = json!({ "policy": digest });
    Ok(Told::line(
        "accepted",
        &format!("accepted  {digest}"),
        fields,
    ))
}

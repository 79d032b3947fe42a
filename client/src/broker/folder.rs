//! A broker's folder: what it is, what it holds, what its owner accepted, what it did.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use mc2_protocol::{
    Card, Digest, Identity, Name, PartyName, SecretKey,
    encoding::{JsonError, parse_json, to_json},
    policy::{Dataset, Policy},
};
use serde::{Deserialize, Serialize};

use super::{
    error::{BrokerError, OtherHead},
    mark,
};
use crate::{
    files::{failed, read_capped, write_private, write_private_new},
    keys::{Keeper, KeyError, Keyring, Passphrase, Question, Token, Under, Wrapped},
    party::Parties,
    state::{
        State, StateError, base_folder, guard,
        ledger::{Accepted, Entry, Head, Ledger, Resumed, Withdrawn},
    },
};

const SETTINGS: &str = "broker.json";
const MAX_SETTINGS: usize = 64 * 1024;
const ACCEPTED: &str = "accepted";
const ENDING: &str = "toml";
/// Purposes of what is wrapped.
const IDENTITY: &str = "a broker's identity";
const KEYRING_KEY: &str = "a broker's key in the keyring";

/// A broker's folder. Beside what is the broker's own it has what every state folder has: a trust
/// store, known cards, a ledger.
#[derive(Clone, Debug)]
pub struct Folder {
    state: State,
    /// Where runs are marked, if not where the system has a place for it.
    marks: Option<PathBuf>,
}

/// A broker whose secrets are unlocked.
pub struct Broker {
    pub(super) folder: Folder,
    pub(super) identity: Identity,
    pub(super) keeper: Box<dyn Keeper>,
}

/// What keeps a new broker's secrets.
#[derive(Clone, Debug)]
pub enum Keep {
    /// A passphrase.
    Passphrase,
    /// A key in the kernel's keyring, kept a second time under a passphrase.
    Keyring,
    /// A new key in a PKCS#11 token.
    Token {
        /// The PKCS#11 module, a shared library.
        module: PathBuf,
        /// The token's label.
        token: String,
    },
}

/// Where what unlocks a broker stands, if it is not asked for.
#[derive(Clone, Debug, Default)]
pub struct Unlock {
    /// The passphrase.
    pub passphrase: Option<PathBuf>,
    /// The token's PIN.
    pub pin: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    version: u32,
    card: Card,
    identity: Wrapped,
    /// The keyring's key, under the recovery passphrase.
    recovery: Option<Wrapped>,
    /// The PKCS#11 module.
    module: Option<PathBuf>,
}

impl Folder {
    /// The broker's folder: `folder` where it is named, `$MC2_BROKER_HOME`, or `mc2-broker` beside
    /// the state folder.
    ///
    /// # Errors
    /// There is no home, or the folder is somebody else's.
    pub fn locate(folder: Option<&Path>) -> Result<Self, BrokerError> {
        let named = env::var_os("MC2_BROKER_HOME").filter(|root| !root.is_empty());
        let named = folder.map(Path::to_owned).or(named.map(PathBuf::from));
        let root = match named {
            Some(root) => root,
            None => {
                let base = base_folder("XDG_DATA_HOME", ".local/share");
                let home = base.ok_or(StateError::NoHome)?;
                home.join("mc2-broker")
            }
        };
        guard::check(&root)?;
        Ok(Self::at(root))
    }

    /// A broker's folder at `root`.
    pub fn at(root: PathBuf) -> Self {
        Self {
            state: State::at(root),
            marks: None,
        }
    }

    /// The same, with its run marked in the folder `marks`, which a reboot must empty.
    #[must_use]
    pub fn marked_in(self, marks: PathBuf) -> Self {
        Self {
            marks: Some(marks),
            ..self
        }
    }

    /// Its trust store, known cards and ledger as those of any state folder.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Makes a broker of this name and marks its run.
    ///
    /// # Errors
    /// There is one, or [`BrokerError`].
    pub fn init(
        &self,
        name: PartyName,
        keep: &Keep,
        unlock: &Unlock,
    ) -> Result<Broker, BrokerError> {
        if self.state.root().join(SETTINGS).exists() {
            return Err(self.exists());
        }
        let identity = Identity::generate(name, &mut crate::random());
        let (keeper, recovery, module) = make_keeper(identity.card(), keep, unlock)?;
        let wrapped = keeper.wrap(
            &purpose(IDENTITY, identity.card()),
            identity.to_text().as_bytes(),
        )?;
        let settings = Settings {
            version: mc2_protocol::VERSION,
            card: identity.card().clone(),
            identity: wrapped,
            recovery,
            module,
        };
        self.state.folder(ACCEPTED)?;
        let path = self.state.root().join(SETTINGS);
        match write_private_new(&path, &to_json(&settings)) {
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.exists());
            }
            written => written?,
        }
        let broker = Broker {
            folder: self.clone(),
            identity,
            keeper,
        };
        self.ledger()?.mark()?;
        Ok(broker)
    }

    /// The broker, its secrets unlocked.
    ///
    /// # Errors
    /// There is none, or [`BrokerError`].
    pub fn unlock(&self, unlock: &Unlock) -> Result<Broker, BrokerError> {
        let settings = self.settings()?;
        let keeper = find_keeper(&settings, unlock)?;
        let text = keeper.unwrap(&purpose(IDENTITY, &settings.card), &settings.identity)?;
        let text = std::str::from_utf8(&text).map_err(|_| BrokerError::Identity)?;
        let identity = Identity::from_text(text).map_err(|_| BrokerError::Identity)?;
        if *identity.card() != settings.card {
            return Err(BrokerError::Identity);
        }
        Ok(Broker {
            folder: self.clone(),
            identity,
            keeper,
        })
    }

    /// Puts the broker's key back into the kernel's keyring, which forgot it.
    ///
    /// # Errors
    /// It was never there, or [`BrokerError`].
    pub fn restore_keyring(&self, unlock: &Unlock) -> Result<(), BrokerError> {
        let settings = self.settings()?;
        let (Under::Keyring { entry }, Some(recovery)) =
            (settings.identity.under(), &settings.recovery)
        else {
            return Err(BrokerError::NotInKeyring);
        };
        let passphrase = Passphrase::new(passphrase(unlock).ask()?)?;
        let key = passphrase.unwrap(&purpose(KEYRING_KEY, &settings.card), recovery)?;
        let key = SecretKey::from_slice(&key).ok_or_else(|| KeyError::KeyringEntry {
            entry: entry.clone(),
        })?;
        Ok(Keyring::of_kernel(entry)?.restore(&key)?)
    }

    /// Its card.
    ///
    /// # Errors
    /// There is no broker.
    pub fn card(&self) -> Result<Card, BrokerError> {
        Ok(self.settings()?.card)
    }

    /// Its ledger, which knows where its run is marked.
    ///
    /// # Errors
    /// There is no broker, or no place for the mark.
    pub fn ledger(&self) -> Result<Ledger, BrokerError> {
        let mark = mark::path(self.card()?.digest(), self.marks.as_deref())?;
        Ok(self.state.ledger().marked_at(mark))
    }

    /// Accepts a policy: sessions under it get what it lets this broker release.
    ///
    /// # Errors
    /// It does not name this broker, has ended, or has cards that are not known and `stated` is not
    /// its digest.
    pub fn accept(
        &self,
        policy: &Policy,
        stated: Option<&Digest>,
        now: SystemTime,
    ) -> Result<(), BrokerError> {
        let card = self.card()?;
        self.check_marked()?;
        check_named(policy, &card)?;
        check_not_ended(policy, now)?;
        self.check_cards(policy, stated)?;
        let folder = self.state.folder(ACCEPTED)?;
        let path = folder.join(format!("{}.{ENDING}", policy.digest()));
        write_private(&path, policy.bytes())?;
        let entry = Entry::Accepted(Accepted {
            policy: *policy.digest(),
        });
        self.ledger()?.note(entry, now)?;
        Ok(())
    }

    /// Accepts a policy no more.
    ///
    /// # Errors
    /// It is not accepted.
    pub fn withdraw(&self, policy: &Digest, now: SystemTime) -> Result<(), BrokerError> {
        let path = self.accepted_path(policy);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BrokerError::NotAccepted { digest: *policy });
            }
            removed => removed.map_err(failed("remove", &path))?,
        }
        let entry = Entry::Withdrawn(Withdrawn { policy: *policy });
        self.ledger()?.note(entry, now)?;
        Ok(())
    }

    /// The accepted policies.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn accepted(&self) -> Result<Vec<Policy>, BrokerError> {
        let names = listed(&self.state.root().join(ACCEPTED), ENDING)?;
        let digests = names.iter().filter_map(|name| name.parse().ok());
        digests.map(|digest| self.policy(&digest)).collect()
    }

    /// The accepted policy of this digest.
    ///
    /// # Errors
    /// It is not accepted, or its file is not it.
    pub fn policy(&self, digest: &Digest) -> Result<Policy, BrokerError> {
        let path = self.accepted_path(digest);
        let bytes = match read_capped(&path, mc2_protocol::policy::MAX_LEN) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                return Err(BrokerError::NotAccepted { digest: *digest });
            }
            bytes => bytes?,
        };
        let policy = Policy::parse(&bytes)?;
        if policy.digest() != digest {
            return Err(BrokerError::Misplaced {
                path,
                what: "policy",
            });
        }
        Ok(policy)
    }

    /// Goes on after this machine was started anew, if the ledger is the one whose head was noted.
    ///
    /// # Errors
    /// It has another head, or its chain does not hold.
    pub fn resume(&self, noted: &Digest, now: SystemTime) -> Result<Head, BrokerError> {
        // Without the mark: it may well say otherwise.
        let ledger = self.state.ledger();
        let head = ledger.verify()?;
        if head.last != *noted {
            let mut within = false;
            ledger.entries(|recorded| {
                within = recorded.digest == *noted;
                match within {
                    true => std::ops::ControlFlow::Break(()),
                    false => std::ops::ControlFlow::Continue(()),
                }
            })?;
            return Err(BrokerError::OtherHead(Box::new(OtherHead {
                found: head.last,
                lines: head.lines,
                noted: *noted,
                within,
            })));
        }
        let boot = mark::boot_id()?;
        ledger.note(Entry::Resumed(Resumed { boot }), now)?;
        Ok(self.ledger()?.mark()?)
    }

    /// Refuses while the run is not marked.
    pub(super) fn check_marked(&self) -> Result<(), BrokerError> {
        if !self.ledger()?.is_marked() {
            return Err(BrokerError::NotResumed);
        }
        Ok(())
    }

    /// Checks that every card of a policy is known to this broker.
    pub(super) fn check_cards(
        &self,
        policy: &Policy,
        stated: Option<&Digest>,
    ) -> Result<(), BrokerError> {
        let parties = Parties::load(&self.state)?.with_own(&self.card()?);
        Ok(parties.check(policy, stated)?)
    }

    fn settings(&self) -> Result<Settings, BrokerError> {
        let path = self.state.root().join(SETTINGS);
        let bytes = match read_capped(&path, MAX_SETTINGS) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                return Err(BrokerError::None {
                    folder: self.state.root().to_owned(),
                });
            }
            bytes => bytes?,
        };
        let settings = parse_json("the broker's settings", &bytes, MAX_SETTINGS);
        settings.map_err(record(&path, "broker's settings"))
    }

    fn accepted_path(&self, policy: &Digest) -> PathBuf {
        let folder = self.state.root().join(ACCEPTED);
        folder.join(format!("{policy}.{ENDING}"))
    }

    fn exists(&self) -> BrokerError {
        BrokerError::Exists {
            folder: self.state.root().to_owned(),
        }
    }
}

impl Broker {
    /// Its folder.
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Its card.
    pub const fn card(&self) -> &Card {
        self.identity.card()
    }
}

/// The datasets whose keys the broker with this card may release under a policy.
pub fn datasets_of(policy: &Policy, broker: &Digest) -> Vec<Name> {
    let is_named = |dataset: &&Dataset| {
        let named = dataset.broker.as_ref();
        named.is_some_and(|card| card.digest() == broker)
    };
    let named = policy.datasets().iter().filter(is_named);
    named.map(|dataset| dataset.name.clone()).collect()
}

/// Refuses a policy that gives this broker nothing to do.
pub(super) fn check_named(policy: &Policy, card: &Card) -> Result<(), BrokerError> {
    match policy.broker(card.digest()) {
        Some(_) => Ok(()),
        None => Err(BrokerError::NotNamed {
            broker: card.name().clone(),
        }),
    }
}

pub(super) fn check_not_ended(policy: &Policy, now: SystemTime) -> Result<(), BrokerError> {
    if policy.is_expired(crate::unix_seconds(now)) {
        return Err(BrokerError::Ended {
            ended: crate::policy::rfc3339(policy.expires()),
        });
    }
    Ok(())
}

/// What a file of the folder holds that is not what it must be.
pub(super) fn record(path: &Path, what: &'static str) -> impl FnOnce(JsonError) -> BrokerError {
    let path = path.to_owned();
    move |source| BrokerError::Record { path, what, source }
}

/// The names of a folder's files that have this ending, without it.
pub(super) fn listed(folder: &Path, ending: &str) -> Result<Vec<String>, BrokerError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed("list", folder))?.file_name();
        let stem = name
            .to_str()
            .and_then(|name| name.strip_suffix(ending)?.strip_suffix('.'));
        names.extend(stem.map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

type Made = (Box<dyn Keeper>, Option<Wrapped>, Option<PathBuf>);

fn make_keeper(card: &Card, keep: &Keep, unlock: &Unlock) -> Result<Made, BrokerError> {
    let name = format!("broker-{}", card.digest().short());
    Ok(match keep {
        Keep::Passphrase => {
            let keeper = Passphrase::new(passphrase(unlock).choose()?)?;
            (Box::new(keeper), None, None)
        }
        Keep::Keyring => {
            let recovery = Passphrase::new(passphrase(unlock).choose()?)?;
            let key = SecretKey::generate(&mut crate::random());
            let kept = recovery.wrap(&purpose(KEYRING_KEY, card), key.expose())?;
            let keyring = Keyring::of_kernel(&name)?;
            keyring.restore(&key)?;
            (Box::new(keyring), Some(kept), None)
        }
        Keep::Token { module, token } => {
            let keeper = Token::make(module, token, &name, &pin(unlock).ask()?)?;
            (Box::new(keeper), None, Some(module.clone()))
        }
    })
}

fn find_keeper(settings: &Settings, unlock: &Unlock) -> Result<Box<dyn Keeper>, BrokerError> {
    let under = settings.identity.under();
    Ok(match (under, &settings.module) {
        (Under::Passphrase(_), _) => Box::new(Passphrase::new(passphrase(unlock).ask()?)?),
        (Under::Keyring { entry }, _) => Box::new(Keyring::of_kernel(entry)?),
        (Under::Pkcs11 { .. }, Some(module)) => {
            Box::new(Token::find(module, under, &pin(unlock).ask()?)?)
        }
        (other, _) => {
            return Err(BrokerError::Key(KeyError::OtherKeeper {
                found: other.in_words(),
                expected: "a keeper of this release".to_owned(),
            }));
        }
    })
}

fn passphrase(unlock: &Unlock) -> Question<'_> {
    Question {
        what: "the broker's passphrase",
        flag: "--passphrase-file",
        file: unlock.passphrase.as_deref(),
    }
}

fn pin(unlock: &Unlock) -> Question<'_> {
    Question {
        what: "the token's PIN",
        flag: "--pin-file",
        file: unlock.pin.as_deref(),
    }
}

/// What a broker's own secrets are wrapped for.
fn purpose(what: &str, card: &Card) -> Vec<u8> {
    [what.as_bytes(), card.digest().as_bytes()].concat()
}

//! A broker's folder: made, unlocked, and gone on with after a reboot.

use std::{
    env,
    fs::File,
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::SystemTime,
};

use mc2_protocol::{
    Card, Digest, Identity, PartyName,
    encoding::{JsonError, parse_json, to_json},
};
use serde::{Deserialize, Serialize};

use super::{
    error::{BrokerError, OtherHead, RolledBack},
    keeping::{self, Keep, Unlock, find_keeper, make_keeper},
    mark,
};
use crate::{
    files::{read_capped, try_lock, write_private_new},
    keys::{Keeper, Under, Wrapped},
    state::{
        State, StateError, base_folder, guard,
        ledger::{Entry, Head, Ledger, LedgerError, Resumed},
    },
};

const SETTINGS: &str = "broker.json";
const MAX_SETTINGS: usize = 64 * 1024;
/// Where the accepted policies are.
pub(super) const ACCEPTED: &str = "accepted";
/// Held by the process that serves.
const SERVING: &str = "serving";
/// What it is wrapped for.
const IDENTITY: &str = "a broker's identity";

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
        let keeper = find_keeper(
            settings.identity.under(),
            settings.module.as_deref(),
            unlock,
        )?;
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
        keeping::restore_keyring(&settings.card, entry, recovery, unlock)
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

    /// Goes on after this machine was started anew, if the ledger is the one whose head was noted.
    ///
    /// Where the run since this start of the machine is marked and the ledger does not go as far, it
    /// was put back: then only if `although_rolled_back`.
    ///
    /// # Errors
    /// It has another head, was put back, or its chain does not hold.
    pub fn resume(
        &self,
        noted: &Digest,
        although_rolled_back: bool,
        now: SystemTime,
    ) -> Result<Head, BrokerError> {
        // Without the mark: it may well say otherwise.
        let ledger = self.state.ledger();
        let head = ledger.verify()?;
        if head.last != *noted {
            let mut within = false;
            ledger.entries(|recorded| {
                within = recorded.digest == *noted;
                match within {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })?;
            return Err(BrokerError::OtherHead(Box::new(OtherHead {
                found: head.last,
                lines: head.lines,
                noted: *noted,
                within,
            })));
        }
        let marked = self.ledger()?;
        if let (Some(mark), Err(LedgerError::Broken { .. })) = (marked.marked(), marked.head())
            && !although_rolled_back
        {
            return Err(BrokerError::RolledBack(Box::new(RolledBack {
                marked: mark,
                found: head,
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

    /// Lets no other process serve this broker until what is returned is dropped, or this process
    /// ends.
    pub(super) fn serving(&self) -> Result<File, BrokerError> {
        let lock = try_lock(&self.state.root().join(SERVING))?;
        lock.ok_or_else(|| BrokerError::Serving {
            folder: self.state.root().to_owned(),
        })
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

/// What a file of the folder holds that is not what it must be.
pub(super) fn record(path: &Path, what: &'static str) -> impl FnOnce(JsonError) -> BrokerError {
    let path = path.to_owned();
    move |source| BrokerError::Record { path, what, source }
}

/// What a broker's own secrets are wrapped for.
fn purpose(what: &str, card: &Card) -> Vec<u8> {
    [what.as_bytes(), card.digest().as_bytes()].concat()
}

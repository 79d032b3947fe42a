//! The state folder: identities, cards, data keys, the ledger, the trust store, sessions and
//! receipts.
//!
//! It is `$MC2_HOME`, else `mc2` in `$XDG_DATA_HOME`, else `~/.local/share/mc2`. Its folders are
//! readable by their owner alone (0700, files 0600) and every file is written whole or not at all.
//! A folder of another owner or a wider mode is refused.

mod collateral;
mod custody;
mod error;
mod given;
pub(crate) mod guard;
pub mod identity;
pub mod ledger;
mod left;
mod revoked;
mod revoking;
pub mod sequence;
mod sessions;
mod submissions;
mod trust;
mod uploads;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use mc2_attestation::{TrustStore, releases::RELEASE_KEYS, trust::MAX_LEN as MAX_TRUST_LEN};
use mc2_protocol::{Card, Digest, Identity, Name, PartyName, SecretKey, encoding::secret_json};
use serde::{Deserialize, Serialize};

use crate::files::{
    Staged, failed, private_folder, read_capped, read_secret, write_private, write_private_new,
    write_private_soon,
};
use ledger::Ledger;

pub use error::StateError;
pub use given::Given;
pub use left::Left;
pub use revoked::{KeyRevoked, Revoked};
pub use revoking::Releasing;
pub use sessions::{KnownSession, SHORTEST};
pub use submissions::Submission;
pub use uploads::{Begun, Upload};

/// The identity that is used where none is named.
pub const DEFAULT_IDENTITY: &str = "default";

const MAX_SMALL_FILE: usize = 64 * 1024;

/// A person's own files.
///
/// ```
/// use mc2_client::state::State;
///
/// # let folder = tempfile::tempdir()?;
/// let state = State::at(folder.path().join("mc2"));
/// let (identity, file) = state.make_identity("bank-a".parse()?)?;
/// assert!(file.exists());
/// assert_eq!(state.identity("bank-a")?.card(), identity.card());
/// // Another of that name does not take its place.
/// assert!(state.make_identity("bank-a".parse()?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct State {
    root: PathBuf,
}

/// A stored data key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    version: u32,
    dataset: Name,
    owner: Digest,
    key: SecretKey,
}

impl State {
    /// The state folder of this user, who alone may enter it; nothing is made yet.
    ///
    /// # Errors
    /// [`StateError::NoHome`], or the folder is not this user's alone.
    pub fn locate() -> Result<Self, StateError> {
        let named = std::env::var_os("MC2_HOME").filter(|root| !root.is_empty());
        let root = match named {
            Some(root) => PathBuf::from(root),
            None => {
                let base = base_folder("XDG_DATA_HOME", ".local/share");
                base.ok_or(StateError::NoHome)?.join("mc2")
            }
        };
        guard::check(&root)?;
        Ok(Self::at(root))
    }

    /// A state folder at `root`.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the trust store is kept.
    pub fn trust_store(&self) -> PathBuf {
        self.root.join("trust.json")
    }

    /// This user's trust store; an empty one where there is none.
    ///
    /// # Errors
    /// It cannot be read, or is not valid.
    pub fn trusted(&self) -> Result<TrustStore, StateError> {
        let path = self.trust_store();
        if !path.exists() {
            return Ok(TrustStore::new());
        }
        let bytes = read_capped(&path, MAX_TRUST_LEN)?;
        TrustStore::parse(&bytes, RELEASE_KEYS).map_err(|source| StateError::Trust {
            path,
            source: Box::new(source),
        })
    }

    /// The ledger of key releases.
    pub fn ledger(&self) -> Ledger {
        Ledger::at(self.root.join("ledger.jsonl"))
    }

    /// Makes a new identity and stores it with its card; returns it and its file.
    ///
    /// # Errors
    /// There is one of that name, which stays as it is, or the system refused.
    pub fn make_identity(&self, name: PartyName) -> Result<(Identity, PathBuf), StateError> {
        let identity = Identity::generate(name, &mut crate::random());
        let path = self.keep_identity(&identity)?;
        Ok((identity, path))
    }

    /// Stores an identity that came from elsewhere, with its card; returns its file.
    ///
    /// # Errors
    /// There is one of that name, which stays as it is, or the system refused.
    pub(crate) fn keep_identity(&self, identity: &Identity) -> Result<PathBuf, StateError> {
        let path = self.identity_path(identity.card().name().as_str());
        self.folder("identities")?;
        match write_private_new(&path, identity::file_text(identity).as_bytes()) {
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StateError::IdentityExists { path });
            }
            written => written?,
        }
        self.store_card(identity.card())?;
        Ok(path)
    }

    /// The identity called `name`, or read from the file `name` where it is a path.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn identity(&self, name: &str) -> Result<Identity, StateError> {
        if name.contains('/') {
            return Ok(identity::read_file(Path::new(name))?);
        }
        let path = self.identity_path(name);
        if !path.exists() {
            return Err(StateError::NoIdentity {
                name: name.to_owned(),
                folder: self.root.join("identities"),
            });
        }
        Ok(identity::read_file(&path)?)
    }

    /// The identity called [`DEFAULT_IDENTITY`], made where there is none yet.
    ///
    /// # Errors
    /// As [`identity`](Self::identity) and [`make_identity`](Self::make_identity).
    pub fn default_identity(&self) -> Result<Identity, StateError> {
        match self.identity(DEFAULT_IDENTITY) {
            Err(StateError::NoIdentity { .. }) => {}
            found => return found,
        }
        let name = DEFAULT_IDENTITY
            .parse()
            // A constant within the alphabet.
            .unwrap_or_else(|error| unreachable!("{error}"));
        match self.make_identity(name) {
            // Another process was quicker.
            Err(StateError::IdentityExists { .. }) => self.identity(DEFAULT_IDENTITY),
            made => Ok(made?.0),
        }
    }

    /// All identities in the folder, the default one first.
    ///
    /// # Errors
    /// The system's, or a file that is no identity.
    pub fn identities(&self) -> Result<Vec<Identity>, StateError> {
        let mut names = self.stems_in("identities", ".key")?;
        names.sort_by_key(|name| (name != DEFAULT_IDENTITY, name.clone()));
        names.iter().map(|name| self.identity(name)).collect()
    }

    /// Where the card called `name` is kept.
    pub fn card_path(&self, name: &str) -> PathBuf {
        self.root.join("cards").join(format!("{name}.card"))
    }

    pub(crate) fn store_card(&self, card: &Card) -> Result<(), StateError> {
        self.folder("cards")?;
        let path = self.card_path(card.name().as_str());
        Ok(write_private(&path, format!("{card}\n").as_bytes())?)
    }

    /// Keeps the data key of an object this person owns.
    ///
    /// # Errors
    /// The system's.
    pub fn store_data_key(
        &self,
        object: &Digest,
        dataset: &Name,
        owner: &Digest,
        key: &SecretKey,
    ) -> Result<(), StateError> {
        self.folder("keys")?;
        let stored = StoredKey {
            version: mc2_protocol::VERSION,
            dataset: dataset.clone(),
            owner: *owner,
            key: key.clone(),
        };
        let bytes = secret_json(&stored);
        Ok(write_private(&self.data_key_path(object), &bytes)?)
    }

    /// The data key of `object`, where it was kept.
    ///
    /// # Errors
    /// The system's, or a file that is no data key.
    pub fn data_key(&self, object: &Digest) -> Result<Option<SecretKey>, StateError> {
        let path = self.data_key_path(object);
        let bytes = match read_secret(&path, MAX_SMALL_FILE) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let stored: StoredKey =
            serde_json::from_slice(&bytes).map_err(|error| StateError::DataKey {
                path,
                reason: error.to_string(),
            })?;
        Ok(Some(stored.key))
    }

    /// Keeps a receipt under the job's digest and returns its file.
    ///
    /// # Errors
    /// The system's.
    pub fn store_receipt(&self, job: &Digest, envelope: &[u8]) -> Result<PathBuf, StateError> {
        self.folder("receipts")?;
        let path = self.receipt_path(job);
        let mut staged = Staged::create(&path, 0o600)?;
        staged.write_all(envelope).map_err(failed("write", &path))?;
        staged.publish()?;
        Ok(path)
    }

    /// Where the receipt of a job is kept, if it is.
    pub fn receipt_path(&self, job: &Digest) -> PathBuf {
        self.root.join("receipts").join(format!("{job}.json"))
    }

    /// Keeps what a simulated run's receipt can be verified with later: a trust store that holds
    /// its simulator alone. NOT SECURE.
    ///
    /// # Errors
    /// The system's.
    pub fn store_simulator(&self, job: &Digest, trust: &[u8]) -> Result<(), StateError> {
        self.folder("simulators")?;
        Ok(write_private_soon(&self.simulator_path(job), trust)?)
    }

    /// What [`store_simulator`](Self::store_simulator) kept for a job, if it did.
    ///
    /// # Errors
    /// The system's.
    pub fn simulator(&self, job: &Digest) -> Result<Option<Vec<u8>>, StateError> {
        match read_capped(&self.simulator_path(job), MAX_TRUST_LEN) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => Ok(Some(bytes?)),
        }
    }

    /// Makes the state folder and this one in it where they are not there yet.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, StateError> {
        let folder = self.root.join(name);
        guard::check(&self.root)?;
        private_folder(&folder)?;
        // Whoever made the root meanwhile may be somebody else.
        guard::check(&self.root)?;
        Ok(folder)
    }

    fn simulator_path(&self, job: &Digest) -> PathBuf {
        self.root.join("simulators").join(format!("{job}.json"))
    }

    /// Where the identity called `name` is kept.
    pub(crate) fn identity_path(&self, name: &str) -> PathBuf {
        self.root.join("identities").join(format!("{name}.key"))
    }

    fn data_key_path(&self, object: &Digest) -> PathBuf {
        self.root.join("keys").join(format!("{object}.json"))
    }
}

/// Where this user's caches are: `mc2` in `$XDG_CACHE_HOME` or `~/.cache`.
pub fn cache_folder() -> Option<PathBuf> {
    Some(base_folder("XDG_CACHE_HOME", ".cache")?.join("mc2"))
}

pub(crate) fn base_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn an_identity_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        let made = state.default_identity().unwrap();
        let again = state.default_identity().unwrap();
        assert_eq!(made.card(), again.card());
        let file = state.identity_path(DEFAULT_IDENTITY);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(state.root()), 0o700);
        assert!(matches!(
            state.make_identity(DEFAULT_IDENTITY.parse().unwrap()),
            Err(StateError::IdentityExists { .. })
        ));
        let by_path = state.identity(file.to_str().unwrap()).unwrap();
        assert_eq!(by_path.card(), made.card());
        assert_eq!(state.identities().unwrap().len(), 1);
    }

    #[test]
    fn of_identities_made_at_the_same_time_one_stays_and_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        let name: PartyName = "alice".parse().unwrap();
        let made: Vec<_> = std::thread::scope(|scope| {
            let make = || state.make_identity(name.clone()).ok();
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(make)).collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(made.len(), 1);
        let (identity, path) = &made[0];
        assert_eq!(
            state.identity("alice").ok().unwrap().card(),
            identity.card()
        );

        // A link is a name too, wherever it leads.
        fs::remove_file(path).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, path).unwrap();
        assert!(matches!(
            state.make_identity(name),
            Err(StateError::IdentityExists { .. })
        ));
        assert!(!elsewhere.exists());
    }

    #[test]
    fn a_data_key_is_kept_and_found_by_its_object() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        let (object, owner) = (Digest::of(b"object"), Digest::of(b"owner"));
        assert!(state.data_key(&object).unwrap().is_none());
        let key = SecretKey::from_bytes([7; 32]);
        let dataset = "data".parse().unwrap();
        state
            .store_data_key(&object, &dataset, &owner, &key)
            .unwrap();
        let found = state.data_key(&object).unwrap().unwrap();
        assert_eq!(found.expose(), key.expose());
    }
}

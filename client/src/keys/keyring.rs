//! A key in the keyring of this machine's kernel.
//!
//! The kernel holds it in its memory, for this user, until the machine is shut down or nobody has used
//! the user's persistent keyring for three days: processes of the user have it without asking anybody,
//! and a disk that is taken away has not. What must outlive that is kept a second time, under a passphrase: [`Keyring::restore`].

use std::sync::Arc;

use keyring_core::{CredentialStore, Entry, Error};
use mc2_protocol::SecretKey;
use zeroize::Zeroizing;

use super::{
    error::KeyError,
    keeper::Keeper,
    sealing,
    wrapped::{Under, Wrapped},
};

const SERVICE: &str = "mc2";

/// A keeper whose key is in a keyring, by name.
pub struct Keyring {
    store: Arc<CredentialStore>,
    entry: String,
}

impl Keyring {
    /// The kernel's keyring, with the key in the entry `entry`, which need not be there yet.
    ///
    /// # Errors
    /// The kernel has none.
    pub fn of_kernel(entry: &str) -> Result<Self, KeyError> {
        let store = linux_keyutils_keyring_store::Store::new().map_err(keyring)?;
        Ok(Self::in_store(store, entry))
    }

    /// Any other keyring, with the key in the entry `entry`.
    pub fn in_store(store: Arc<CredentialStore>, entry: &str) -> Self {
        Self {
            store,
            entry: entry.to_owned(),
        }
    }

    /// Puts the key into the keyring: a fresh one at first, the one that was kept elsewhere
    /// afterwards.
    ///
    /// # Errors
    /// The keyring's.
    pub fn restore(&self, key: &SecretKey) -> Result<(), KeyError> {
        self.entry()?.set_secret(key.expose()).map_err(keyring)
    }

    /// Takes the key out of the keyring.
    ///
    /// # Errors
    /// The keyring's.
    pub fn forget(&self) -> Result<(), KeyError> {
        match self.entry()?.delete_credential() {
            Err(Error::NoEntry) => Ok(()),
            deleted => deleted.map_err(keyring),
        }
    }

    fn key(&self) -> Result<SecretKey, KeyError> {
        let secret = match self.entry()?.get_secret() {
            Err(Error::NoEntry) => {
                return Err(KeyError::NotInKeyring {
                    entry: self.entry.clone(),
                });
            }
            secret => Zeroizing::new(secret.map_err(keyring)?),
        };
        SecretKey::from_slice(&secret).ok_or_else(|| KeyError::KeyringEntry {
            entry: self.entry.clone(),
        })
    }

    fn entry(&self) -> Result<Entry, KeyError> {
        Entry::new_in_store(&self.store, SERVICE, &self.entry).map_err(keyring)
    }

    fn under(&self) -> Under {
        Under::Keyring {
            entry: self.entry.clone(),
        }
    }
}

impl Keeper for Keyring {
    fn wrap(&self, purpose: &[u8], secret: &[u8]) -> Result<Wrapped, KeyError> {
        let sealed = sealing::seal(&self.key()?, purpose, secret)?;
        Ok(Wrapped::new(self.under(), sealed))
    }

    fn unwrap(&self, purpose: &[u8], wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        if *wrapped.under() != self.under() {
            return Err(KeyError::OtherKeeper {
                found: wrapped.under().in_words(),
                expected: self.under().in_words(),
            });
        }
        sealing::open(&self.key()?, purpose, wrapped.sealed()).ok_or_else(|| KeyError::NotOpened {
            under: self.under().in_words(),
        })
    }
}

fn keyring(source: Error) -> KeyError {
    KeyError::Keyring {
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The crate's own store, which keeps its entries in memory.
    fn store() -> Arc<CredentialStore> {
        keyring_core::mock::Store::new().unwrap()
    }

    #[test]
    fn a_secret_is_unwrapped_while_its_key_is_in_the_keyring_and_after_it_was_restored() {
        let store = store();
        let keyring = Keyring::in_store(store.clone(), "broker");
        let refused = keyring.wrap(b"purpose", b"secret").err();
        assert!(matches!(refused, Some(KeyError::NotInKeyring { .. })));
        let key = SecretKey::generate(&mut crate::random());
        keyring.restore(&key).unwrap();
        let wrapped = keyring.wrap(b"purpose", b"secret").unwrap();

        let again = Keyring::in_store(store, "broker");
        assert_eq!(
            again.unwrap(b"purpose", &wrapped).unwrap().as_slice(),
            b"secret"
        );
        assert!(again.unwrap(b"another", &wrapped).is_err());
        again.forget().unwrap();
        let refused = keyring.unwrap(b"purpose", &wrapped);
        assert!(matches!(refused, Err(KeyError::NotInKeyring { .. })));
        keyring.restore(&key).unwrap();
        assert!(keyring.unwrap(b"purpose", &wrapped).is_ok());
        keyring.restore(&SecretKey::from_bytes([1; 32])).unwrap();
        let refused = keyring.unwrap(b"purpose", &wrapped);
        assert!(matches!(refused, Err(KeyError::NotOpened { .. })));
    }

    #[test]
    fn another_entry_s_secret_is_refused_by_name() {
        let store = store();
        let key = SecretKey::generate(&mut crate::random());
        let [one, other] = ["one", "other"].map(|entry| {
            let keyring = Keyring::in_store(store.clone(), entry);
            keyring.restore(&key).unwrap();
            keyring
        });
        let wrapped = one.wrap(b"purpose", b"secret").unwrap();
        let error = other.unwrap(b"purpose", &wrapped).err().unwrap();
        assert!(matches!(error, KeyError::OtherKeeper { .. }), "{error}");
    }
}

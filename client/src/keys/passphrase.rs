//! A key made of a passphrase with Argon2id (RFC 9106), whose parameters stand beside what it
//! wraps.

use std::sync::{Mutex, PoisonError};

use mc2_protocol::SecretKey;
use zeroize::Zeroizing;

use super::{
    argon2id::Argon2id,
    error::KeyError,
    keeper::Keeper,
    sealing,
    wrapped::{Under, Wrapped},
};

/// A keeper that has a passphrase.
pub struct Passphrase {
    passphrase: Zeroizing<String>,
    /// Keys that were made already: making one is meant to take long.
    made: Mutex<Vec<(Argon2id, SecretKey)>>,
}

impl Passphrase {
    /// A keeper that wraps under a new salt, and unwraps what was wrapped under others.
    ///
    /// # Errors
    /// [`KeyError::EmptyPassphrase`].
    pub fn new(passphrase: Zeroizing<String>) -> Result<Self, KeyError> {
        if passphrase.is_empty() {
            return Err(KeyError::EmptyPassphrase);
        }
        Ok(Self {
            passphrase,
            made: Mutex::default(),
        })
    }

    /// The parameters of the key that was made first, which new secrets are wrapped under, and the
    /// key.
    fn current(&self) -> Result<(Argon2id, SecretKey), KeyError> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let first = made.first().cloned();
        drop(made);
        match first {
            Some(first) => Ok(first),
            None => {
                let parameters = Argon2id::fresh();
                let key = self.key(&parameters)?;
                Ok((parameters, key))
            }
        }
    }

    fn key(&self, parameters: &Argon2id) -> Result<SecretKey, KeyError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = made.iter().find(|(other, _)| other == parameters) {
            return Ok(key.clone());
        }
        let key = parameters.derive(self.passphrase.as_bytes())?;
        made.push((parameters.clone(), key.clone()));
        Ok(key)
    }
}

impl Keeper for Passphrase {
    fn wrap(&self, purpose: &[u8], secret: &[u8]) -> Result<Wrapped, KeyError> {
        let (parameters, key) = self.current()?;
        let sealed = sealing::seal(&key, purpose, secret)?;
        Ok(Wrapped::new(Under::Passphrase(parameters), sealed))
    }

    fn unwrap(&self, purpose: &[u8], wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let Under::Passphrase(parameters) = wrapped.under() else {
            return Err(KeyError::OtherKeeper {
                found: wrapped.under().in_words(),
                expected: "a passphrase".to_owned(),
            });
        };
        let key = self.key(parameters)?;
        sealing::open(&key, purpose, wrapped.sealed()).ok_or_else(|| KeyError::NotOpened {
            under: "the passphrase".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::argon2id::{LEAST_MEMORY_KIB, MOST_MEMORY_KIB, MOST_PASSES};

    fn keeper(passphrase: &str) -> Passphrase {
        Passphrase::new(passphrase.to_owned().into()).unwrap()
    }

    #[test]
    fn a_secret_is_unwrapped_by_its_passphrase_and_for_its_purpose_alone() {
        let wrapped = keeper("right").wrap(b"purpose", b"secret").unwrap();
        let wrapped = Wrapped::parse(&wrapped.to_bytes()).unwrap();
        // Another process, which has the file alone.
        let again = keeper("right").unwrap(b"purpose", &wrapped).unwrap();
        assert_eq!(again.as_slice(), b"secret");
        let refused = [
            keeper("wrong").unwrap(b"purpose", &wrapped),
            keeper("right").unwrap(b"another", &wrapped),
        ];
        for refused in refused {
            assert!(matches!(refused, Err(KeyError::NotOpened { .. })));
        }
        for at in [0, 12, wrapped.sealed().len() - 1] {
            let mut sealed = wrapped.sealed().to_vec();
            sealed[at] ^= 1;
            let altered = Wrapped::new(wrapped.under().clone(), sealed);
            assert!(keeper("right").unwrap(b"purpose", &altered).is_err());
        }
        let short = Wrapped::new(wrapped.under().clone(), vec![0; 11]);
        assert!(keeper("right").unwrap(b"purpose", &short).is_err());
    }

    #[test]
    fn what_was_wrapped_under_other_parameters_is_unwrapped_and_absurd_ones_are_refused_by_name() {
        let parameters = Argon2id {
            memory_kib: LEAST_MEMORY_KIB,
            passes: 1,
            ..Argon2id::fresh()
        };
        let key = parameters.derive(b"passphrase").unwrap();
        let sealed = sealing::seal(&key, b"", b"secret").unwrap();
        let wrapped = Wrapped::new(Under::Passphrase(parameters.clone()), sealed.clone());
        assert!(keeper("passphrase").unwrap(b"", &wrapped).is_ok());
        for absurd in [
            Argon2id {
                memory_kib: MOST_MEMORY_KIB + 1,
                ..parameters.clone()
            },
            Argon2id {
                memory_kib: 64,
                ..parameters.clone()
            },
            Argon2id {
                passes: MOST_PASSES + 1,
                ..parameters.clone()
            },
            Argon2id {
                passes: 0,
                ..parameters.clone()
            },
            Argon2id {
                lanes: 0,
                ..parameters
            },
        ] {
            let wrapped = Wrapped::new(Under::Passphrase(absurd), sealed.clone());
            let refused = keeper("passphrase").unwrap(b"", &wrapped);
            assert!(matches!(refused, Err(KeyError::Parameters { .. })));
        }
    }

    #[test]
    fn another_keeper_s_secret_an_empty_passphrase_and_a_long_secret_are_refused_by_name() {
        let under = Under::Keyring { entry: "x".into() };
        let refused = keeper("x").unwrap(b"", &Wrapped::new(under, Vec::new()));
        assert!(matches!(refused, Err(KeyError::OtherKeeper { .. })));
        let refused = Passphrase::new(String::new().into()).err();
        assert!(matches!(refused, Some(KeyError::EmptyPassphrase)));
        let long = vec![0; crate::keys::wrapped::MAX_SECRET + 1];
        let refused = keeper("x").wrap(b"", &long);
        assert!(matches!(refused, Err(KeyError::TooLong { .. })));
    }

    #[test]
    fn two_files_of_one_passphrase_share_no_key() {
        let (one, other) = (Argon2id::fresh(), Argon2id::fresh());
        let keys = [one, other].map(|parameters| {
            let cheap = Argon2id {
                memory_kib: LEAST_MEMORY_KIB,
                passes: 1,
                ..parameters
            };
            *cheap.derive(b"passphrase").unwrap().expose()
        });
        assert_ne!(keys[0], keys[1]);
    }
}

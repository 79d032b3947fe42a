//! What keeps a broker's secrets, made and found.

use std::path::{Path, PathBuf};

use mc2_protocol::{Card, SecretKey};

use super::error::BrokerError;
use crate::keys::{Keeper, KeyError, Keyring, Passphrase, Question, Token, Under, Wrapped};

const KEYRING_KEY: &[u8] = b"a broker's key in the keyring";

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

/// Puts a key back into the kernel's keyring, which forgot it.
///
/// # Errors
/// The passphrase is not the recovery passphrase, or the keyring's.
pub(super) fn restore_keyring(
    card: &Card,
    entry: &str,
    recovery: &Wrapped,
    unlock: &Unlock,
) -> Result<(), BrokerError> {
    let passphrase = Passphrase::new(passphrase(unlock).ask()?)?;
    let key = passphrase.unwrap(&keyring_purpose(card), recovery)?;
    let key = SecretKey::from_slice(&key).ok_or_else(|| KeyError::KeyringEntry {
        entry: entry.to_owned(),
    })?;
    Ok(Keyring::of_kernel(entry)?.restore(&key)?)
}

pub(super) type Made = (Box<dyn Keeper>, Option<Wrapped>, Option<PathBuf>);

/// Makes what keeps a new broker's secrets: the keeper, its key as a recovery passphrase keeps it, and
/// the PKCS#11 module.
///
/// # Errors
/// The keeper's.
pub(super) fn make_keeper(card: &Card, keep: &Keep, unlock: &Unlock) -> Result<Made, BrokerError> {
    let name = format!("broker-{}", card.digest().short());
    Ok(match keep {
        Keep::Passphrase => {
            let keeper = Passphrase::new(passphrase(unlock).choose()?)?;
            (Box::new(keeper), None, None)
        }
        Keep::Keyring => {
            let recovery = Passphrase::new(passphrase(unlock).choose()?)?;
            let key = SecretKey::generate(&mut crate::random());
            let kept = recovery.wrap(&keyring_purpose(card), key.expose())?;
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

/// Finds what keeps a broker's secrets.
///
/// # Errors
/// The keeper's, or it is none of this release's.
pub(super) fn find_keeper(
    under: &Under,
    module: Option<&Path>,
    unlock: &Unlock,
) -> Result<Box<dyn Keeper>, BrokerError> {
    Ok(match (under, module) {
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

/// What the keyring's key is wrapped for.
fn keyring_purpose(card: &Card) -> Vec<u8> {
    [KEYRING_KEY, card.digest().as_bytes()].concat()
}

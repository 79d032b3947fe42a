//! Why a secret could not be kept or had back.

use std::{io, path::PathBuf};

use crate::exit::Exit;

/// Why a secret could not be kept or had back. None holds any part of one.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key is another, or the file was altered, or is of another purpose.
    #[error(
        "cannot unwrap it: {under} is not what it was wrapped under, or it was altered or put in \
         another's place"
    )]
    NotOpened {
        /// What was tried.
        under: String,
    },
    /// It is wrapped under something else.
    #[error("it is wrapped under {found}, and was to be unwrapped with {expected}")]
    OtherKeeper {
        /// What it states.
        found: String,
        /// What was tried.
        expected: String,
    },
    /// An empty passphrase keeps nothing.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// The parameters in a file would take for ever, or protect nothing.
    #[error(
        "the file asks for Argon2id with {memory_kib} KiB, {passes} passes and {lanes} lanes; \
         accepted are 8 MiB to 1 GiB, up to 16 passes and up to 16 lanes"
    )]
    Parameters {
        /// Memory.
        memory_kib: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// Argon2id itself failed.
    #[error("cannot make a key of the passphrase: {0}")]
    Argon2(argon2::Error),
    /// The keyring has no such entry.
    #[error(
        "the kernel's keyring has no entry {entry:?}: it forgets all at a reboot and \
         when it was not used for days, and others may have taken it out. Unlock it again with the recovery passphrase"
    )]
    NotInKeyring {
        /// The entry.
        entry: String,
    },
    /// The keyring cannot be used.
    #[error("cannot use the kernel's keyring: {source}")]
    Keyring {
        /// Why.
        source: Box<keyring_core::Error>,
    },
    /// The keyring's entry is none of ours.
    #[error("the kernel keyring's entry {entry:?} is no key of 32 bytes")]
    KeyringEntry {
        /// The entry.
        entry: String,
    },
    /// This program loads no library.
    #[error(
        "cannot load the PKCS#11 module {}: this program is linked statically and loads no library. \
         Use `mc2-pkcs11`, which is beside it in a release: the same program, which takes this \
         machine's C library (glibc 2.34 or newer)",
        module.display()
    )]
    Static {
        /// The module.
        module: PathBuf,
    },
    /// The PKCS#11 module cannot be used.
    #[error("cannot {doing} the PKCS#11 module {}: {source}", module.display())]
    Module {
        /// What was being done.
        doing: &'static str,
        /// The module.
        module: PathBuf,
        /// What it said.
        source: Box<cryptoki::error::Error>,
    },
    /// No token of that label.
    #[error("no slot has a token with the label {token:?}; there are {found}")]
    NoToken {
        /// The label.
        token: String,
        /// The labels there are.
        found: String,
    },
    /// Several tokens of that label.
    #[error("{found} slots have a token with the label {token:?}; give one another label")]
    SameLabel {
        /// The label.
        token: String,
        /// How many.
        found: usize,
    },
    /// The PIN was refused.
    #[error("the token {token:?} refused the PIN")]
    WrongPin {
        /// The token.
        token: String,
    },
    /// The token has locked itself.
    #[error(
        "the token {token:?} has locked its PIN after too many wrong ones; its security officer \
         unlocks it"
    )]
    PinLocked {
        /// The token.
        token: String,
    },
    /// No such key in the token.
    #[error("the token {token:?} has no key {key:?} with the id {id}")]
    NoKey {
        /// The token.
        token: String,
        /// The key's label.
        key: String,
        /// Its id.
        id: String,
    },
    /// The token did not do it.
    #[error("the token {token:?} did not {doing}: {source}")]
    Token {
        /// The token.
        token: String,
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: Box<cryptoki::error::Error>,
    },
    /// Larger than secrets are.
    #[error("a secret may have {most} bytes, this one has {found}")]
    TooLong {
        /// How many it may have.
        most: usize,
        /// How many it has.
        found: usize,
    },
    /// Nobody can be asked.
    #[error("nobody can be asked for {what}: there is no terminal. Give it in a file with {flag}")]
    NoTerminal {
        /// What is asked for.
        what: &'static str,
        /// The argument that takes a file.
        flag: &'static str,
    },
    /// It could not be read.
    #[error("cannot read {what} from {from}")]
    Read {
        /// What was read.
        what: &'static str,
        /// Where from.
        from: String,
        /// Why.
        source: io::Error,
    },
    /// Typed differently twice.
    #[error("{what} was typed differently the second time")]
    Differs {
        /// What was asked for.
        what: &'static str,
    },
    /// A keeper that is not of this crate.
    #[error("{keeper}: {reason}")]
    Other {
        /// Whose.
        keeper: String,
        /// Its reason.
        reason: String,
    },
}

impl KeyError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NotOpened { .. } => Exit::DataTampered,
            Self::NotInKeyring { .. } | Self::KeyringEntry { .. } | Self::NoKey { .. } => {
                Exit::StateBroken
            }
            _ => Exit::BadInput,
        }
    }
}

//! Secrets at rest: wrapped under a key that does not lie beside them.
//!
//! A [`Keeper`] wraps a secret (a data key, an identity's text) for one purpose and unwraps it for
//! that purpose alone. Three are here: a [`Passphrase`], the kernel's [`Keyring`], and a key inside
//! a PKCS#11 [`Token`]. A key management service is another implementation of the trait: `wrap` is
//! its Encrypt, `unwrap` its Decrypt, the purpose its encryption context or associated data, and
//! [`Under::Other`] says in the file what it needs to find its key again. What it returns is kept
//! as it is and never looked into.

mod argon2id;
mod ask;
mod error;
mod keeper;
mod keyring;
mod passphrase;
mod sealing;
mod token;
mod wrapped;

pub use argon2id::Argon2id;
pub use ask::Question;
pub use error::KeyError;
pub use keeper::Keeper;
pub use keyring::Keyring;
pub use passphrase::Passphrase;
pub use token::Token;
pub use wrapped::{MAX_SECRET, Under, Wrapped};

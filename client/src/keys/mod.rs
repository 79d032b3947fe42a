//! Secrets at rest: wrapped under a key that does not lie beside them.
//!
//! A [`Keeper`] wraps a secret (a data key, an identity's text) for one purpose and unwraps it for
//! that purpose alone. Three are here: a [`Passphrase`], the kernel's [`Keyring`], and a key inside
//! a PKCS#11 [`Token`]. A key management service is another implementation of the trait: `wrap` is
//! its Encrypt, `unwrap` its Decrypt, the purpose its encryption context or associated data, and
//! [`Under::Other`] says in the file what it needs to find its key again. What it returns is kept
//! as it is and never looked into.

mod ask;
mod error;
mod keyring;
mod passphrase;
mod sealing;
mod token;
mod wrapped;

pub use ask::Question;
pub use error::KeyError;
pub use keyring::Keyring;
pub use passphrase::{Argon2id, Passphrase};
pub use token::Token;
pub use wrapped::{MAX_SECRET, Under, Wrapped};

use zeroize::Zeroizing;

/// Who wraps secrets, and can unwrap what it wrapped.
///
/// ```
/// use mc2_client::keys::{Keeper, Passphrase};
///
/// let keeper = Passphrase::new("correct horse battery staple".to_owned().into())?;
/// let wrapped = keeper.wrap(b"data key 1", b"0123456789abcdef")?;
/// assert_eq!(keeper.unwrap(b"data key 1", &wrapped)?.as_slice(), b"0123456789abcdef");
/// // What was kept for one purpose is good for no other.
/// assert!(keeper.unwrap(b"data key 2", &wrapped).is_err());
/// # Ok::<(), mc2_client::keys::KeyError>(())
/// ```
pub trait Keeper: Send + Sync {
    /// Wraps `secret`, of at most [`MAX_SECRET`] bytes, for `purpose`, which is not secret.
    ///
    /// # Errors
    /// [`KeyError`], by name.
    fn wrap(&self, purpose: &[u8], secret: &[u8]) -> Result<Wrapped, KeyError>;

    /// Unwraps what [`wrap`](Self::wrap) made for the same `purpose`.
    ///
    /// # Errors
    /// [`KeyError`], by name.
    fn unwrap(&self, purpose: &[u8], wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, KeyError>;
}

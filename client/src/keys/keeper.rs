//! What wraps secrets.

use zeroize::Zeroizing;

use super::{error::KeyError, wrapped::Wrapped};

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
    /// Wraps `secret`, of at most [`MAX_SECRET`](super::MAX_SECRET) bytes, for `purpose`, which is not secret.
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

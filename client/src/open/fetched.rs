//! An object that is to be opened from a host: its manifest and, where it is small, all of it at once.

use mc2_protocol::{Digest, Manifest, sealed::small::MAX_LEN};

use super::origin::Sealed;
use crate::remote::{Remote, RemoteError, SmallStream};

/// What a small object has besides its content, at most and about.
const BESIDE: u64 = 8 * 1024;

/// An object at a host, its manifest checked against the id that it was asked for by.
///
/// ```no_run
/// use mc2_client::{open::{Exact, Fetched, Opening}, remote::Remote};
/// use mc2_protocol::{Digest, documents::receipt::OutputSecret};
///
/// # async fn example(
/// #     remote: &Remote,
/// #     object: &Digest,
/// #     secret: &OutputSecret,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let fetched = Fetched::from(remote, object, secret.length).await?;
/// let opening = Opening {
///     manifest: fetched.manifest(),
///     key: &secret.key,
///     exact: Some(Exact::from(secret)),
///     from: fetched.sealed(),
/// };
/// let mut plain = Vec::new();
/// opening.to_sink(&mut plain).await??;
/// # Ok(())
/// # }
/// ```
pub struct Fetched<'h> {
    remote: &'h Remote,
    object: Digest,
    manifest: Manifest,
    /// All of it, where it is small.
    small: Option<Vec<SmallStream>>,
}

impl<'h> Fetched<'h> {
    /// Asks for an object whose content has some `length` bytes.
    ///
    /// # Errors
    /// [`RemoteError`], also where the bytes are not those the id names.
    pub async fn from(
        remote: &'h Remote,
        object: &Digest,
        length: u64,
    ) -> Result<Self, RemoteError> {
        let small = match length.saturating_add(BESIDE) <= MAX_LEN as u64 {
            true => remote.small_object(object).await?,
            false => None,
        };
        let (manifest, small) = match small {
            Some((manifest, streams)) => (manifest, Some(streams)),
            None => (remote.manifest(object).await?, None),
        };
        Ok(Self {
            remote,
            object: *object,
            manifest,
            small,
        })
    }

    /// Its manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where its bytes come from.
    pub fn sealed(&self) -> Sealed<'_> {
        match &self.small {
            Some(streams) => Sealed::Small(streams),
            None => Sealed::Host(self.remote, self.object),
        }
    }
}

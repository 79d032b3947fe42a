//! Why a host does not start.

use std::{io, path::PathBuf};

use mc2_wire::Address;

use crate::{runtimes::LaunchError, store::blobs::BucketError};

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The folder cannot be used.
    #[error("cannot use the folder {}: {source}", folder.display())]
    Folder {
        /// The host's folder.
        folder: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// Another host uses the folder.
    #[error("the folder {} is in use by another host: stop it, or choose another folder", folder.display())]
    InUse {
        /// The host's folder.
        folder: PathBuf,
    },
    /// The bucket cannot be used.
    #[error("cannot use the bucket that is stated for storage: {0}")]
    Bucket(#[from] BucketError),
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: Address,
        /// What failed.
        source: io::Error,
    },
    /// Runtimes are to connect, and there is no address they could connect to.
    #[error(
        "runtimes are to connect, but there is no address for them: state where to listen for runtimes"
    )]
    NoRuntimeAddress,
    /// The certificate or key is not usable.
    #[error("the TLS certificate and key are not usable: {0}")]
    Tls(#[from] rustls::Error),
    /// The first runtime does not start.
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

//! Components as they were uploaded, each under the digest of its own bytes.

use std::{fs::File, path::PathBuf};

use http::StatusCode;
use mc2_protocol::Digest;

use super::files::{keep, open, receive};
use crate::{refusal::Refusal, transfer::incoming::Incoming};

/// All components.
pub(crate) struct Components {
    folder: PathBuf,
    durable: bool,
}

impl Components {
    pub(super) fn new(folder: PathBuf, durable: bool) -> Self {
        Self { folder, durable }
    }

    /// Stores a component, if its bytes are those the digest names.
    pub(crate) async fn put(&self, digest: Digest, body: Incoming) -> Result<(), Refusal> {
        let (file, found) = receive(&self.folder, body).await?;
        if found != digest {
            let message = format!("the component's digest is {found}, expected {digest}");
            return Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "digest",
                message,
            ));
        }
        keep(file, self.path(&digest), self.durable).await
    }

    /// Opens a component.
    pub(crate) fn open(&self, digest: &Digest) -> Result<File, Refusal> {
        open(&self.path(digest), || {
            format!("no component {digest} is stored here")
        })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }
}

//! Components as they were uploaded, each under the digest of its own bytes.

use std::path::PathBuf;

use http::StatusCode;
use mc2_protocol::Digest;

use super::{
    blobs::{Blob, Blobs},
    files::receive,
};
use crate::{
    refusal::{Refusal, blocking},
    transfer::incoming::Incoming,
};

/// All components.
pub(crate) struct Components {
    blobs: Blobs,
    /// Where they are received.
    receiving: PathBuf,
    durable: bool,
}

impl Components {
    pub(super) fn new(blobs: Blobs, receiving: PathBuf, durable: bool) -> Self {
        Self {
            blobs,
            receiving,
            durable,
        }
    }

    /// Stores a component, if its bytes are those the digest names.
    pub(crate) async fn put(&self, digest: Digest, body: Incoming) -> Result<(), Refusal> {
        let (file, found) = receive(&self.receiving, body).await?;
        if found != digest {
            let message = format!("the component's digest is {found}, expected {digest}");
            return Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "digest",
                message,
            ));
        }
        let (blobs, durable) = (self.blobs.clone(), self.durable);
        blocking(move || blobs.keep(&name(&digest), file, durable)).await
    }

    /// A component.
    pub(crate) fn open(&self, digest: &Digest) -> Result<Blob, Refusal> {
        let found = self.blobs.get(&name(digest))?;
        found.ok_or_else(|| {
            Refusal::not_found("not-found", format!("no component {digest} is stored here"))
        })
    }
}

fn name(digest: &Digest) -> String {
    format!("components/{digest}.wasm")
}

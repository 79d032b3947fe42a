//! Components as they were uploaded, each under the digest of its own bytes.

use std::path::PathBuf;

use http::StatusCode;
use mc2_protocol::Digest;

use super::{
    blobs::{Blob, Blobs},
    files::receive,
    kept::{Keeping, Kept, Payer},
    records::Table,
};
use crate::{
    clock::now,
    refusal::{Refusal, blocking},
    transfer::incoming::Incoming,
};

/// All components.
pub(crate) struct Components {
    blobs: Blobs,
    kept: Keeping,
    /// Where they are received.
    receiving: PathBuf,
    durable: bool,
}

impl Components {
    pub(super) fn new(blobs: Blobs, kept: Keeping, receiving: PathBuf, durable: bool) -> Self {
        Self {
            blobs,
            kept,
            receiving,
            durable,
        }
    }

    /// Stores a component, if its bytes are those the digest names.
    pub(crate) async fn put(
        &self,
        payer: Payer,
        digest: Digest,
        body: Incoming,
    ) -> Result<(), Refusal> {
        let (file, found) = receive(&self.receiving, body).await?;
        if found != digest {
            let message = format!("the component's digest is {found}, expected {digest}");
            return Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "digest",
                message,
            ));
        }
        let (blobs, kept, durable) = (self.blobs.clone(), self.kept.clone(), self.durable);
        blocking(move || {
            let now = now();
            let new = Kept {
                bytes: file.as_file().metadata()?.len(),
                stored: now,
                used: now,
                dataset: String::new(),
                output: false,
                holder: payer.holder(),
            };
            let known = kept.is_known(Table::Components, &digest)?;
            let room = (!known).then(|| kept.reserve(&payer, Table::Components, new.bytes));
            let room = room.transpose()?;
            // It is not removed meanwhile, so what is there already stays.
            let storing = kept.storing(Table::Components, &digest, new)?;
            blobs.keep(&name(&digest), file, durable)?;
            storing.stored();
            // From here on it counts itself.
            drop(room);
            Ok(())
        })
        .await
    }

    /// Counts the components that are there though nothing is recorded of them; how many. May block.
    pub(super) fn count_unknown(&self) -> Result<usize, Refusal> {
        let mut counted = 0;
        for file in self.blobs.names("components")? {
            let digest = file.strip_suffix(".wasm").and_then(|it| it.parse().ok());
            let Some(digest) = digest else { continue };
            if self.kept.is_known(Table::Components, &digest)? {
                continue;
            }
            let now = now();
            if let Some(bytes) = self.blobs.length(&name(&digest))? {
                let found = Kept {
                    bytes,
                    stored: now,
                    used: now,
                    dataset: String::new(),
                    output: false,
                    holder: None,
                };
                let new = self.kept.found_stored(Table::Components, &digest, &found)?;
                counted += usize::from(new);
            }
        }
        Ok(counted)
    }

    /// Removes a component. May block.
    pub(super) fn remove(&self, digest: &Digest) -> Result<(), Refusal> {
        self.blobs.remove(&name(digest))
    }

    /// A component; who reads it uses it.
    pub(crate) async fn open(&self, digest: Digest) -> Result<Blob, Refusal> {
        let (blobs, kept) = (self.blobs.clone(), self.kept.clone());
        blocking(move || {
            kept.touch(Table::Components, &digest)?;
            let found = blobs.get(&name(&digest))?;
            found.ok_or_else(|| {
                Refusal::not_found("not-found", format!("no component {digest} is stored here"))
            })
        })
        .await
    }
}

fn name(digest: &Digest) -> String {
    format!("components/{digest}.wasm")
}

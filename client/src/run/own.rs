//! The outputs of a verified receipt that are one reader's.

use mc2_protocol::{
    Identity,
    documents::receipt::{OutputSecret, ReceiptOutput},
};

use super::error::RunError;
use crate::{
    open::{Exact, Fetched, Opening},
    remote::Remote,
    terminal,
    verify::Verified,
};

/// An output that was fetched under the name that the receipt has for it, and its key.
pub(super) struct Own<'r> {
    fetched: Fetched<'r>,
    secret: OutputSecret,
}

impl<'r> Own<'r> {
    /// Fetches it.
    ///
    /// # Errors
    /// The host does not give it, or its manifest has another name.
    pub(super) async fn fetch(
        remote: &'r Remote,
        output: &ReceiptOutput,
        secret: OutputSecret,
    ) -> Result<Self, RunError> {
        let fetched = Fetched::from(remote, &output.object, secret.length).await?;
        let found = fetched.manifest().dataset();
        if found.as_str() != output.name {
            let text = format!("output {} is called {found} in its manifest", output.name);
            return Err(RunError::Incomplete(text));
        }
        Ok(Self { fetched, secret })
    }

    pub(super) fn opening(&self) -> Opening<'_> {
        Opening {
            manifest: self.fetched.manifest(),
            key: &self.secret.key,
            exact: Some(Exact::from(&self.secret)),
            from: self.fetched.sealed(),
        }
    }
}

/// The key of an output, where it is this reader's.
///
/// # Errors
/// It is, and does not open.
pub(super) fn secret_of(
    reader: &Identity,
    verified: &Verified,
    output: &ReceiptOutput,
) -> Result<Option<OutputSecret>, RunError> {
    let card = reader.card().digest();
    let own = output.recipients.iter().find(|one| one.card == *card);
    let Some(sealed) = own else {
        return Ok(None);
    };
    let session = verified.session.digest();
    let job = &verified.receipt.job;
    let secret = OutputSecret::open(session, job, &output.name, sealed, reader);
    secret.map(Some).map_err(|error| {
        RunError::Incomplete(format!("the key of output {}: {error}", output.name))
    })
}

/// A guest's words without control characters; its lines stay, because a place in a query may be
/// shown by them.
pub(super) fn words(text: &[u8]) -> String {
    terminal::shown(&String::from_utf8_lossy(text))
        .trim()
        .to_owned()
}

//! Bringing data to a host.

use std::path::PathBuf;

use mc2_protocol::{Identity, Name};

use super::{
    error::VerbError,
    member::{Member, millis},
};
use crate::{
    dataset::{Found, Version},
    event::{Observer, Phase, RunEvent},
    http::{HostAddress, Trust},
    remote::Remote,
    state::{StateError, Upload},
};

/// What to upload, and where to.
pub struct Uploading {
    /// A file or folder, or what `mc2 seal` made of one.
    pub path: PathBuf,
    /// Of which dataset it is a version; what was sealed before knows.
    pub name: Option<Name>,
    /// The host.
    pub host: HostAddress,
    /// Whose certificates its link may have.
    pub trust: Trust,
}

impl Member {
    /// Seals a version of a dataset, where it is not sealed yet, stores it at a host and keeps its
    /// key.
    ///
    /// # Errors
    /// [`VerbError`].
    pub async fn upload(
        &self,
        uploading: Uploading,
        observer: &Observer,
    ) -> Result<Upload, VerbError> {
        let Uploading {
            path,
            name,
            host,
            trust,
        } = uploading;
        let found = Found::at(&path)?;
        let dataset = match (name, &found) {
            (Some(name), _) => name,
            (None, Found::Sealed(object)) => object.manifest().dataset().clone(),
            (None, Found::Plain(_)) => return Err(VerbError::NoName { path }),
        };
        let owner = self.owner()?;
        let version = Version::new(dataset, found, &owner, &self.state)?;
        let remote = Remote::connect(host.clone(), &trust)?;
        observer(RunEvent::Begun(Phase::Seal, Some(version.length())));
        let begun = std::time::Instant::now();
        let progress = observer.clone();
        let progress = move |done| progress(RunEvent::Done(Phase::Seal, done));
        let sending = version.send::<VerbError>(&remote, &owner, Some(&self.state), progress);
        let key = sending.await?;
        observer(RunEvent::Ended(Phase::Seal, begun.elapsed()));
        let card = owner.card().digest();
        self.state
            .store_data_key(&key.object, &key.dataset, card, &key.secret)?;
        let (object, length) = (key.object, version.length());
        let upload = Upload::new(
            object,
            key.dataset,
            *card,
            host.to_string(),
            length,
            millis(),
        );
        self.state.store_upload(&upload)?;
        Ok(upload)
    }

    /// Whose the data is: the identity named, the only one there is, or the default one.
    fn owner(&self) -> Result<Identity, StateError> {
        if let Some(name) = &self.identity {
            return self.state.identity(name);
        }
        let mut identities = self.state.identities()?;
        match (identities.pop(), identities.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => self.state.default_identity(),
        }
    }
}

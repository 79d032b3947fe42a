//! Giving a session the keys of one's own datasets.

use std::{collections::BTreeMap, time::SystemTime};

use mc2_protocol::{
    DataKey, Digest, Name, SecretKey,
    documents::message::Release,
    policy::{Dataset, Origin},
};

use super::{error::VerbError, member::Entered};
use crate::{
    session::{Session, allowed_runs},
    terminal::listed,
};

/// What is to be released, where a person says so.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Versions of datasets; the one the policy pins, or the newest that was uploaded from here,
    /// where nothing is said.
    pub versions: BTreeMap<Name, Digest>,
    /// For how many runs each; one where nothing is said.
    pub runs: Option<u32>,
}

/// The key of one version, about to be released.
pub struct Planned {
    /// The dataset.
    pub dataset: Name,
    /// The version.
    pub object: Digest,
    /// For how many runs.
    pub runs: u32,
    key: SecretKey,
}

/// What is about to be released, and what is not.
#[derive(Default)]
pub struct Releases {
    /// Keys, one a dataset.
    pub planned: Vec<Planned>,
    /// Datasets of one's own whose keys are not, each with why.
    pub left_out: Vec<(Name, String)>,
}

impl Releases {
    /// A line each.
    pub fn to_text(&self) -> String {
        let planned = self.planned.iter().map(|one| {
            let Planned {
                dataset,
                object,
                runs,
                ..
            } = one;
            format!("release      key of {dataset}, object {object}, for {runs} runs\n")
        });
        let left_out = self.left_out.iter();
        let left_out = left_out.map(|(dataset, why)| format!("no release   of {dataset}: {why}\n"));
        planned.chain(left_out).collect()
    }
}

impl Entered<'_> {
    /// What would be released of this party's own datasets that the policy's jobs read.
    ///
    /// # Errors
    /// A dataset that is chosen and is not this party's, a version whose key is not here, or
    /// something that was revoked.
    pub async fn plan_releases(&self, choice: &Choice) -> Result<Releases, VerbError> {
        let own: Vec<&Dataset> = self
            .policy
            .datasets()
            .iter()
            .filter(|dataset| *dataset.owner == *self.identity.card())
            .collect();
        for dataset in choice.versions.keys() {
            if !own.iter().any(|one| one.name == *dataset) {
                return Err(VerbError::NotOwned {
                    dataset: dataset.clone(),
                    party: self.identity.card().name().to_string(),
                    own: listed(own.iter().map(|one| &one.name)),
                });
            }
        }
        self.plan_each(&own, choice).await
    }

    /// What would be released of the datasets that are chosen, and of no other.
    ///
    /// # Errors
    /// As [`plan_releases`](Self::plan_releases).
    pub(super) async fn plan_chosen(&self, choice: &Choice) -> Result<Releases, VerbError> {
        let chosen = choice.versions.keys();
        let chosen: Vec<&Dataset> = chosen
            .filter_map(|name| self.policy.dataset(name))
            .collect();
        self.plan_each(&chosen, choice).await
    }

    async fn plan_each(
        &self,
        datasets: &[&Dataset],
        choice: &Choice,
    ) -> Result<Releases, VerbError> {
        let mut releases = Releases::default();
        for dataset in datasets {
            match self.plan(dataset, choice).await? {
                Ok(planned) => releases.planned.push(planned),
                Err(why) => releases.left_out.push((dataset.name.clone(), why)),
            }
        }
        Ok(releases)
    }

    /// Releases what was planned: into the ledger first, then out.
    ///
    /// # Errors
    /// [`VerbError`]. What stands in the ledger stays there.
    pub async fn release(
        &self,
        session: &Session<'_>,
        releases: Releases,
    ) -> Result<(), VerbError> {
        let keys = releases.planned.into_iter().map(|one| Release {
            key: DataKey {
                dataset: one.dataset,
                object: one.object,
                secret: one.key,
            },
            length: None,
            runs: one.runs,
        });
        let keys: Vec<Release> = keys.collect();
        let state = &self.member.state;
        // Whoever was asked in between may have revoked something meanwhile.
        let going = keys.iter().map(|release| &release.key);
        let releasing = state.releasing(&self.known.session, going)?;
        let (ledger, now) = (state.ledger(), SystemTime::now());
        session.release(&self.identity, &ledger, keys, now).await?;
        drop(releasing);
        Ok(())
    }

    /// What would be released of a dataset, or why nothing would.
    async fn plan(
        &self,
        dataset: &Dataset,
        choice: &Choice,
    ) -> Result<Result<Planned, String>, VerbError> {
        let name = &dataset.name;
        let chosen = choice.versions.get(name).copied();
        if !self.is_read(name) {
            return Ok(Err("no job of the policy reads it".to_owned()));
        }
        if let Some(broker) = dataset.broker.as_ref().filter(|_| chosen.is_none()) {
            let broker = broker.name();
            return Ok(Err(format!("its broker {broker} releases it")));
        }
        let object = match chosen.or(dataset.object) {
            Some(object) => object,
            None => match self.newest(name)? {
                Some(object) => object,
                None => {
                    let host = &self.known.host;
                    return Ok(Err(format!(
                        "no version of it was uploaded to {host} from here: `mc2 upload` it, or \
                         name one with --data {name}=OBJECT"
                    )));
                }
            },
        };
        let state = &self.member.state;
        state.refuse_revoked(&self.known.session, name, &object)?;
        let allowed = allowed_runs(&self.policy, name);
        let card = self.identity.card().digest();
        let ledger = self.member.state.ledger();
        let spent = ledger.spent(self.policy.digest(), card, name)?;
        let left = allowed.saturating_sub(spent);
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        if left == 0 {
            return Ok(Err(format!(
                "all {allowed} runs that the policy allows were released before"
            )));
        }
        Ok(Ok(Planned {
            dataset: name.clone(),
            object,
            runs: choice.runs.unwrap_or(1),
            key: self.key(name, &object).await?,
        }))
    }

    /// The newest version of a dataset that was uploaded to this session's host from here.
    pub(super) fn newest(&self, dataset: &Name) -> Result<Option<Digest>, VerbError> {
        let owner = self.identity.card().digest();
        let uploads = self.member.state.uploads()?;
        let newest = uploads.iter().find(|upload| {
            upload.dataset == *dataset && upload.owner == *owner && upload.host == self.known.host
        });
        Ok(newest.map(|upload| upload.object))
    }

    /// The key of a version: kept here, or wrapped to this party's card in its manifest.
    async fn key(&self, dataset: &Name, object: &Digest) -> Result<SecretKey, VerbError> {
        if let Some(key) = self.member.state.data_key(object)? {
            return Ok(key);
        }
        let manifest = self.remote.manifest(object).await?;
        let own = manifest.owner().filter(|_| manifest.dataset() == dataset);
        let key = own.and_then(|own| own.open_as_owner(dataset, self.identity.private_key()).ok());
        key.ok_or_else(|| VerbError::NoKey {
            dataset: dataset.clone(),
            object: *object,
            party: self.identity.card().name().to_string(),
        })
    }

    fn is_read(&self, dataset: &Name) -> bool {
        let steps = self.policy.jobs().iter().flat_map(|job| &job.steps);
        let mut inputs = steps.flat_map(|step| &step.inputs);
        inputs.any(|input| matches!(&input.from, Origin::Dataset(name) if name == dataset))
    }
}

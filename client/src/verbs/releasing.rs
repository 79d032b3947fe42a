//! Giving a session the keys of one's own datasets, and those in one's custody.

use std::{collections::BTreeMap, time::SystemTime};

use mc2_protocol::{
    DataKey, Digest, Name, SecretKey,
    documents::message::Release,
    policy::{Dataset, Origin},
};

use super::{error::VerbError, member::Entered};
use crate::{
    custody::{self, CustodyKey},
    session::{Session, allowed_runs},
    terminal::listed,
};

/// What is to be released, where a person says so.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Versions of datasets, and of outputs in one's custody; the one the policy pins, the newest
    /// that was uploaded from here, or the only one in custody, where nothing is said.
    pub versions: BTreeMap<Name, Digest>,
    /// For how many runs each; one where nothing is said.
    pub runs: Option<u32>,
}

/// The key of one version, about to be released.
pub struct Planned {
    /// The dataset, or the output in custody.
    pub dataset: Name,
    /// The version.
    pub object: Digest,
    /// For how many runs.
    pub runs: u32,
    /// How many were released before under this policy, whatever became of them.
    pub before: u64,
    /// How many the policy allows in all.
    pub allowed: u64,
    key: Key,
}

enum Key {
    /// Of one's own data.
    Own(SecretKey),
    /// In one's custody.
    Custody(Box<CustodyKey>),
}

impl Planned {
    /// Whether it is in custody, rather than one's own data.
    pub const fn in_custody(&self) -> bool {
        matches!(self.key, Key::Custody(_))
    }
}

/// What is about to be released, and what is not.
#[derive(Default)]
pub struct Releases {
    /// Keys, one a dataset.
    pub planned: Vec<Planned>,
    /// Datasets of one's own, and outputs in one's custody, whose keys are not, each with why.
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
                before,
                allowed,
                key,
            } = one;
            let before = match before {
                0 => String::new(),
                _ => format!("; {before} of {allowed} were released before"),
            };
            let custody = match key {
                Key::Own(_) => "",
                Key::Custody(_) => " in custody",
            };
            format!(
                "release      key of {dataset}{custody}, object {object}, for {runs} runs{before}\n"
            )
        });
        let left_out = self.left_out.iter();
        let left_out = left_out.map(|(dataset, why)| format!("no release   of {dataset}: {why}\n"));
        planned.chain(left_out).collect()
    }
}

impl Entered<'_> {
    /// What would be released of this party's own datasets, and of what is in its custody, that the
    /// policy's jobs read.
    ///
    /// # Errors
    /// A dataset that is chosen and is not this party's, a version whose key is not here, or
    /// something that was revoked.
    pub async fn plan_releases(&self, choice: &Choice) -> Result<Releases, VerbError> {
        let card = self.identity.card();
        let datasets = self.policy.datasets().iter();
        let datasets = datasets.filter(|dataset| *dataset.owner == *card);
        let in_custody = custody::outputs(&self.policy);
        let in_custody = in_custody.filter(|(_, custody)| *custody.holder == *card);
        let own = datasets.map(|dataset| &dataset.name);
        let own: Vec<&Name> = own.chain(in_custody.map(|(output, _)| output)).collect();
        for name in choice.versions.keys() {
            if !own.contains(&name) {
                return Err(VerbError::NotOwned {
                    dataset: name.clone(),
                    party: card.name().to_string(),
                    own: listed(own),
                });
            }
        }
        self.plan_each(own, choice).await
    }

    /// What would be released of the datasets and outputs that are chosen, and of no other.
    ///
    /// # Errors
    /// As [`plan_releases`](Self::plan_releases).
    pub(super) async fn plan_chosen(&self, choice: &Choice) -> Result<Releases, VerbError> {
        self.plan_each(choice.versions.keys(), choice).await
    }

    async fn plan_each(
        &self,
        names: impl IntoIterator<Item = &Name>,
        choice: &Choice,
    ) -> Result<Releases, VerbError> {
        let mut releases = Releases::default();
        for name in names {
            let planned = if self.policy.custody(name).is_some() {
                self.plan_custody(name, choice)?
            } else if let Some(dataset) = self.policy.dataset(name) {
                self.plan(dataset, choice).await?
            } else {
                continue;
            };
            match planned {
                Ok(planned) => releases.planned.push(planned),
                Err(why) => releases.left_out.push((name.clone(), why)),
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
        let (mut keys, mut custody) = (Vec::new(), Vec::new());
        for one in releases.planned {
            match one.key {
                Key::Own(secret) => keys.push(Release {
                    key: DataKey {
                        dataset: one.dataset,
                        object: one.object,
                        secret,
                    },
                    length: None,
                    runs: one.runs,
                }),
                Key::Custody(key) => custody.push((key, one.runs)),
            }
        }
        let custody: Vec<(&CustodyKey, u32)> =
            custody.iter().map(|(key, runs)| (&**key, *runs)).collect();
        let state = &self.member.state;
        // Whoever was asked in between may have revoked something meanwhile.
        let own = keys
            .iter()
            .map(|Release { key, .. }| (&key.dataset, &key.object));
        let going = own.chain(custody.iter().map(|(key, _)| (&key.output, &key.object)));
        let releasing = state.releasing(&self.known.session, going)?;
        let (ledger, now) = (state.ledger(), SystemTime::now());
        session
            .release_both(&self.identity, &ledger, keys, &custody, now)
            .await?;
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
        let (before, allowed) = match self.spent(name)? {
            Ok(counted) => counted,
            Err(why) => return Ok(Err(why)),
        };
        Ok(Ok(Planned {
            dataset: name.clone(),
            object,
            runs: choice.runs.unwrap_or(1),
            before,
            allowed,
            key: Key::Own(self.key(name, &object).await?),
        }))
    }

    /// What would be released of an output in this party's custody, or why nothing would.
    fn plan_custody(
        &self,
        output: &Name,
        choice: &Choice,
    ) -> Result<Result<Planned, String>, VerbError> {
        if !self.is_read(output) {
            return Ok(Err("no job of the policy reads it".to_owned()));
        }
        let card = self.identity.card();
        let chosen = choice.versions.get(output);
        let state = &self.member.state;
        let mut kept = state.custody_keys()?;
        kept.retain(|key| {
            key.policy == *self.policy.digest()
                && key.holder == *card.digest()
                && key.output == *output
                && chosen.is_none_or(|object| key.object == *object)
        });
        let versions = kept.len();
        let key = match (kept.pop(), chosen) {
            (Some(key), _) if versions == 1 => key,
            (Some(_), _) => {
                return Ok(Err(format!(
                    "{versions} versions of it are kept, which `mc2 list` shows: name one with \
                     --data {output}=OBJECT"
                )));
            }
            (None, Some(object)) => {
                return Err(VerbError::NotInCustody {
                    output: output.clone(),
                    object: *object,
                    party: card.name().clone(),
                });
            }
            (None, None) => {
                return Ok(Err(
                    "its key is not kept: `mc2 watch` of the job that left it in custody takes it \
                     out of the receipt"
                        .to_owned(),
                ));
            }
        };
        state.refuse_revoked(&self.known.session, output, &key.object)?;
        let (before, allowed) = match self.spent(output)? {
            Ok(counted) => counted,
            Err(why) => return Ok(Err(why)),
        };
        Ok(Ok(Planned {
            dataset: output.clone(),
            object: key.object,
            runs: choice.runs.unwrap_or(1),
            before,
            allowed,
            key: Key::Custody(Box::new(key)),
        }))
    }

    /// How many runs of a dataset, or of an output in custody, were released before, and how many the
    /// policy allows; that it was all, where it was.
    fn spent(&self, name: &Name) -> Result<Result<(u64, u64), String>, VerbError> {
        let allowed = allowed_runs(&self.policy, name);
        let card = self.identity.card().digest();
        let ledger = self.member.state.ledger();
        let spent = ledger.spent(self.policy.digest(), card, name)?;
        Ok(if spent < allowed {
            Ok((spent, allowed))
        } else {
            Err(format!(
                "all {allowed} runs that the policy allows were released before"
            ))
        })
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
        inputs.any(|input| match &input.from {
            Origin::Dataset(name) | Origin::Custody(name) => name == dataset,
            Origin::Step(_) => false,
        })
    }
}

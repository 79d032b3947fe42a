//! The data keys that owners have released to a session.

use std::collections::{BTreeMap, HashMap};

use mc2_protocol::{
    Digest, Name, SecretKey,
    documents::message::{Refused, Release},
};

/// One key a dataset, each for so many runs.
#[derive(Default)]
pub(super) struct ReleasedKeys(HashMap<Name, Released>);

struct Released {
    object: Digest,
    key: SecretKey,
    runs: u32,
}

impl ReleasedKeys {
    /// Adds a release that the policy allows. Of one dataset a session holds one version.
    pub(super) fn add(&mut self, release: Release) -> Result<(), Refused> {
        let Release {
            dataset,
            object,
            key,
            runs,
        } = release;
        if runs == 0 {
            let message = "a release is for at least one run";
            return Err(Refused::new("no-runs", message));
        }
        match self.0.get_mut(&dataset) {
            None => {
                self.0.insert(dataset, Released { object, key, runs });
            }
            Some(released) if released.object == object => {
                released.runs = released.runs.saturating_add(runs);
            }
            Some(released) => {
                let message = format!(
                    "this session already holds object {} of {dataset}; another version needs \
                     another session",
                    released.object
                );
                return Err(Refused::new("other-object", message));
            }
        }
        Ok(())
    }

    /// The keys of all datasets a job reads, each good for one run less afterwards; on a refusal
    /// none is.
    pub(super) fn take(
        &mut self,
        datasets: &BTreeMap<Name, Digest>,
    ) -> Result<HashMap<Name, (Digest, SecretKey)>, Refused> {
        let mut keys = HashMap::new();
        for (dataset, object) in datasets {
            let released = self.0.get(dataset).filter(|released| released.runs > 0);
            let Some(released) = released else {
                let message = format!(
                    "no key for {dataset} is left in this session: its owner must release one"
                );
                return Err(Refused::new("no-key", message));
            };
            if released.object != *object {
                let message = format!(
                    "the job reads object {object} of {dataset}, the released key is for {}",
                    released.object
                );
                return Err(Refused::new("other-object", message));
            }
            keys.insert(dataset.clone(), (*object, released.key.clone()));
        }
        for dataset in datasets.keys() {
            if let Some(released) = self.0.get_mut(dataset) {
                released.runs -= 1;
            }
        }
        Ok(keys)
    }

    /// Undoes [`take`](Self::take).
    pub(super) fn give_back<'n>(&mut self, datasets: impl IntoIterator<Item = &'n Name>) {
        for dataset in datasets {
            if let Some(released) = self.0.get_mut(dataset) {
                released.runs = released.runs.saturating_add(1);
            }
        }
    }
}

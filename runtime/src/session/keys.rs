//! The data keys that owners have released to a session.

use std::collections::{BTreeMap, HashMap};

use mc2_protocol::{
    DataKey, Digest, Name,
    documents::message::{HeldKey, Refused, Release},
};

/// One key a dataset, each for so many runs.
#[derive(Default)]
pub(super) struct ReleasedKeys(HashMap<Name, Release>);

impl ReleasedKeys {
    /// Adds a release that the policy allows. Of one dataset a session holds one version.
    pub(super) fn add(&mut self, release: Release) -> Result<(), Refused> {
        if release.runs == 0 {
            let message = "a release is for at least one run";
            return Err(Refused::new("no-runs", message));
        }
        let DataKey {
            dataset, object, ..
        } = &release.key;
        match self.0.get_mut(dataset) {
            None => {
                self.0.insert(dataset.clone(), release);
            }
            Some(held) if held.key.object == *object && held.length == release.length => {
                held.runs = held.runs.saturating_add(release.runs);
            }
            Some(held) => {
                let message = format!(
                    "this session already holds object {} of {dataset}; another version needs \
                     another session",
                    held.key.object
                );
                return Err(Refused::new("other-object", message));
            }
        }
        Ok(())
    }

    /// The keys of all datasets a job reads, by the datasets' names, each good for one run less
    /// afterwards; on a refusal none is.
    pub(super) fn take(
        &mut self,
        datasets: &BTreeMap<Name, Digest>,
    ) -> Result<Vec<Release>, Refused> {
        let mut keys = Vec::with_capacity(datasets.len());
        for (dataset, object) in datasets {
            let Some(held) = self.0.get(dataset).filter(|held| held.runs > 0) else {
                let message = format!(
                    "no key for {dataset} is left in this session: its owner must release one"
                );
                return Err(Refused::new("no-key", message));
            };
            if held.key.object != *object {
                let message = format!(
                    "the job reads object {object} of {dataset}, the released key is for {}",
                    held.key.object
                );
                return Err(Refused::new("other-object", message));
            }
            keys.push(held.clone());
        }
        for dataset in datasets.keys() {
            if let Some(held) = self.0.get_mut(dataset) {
                held.runs -= 1;
            }
        }
        Ok(keys)
    }

    /// What is held, by the datasets' names.
    pub(super) fn held(&self) -> Vec<HeldKey> {
        let held = self.0.iter().map(|(dataset, release)| HeldKey {
            dataset: dataset.clone(),
            object: release.key.object,
            runs: release.runs,
        });
        let mut held: Vec<_> = held.collect();
        held.sort_by(|a, b| a.dataset.cmp(&b.dataset));
        held
    }

    /// Undoes [`take`](Self::take).
    pub(super) fn give_back(&mut self, keys: &[Release]) {
        for Release { key, .. } in keys {
            if let Some(held) = self.0.get_mut(&key.dataset) {
                held.runs = held.runs.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::SecretKey;

    use super::*;

    fn release(dataset: &str, runs: u32) -> Release {
        let key = DataKey {
            dataset: dataset.parse().unwrap(),
            object: Digest::of(dataset.as_bytes()),
            secret: SecretKey::from_bytes([7; 32]),
        };
        Release {
            key,
            length: None,
            runs,
        }
    }

    fn datasets(names: &[&str]) -> BTreeMap<Name, Digest> {
        let named = |name: &&str| (name.parse().unwrap(), Digest::of(name.as_bytes()));
        names.iter().map(named).collect()
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more_often() {
        let mut keys = ReleasedKeys::default();
        keys.add(release("a", 1)).unwrap();
        keys.add(release("b", 1)).unwrap();
        let taken = keys.take(&datasets(&["a", "b"])).unwrap();
        assert_eq!(keys.take(&datasets(&["a"])).err().unwrap().code, "no-key");
        keys.give_back(&taken);
        assert_eq!(keys.take(&datasets(&["a", "b"])).unwrap().len(), 2);
        assert_eq!(keys.take(&datasets(&["b"])).err().unwrap().code, "no-key");
    }

    #[test]
    fn a_job_that_lacks_one_key_takes_none() {
        let mut keys = ReleasedKeys::default();
        keys.add(release("a", 1)).unwrap();
        assert!(keys.take(&datasets(&["a", "b"])).is_err());
        assert!(keys.take(&datasets(&["a"])).is_ok());
    }
}

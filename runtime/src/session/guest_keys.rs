//! The keys that parties have given a session for its guests' own use.

use std::collections::{BTreeSet, HashMap};

use mc2_protocol::{
    Digest, Name,
    documents::message::{GiveKey, Refused},
    policy::{AdmittedJob, AdmittedStep},
};
use mc2_sandbox::GuestKey;

/// Most bytes of keys in one session, each counting so many more than it has.
const MOST: usize = 128 * 1024;
const BESIDE: usize = 256;

/// One key for each name and giver, until the session ends: a job that was admitted keeps those of
/// its steps until it is over.
#[derive(Default)]
pub(super) struct GuestKeys {
    keys: HashMap<(Digest, Name), (GuestKey, usize)>,
    bytes: usize,
}

impl GuestKeys {
    /// Takes a key that the policy takes from this party.
    pub(super) fn add(&mut self, giver: Digest, given: GiveKey) -> Result<(), Refused> {
        let GiveKey { name, key } = given;
        let key = key.into_bytes();
        let length = key.len() + BESIDE;
        let place = (giver, name);
        let before = self.keys.get(&place).map_or(0, |(_, length)| *length);
        let bytes = self.bytes - before + length;
        if bytes > MOST {
            let message = format!(
                "a session holds at most {MOST} bytes of keys for guests, {BESIDE} more counted for \
                 each: give shorter ones, or fewer"
            );
            return Err(Refused::new("too-many-keys", message));
        }
        let key = GuestKey::new(place.1.as_str(), key);
        self.keys.insert(place, (key, length));
        self.bytes = bytes;
        Ok(())
    }

    /// The names of all keys, each once.
    pub(super) fn names(&self) -> Vec<Name> {
        let names: BTreeSet<&Name> = self.keys.keys().map(|(_, name)| name).collect();
        names.into_iter().cloned().collect()
    }

    /// The keys of each step of a job.
    pub(super) fn of(&self, job: &AdmittedJob) -> Result<Vec<Vec<GuestKey>>, Refused> {
        let steps = job.steps.iter().enumerate();
        steps
            .map(|(index, step)| self.of_step(index, step))
            .collect()
    }

    fn of_step(&self, index: usize, step: &AdmittedStep) -> Result<Vec<GuestKey>, Refused> {
        let keys = step.keys.iter().map(|key| {
            let given = self.keys.get(&(*key.from.digest(), key.name.clone()));
            given.map(|(key, _)| key.clone()).ok_or_else(|| {
                let message = format!(
                    "step {} hands its guest the key {}, which this session does not have: {} must \
                     give it",
                    index + 1,
                    key.name,
                    key.from.name()
                );
                Refused::new("no-guest-key", message)
            })
        });
        keys.collect()
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::documents::message::{GuestSecret, MAX_GUEST_KEY};

    use super::*;

    fn give(keys: &mut GuestKeys, name: &str, length: usize) -> Result<(), Refused> {
        let given = GiveKey {
            name: name.parse().unwrap(),
            key: GuestSecret::new(vec![7; length].into()).unwrap(),
        };
        keys.add(Digest::of(b"giver"), given)
    }

    #[test]
    fn a_session_holds_so_many_bytes_of_keys_and_a_later_one_takes_the_place_of_an_earlier() {
        let mut keys = GuestKeys::default();
        let most = MOST / (MAX_GUEST_KEY + BESIDE);
        for number in 0..most {
            give(&mut keys, &format!("key-{number}"), MAX_GUEST_KEY).unwrap();
        }
        let refused = give(&mut keys, "more", MAX_GUEST_KEY).unwrap_err();
        assert_eq!(refused.code, "too-many-keys");
        for _ in 0..2 {
            give(&mut keys, "key-0", MAX_GUEST_KEY).unwrap();
        }
        give(&mut keys, "key-0", 1).unwrap();
        give(&mut keys, "more", MAX_GUEST_KEY - 1).unwrap();
    }
}

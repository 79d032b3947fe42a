//! The keys that parties have given a session for its guests' own use.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

use mc2_protocol::{
    Digest, Name,
    documents::message::{GiveKey, Refused},
    policy::{AdmittedJob, AdmittedStep},
};
use mc2_sandbox::GuestKey;

use super::places::{GUEST_KEYS, Place, Places};

/// Most bytes of keys that a party has in one session, each counting so many more than it has.
const MOST: usize = 128 * 1024;
const BESIDE: usize = 256;

/// One key for each name and giver, until the session ends: a job that was admitted keeps those of
/// its steps until it is over.
#[derive(Default)]
pub(super) struct GuestKeys {
    keys: HashMap<(Digest, Name), Given>,
}

struct Given {
    key: GuestKey,
    /// What it counts, in this session and in all of its giver's.
    bytes: usize,
    places: Place,
}

impl GuestKeys {
    /// Takes a key that the policy takes from this party.
    pub(super) fn add(
        &mut self,
        giver: Digest,
        given: GiveKey,
        account: &Arc<Places>,
    ) -> Result<(), Refused> {
        let GiveKey { name, key } = given;
        let key = key.into_bytes();
        let bytes = key.len() + BESIDE;
        let place = (giver, name);
        let others = self
            .keys
            .iter()
            .filter(|(at, _)| at.0 == giver && **at != place);
        let others: usize = others.map(|(_, given)| given.bytes).sum();
        if others + bytes > MOST {
            let message = format!(
                "a session holds at most {MOST} bytes of a party's keys for guests, {BESIDE} more \
                 counted for each: give shorter ones, or fewer"
            );
            return Err(Refused::new("too-many-keys", message));
        }
        let full = || {
            let message = format!(
                "all sessions of this runtime together hold at most {GUEST_KEYS} bytes of a party's \
                 keys for guests: end sessions"
            );
            Refused::new("too-many-keys", message)
        };
        let key = GuestKey::new(place.1.as_str(), key);
        match self.keys.entry(place) {
            Entry::Occupied(mut before) => {
                let before = before.get_mut();
                if !account.change(&mut before.places, bytes) {
                    return Err(full());
                }
                (before.key, before.bytes) = (key, bytes);
            }
            Entry::Vacant(place) => {
                let places = account.take(giver, bytes).ok_or_else(full)?;
                place.insert(Given { key, bytes, places });
            }
        }
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
            given.map(|given| given.key.clone()).ok_or_else(|| {
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

    use super::{super::places::Accounts, *};

    fn give(
        keys: &mut GuestKeys,
        giver: &str,
        name: &str,
        length: usize,
        accounts: &Accounts,
    ) -> Result<(), Refused> {
        let given = GiveKey {
            name: name.parse().unwrap(),
            key: GuestSecret::new(vec![7; length].into()).unwrap(),
        };
        keys.add(Digest::of(giver.as_bytes()), given, &accounts.guest_keys)
    }

    #[test]
    fn a_party_has_so_many_bytes_of_keys_in_a_session_and_a_later_one_takes_the_place_of_an_earlier()
     {
        let accounts = Accounts::default();
        let mut keys = GuestKeys::default();
        let most = MOST / (MAX_GUEST_KEY + BESIDE);
        for number in 0..most {
            let name = format!("key-{number}");
            give(&mut keys, "one", &name, MAX_GUEST_KEY, &accounts).unwrap();
        }
        let refused = give(&mut keys, "one", "more", MAX_GUEST_KEY, &accounts).unwrap_err();
        assert_eq!(refused.code, "too-many-keys");
        // Another party's are counted by themselves.
        give(&mut keys, "other", "more", MAX_GUEST_KEY, &accounts).unwrap();
        for _ in 0..2 {
            give(&mut keys, "one", "key-0", MAX_GUEST_KEY, &accounts).unwrap();
        }
        give(&mut keys, "one", "key-0", 1, &accounts).unwrap();
        give(&mut keys, "one", "more", MAX_GUEST_KEY - 1, &accounts).unwrap();
    }

    #[test]
    fn a_party_s_keys_are_counted_over_all_sessions_until_they_end() {
        let accounts = Accounts::default();
        let mut sessions: Vec<GuestKeys> = Vec::new();
        let fill = |keys: &mut GuestKeys| {
            let most = MOST / (MAX_GUEST_KEY + BESIDE);
            (0..most).try_for_each(|number| {
                give(
                    keys,
                    "one",
                    &format!("key-{number}"),
                    MAX_GUEST_KEY,
                    &accounts,
                )
            })
        };
        let refused = loop {
            let mut keys = GuestKeys::default();
            let filled = fill(&mut keys);
            sessions.push(keys);
            if let Err(refused) = filled {
                break refused;
            }
            assert!(sessions.len() * MOST < 2 * GUEST_KEYS, "no end");
        };
        assert_eq!(refused.code, "too-many-keys");
        // One in place of another counts for what it has more, and here for nothing.
        let first = &mut sessions[0];
        give(first, "one", "key-0", MAX_GUEST_KEY, &accounts).unwrap();
        let mut keys = GuestKeys::default();
        give(&mut keys, "other", "key", MAX_GUEST_KEY, &accounts).unwrap();
        drop(sessions);
        fill(&mut keys).unwrap();
    }
}

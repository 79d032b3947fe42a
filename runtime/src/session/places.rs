//! What a party may have kept for it in all sessions of a process together, by its own account: what
//! one leaves in any number of sessions takes nothing of another's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mc2_protocol::Digest;

/// The approvals of jobs that one party may have waiting in all sessions of a process together.
pub(crate) const APPROVALS: usize = 1024;
/// The bytes of keys for guests that one party may have in all sessions of a process together.
pub(crate) const GUEST_KEYS: usize = 4 << 20;

/// What is counted over all sessions of a process.
#[derive(Clone)]
pub(crate) struct Accounts {
    pub(super) approvals: Arc<Places>,
    pub(super) guest_keys: Arc<Places>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            approvals: Places::of(APPROVALS),
            guest_keys: Places::of(GUEST_KEYS),
        }
    }
}

/// How many places each party has taken, by the digest of its card, of so many that it may have.
pub(super) struct Places {
    most: usize,
    taken: Mutex<HashMap<Digest, usize>>,
}

/// Places that are taken until this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    party: Digest,
    count: usize,
}

impl Places {
    fn of(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
        })
    }

    /// So many places more for this party; `None` where that is more than it may have.
    pub(super) fn take(self: &Arc<Self>, party: Digest, count: usize) -> Option<Place> {
        let mut taken = self.taken();
        let before = taken.get(&party).copied().unwrap_or_default();
        let after = before
            .checked_add(count)
            .filter(|after| *after <= self.most)?;
        taken.insert(party, after);
        Some(Place {
            places: Arc::clone(self),
            party,
            count,
        })
    }

    /// Whether this party may have so many places where it has `of`'s, which then are as many.
    pub(super) fn change(&self, of: &mut Place, count: usize) -> bool {
        let mut taken = self.taken();
        let others = taken.get(&of.party).map_or(0, |all| all - of.count);
        let after = others
            .checked_add(count)
            .filter(|after| *after <= self.most);
        let Some(after) = after else { return false };
        taken.insert(of.party, after);
        of.count = count;
        true
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        // Every change under this lock is one number's.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(count) = taken.get_mut(&self.party) {
            *count -= self.count;
            if *count == 0 {
                taken.remove(&self.party);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_party_has_places_of_its_own_and_gets_back_what_it_let_go_of() {
        let places = Places::of(10);
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let mut held: Vec<_> = [1, 4, 5].map(|count| places.take(one, count)).into();
        assert!(held.iter().all(Option::is_some));
        assert!(places.take(one, 1).is_none() && places.take(one, usize::MAX).is_none());
        assert!(places.take(other, 10).is_some());
        held.pop();
        assert!(places.take(one, 6).is_none());
        assert!(places.take(one, 5).is_some());
        let mut four = held.pop().flatten().unwrap();
        assert!(!places.change(&mut four, 10) && places.change(&mut four, 9));
        assert!(places.take(one, 1).is_none());
        assert!(places.change(&mut four, 2));
        assert!(places.take(one, 7).is_some());
        drop(four);
        drop(held);
        assert!(places.taken().is_empty());
    }
}

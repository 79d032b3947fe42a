//! Places for approvals of jobs, of each party by itself: what one leaves in any number of sessions
//! takes none of another's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mc2_protocol::Digest;

/// The approvals of jobs that one party may have waiting in all sessions of a process together.
pub(crate) const APPROVALS: usize = 1024;

/// How many each party has taken, by the digest of its card.
#[derive(Default)]
pub(crate) struct Places(Mutex<HashMap<Digest, usize>>);

/// A place that is taken until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    party: Digest,
}

impl Places {
    /// A place for one more of this party; `None` where it has as many as it may.
    pub(super) fn take(self: &Arc<Self>, party: Digest) -> Option<Place> {
        let mut taken = self.taken();
        let count = taken.entry(party).or_default();
        if *count >= APPROVALS {
            return None;
        }
        *count += 1;
        Some(Place {
            places: Arc::clone(self),
            party,
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        // Every change under this lock is one number's.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(count) = taken.get_mut(&self.party) {
            *count -= 1;
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
        let places = Arc::new(Places::default());
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let mut held: Vec<_> = (0..APPROVALS).map_while(|_| places.take(one)).collect();
        assert_eq!(held.len(), APPROVALS);
        assert!(places.take(one).is_none());
        assert!(places.take(other).is_some());
        held.pop();
        assert!(places.take(one).is_some());
        drop(held);
        assert!(places.taken().is_empty());
    }
}

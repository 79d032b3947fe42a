//! The challenges this process gave: each is good for one opening of a session.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use mc2_protocol::{documents::control::Challenge, encoding::Hex};

use crate::random;

/// Challenges kept at once. One more pushes out the oldest: no clock can be trusted to age them,
/// and whoever waited that long asks again.
const CHALLENGES: usize = 4096;

/// Those given and not yet taken.
#[derive(Default)]
pub(crate) struct Challenges(Mutex<VecDeque<Challenge>>);

impl Challenges {
    /// A new one.
    pub(crate) fn give(&self) -> Challenge {
        let challenge = Hex(random::bytes());
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() >= CHALLENGES {
            given.pop_front();
        }
        given.push_back(challenge);
        challenge
    }

    /// Whether it is one of this process's and was not taken before.
    pub(crate) fn take(&self, challenge: &Challenge) -> bool {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = given.iter().position(|one| one == challenge);
        found.is_some_and(|at| given.remove(at).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_taken_once_and_only_where_it_was_given() {
        let (one, other) = (Challenges::default(), Challenges::default());
        let challenge = one.give();
        assert!(!other.take(&challenge));
        assert!(one.take(&challenge));
        assert!(!one.take(&challenge));
    }

    #[test]
    fn asking_for_ever_costs_no_memory() {
        let challenges = Challenges::default();
        let first = challenges.give();
        let second = challenges.give();
        for _ in 2..=CHALLENGES {
            challenges.give();
        }
        assert_eq!(challenges.0.lock().unwrap().len(), CHALLENGES);
        assert!(!challenges.take(&first));
        assert!(challenges.take(&second));
    }
}

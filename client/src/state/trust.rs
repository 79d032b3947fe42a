//! Changes to the trust store's file.

use mc2_attestation::TrustStore;

use super::{State, StateError};
use crate::files::{lock, private_folder, write_private};

impl State {
    /// Changes the trust store and writes it as a whole, after every other process that changes it.
    ///
    /// # Errors
    /// What `change` says, or the store cannot be read or written; it is then what it was.
    pub fn change_trust<T, E: From<StateError>>(
        &self,
        change: impl FnOnce(&mut TrustStore) -> Result<T, E>,
    ) -> Result<T, E> {
        private_folder(self.root()).map_err(StateError::from)?;
        super::guard::check(self.root())?;
        let _lock = lock(&self.root().join("trust.lock")).map_err(StateError::from)?;
        let mut trust = self.trusted()?;
        let told = change(&mut trust)?;
        write_private(&self.trust_store(), &trust.to_bytes()).map_err(StateError::from)?;
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of a simulator of this number.
    fn key(number: u8) -> mc2_attestation::SimKey {
        ed25519_dalek::SigningKey::from_bytes(&[number; 32])
            .verifying_key()
            .into()
    }

    #[test]
    fn of_changes_at_the_same_time_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        std::thread::scope(|scope| {
            for number in 1..=16 {
                let state = &state;
                scope.spawn(move || {
                    state
                        .change_trust(|trust| {
                            trust.pin_simulator(key(number));
                            Ok::<_, StateError>(())
                        })
                        .unwrap();
                });
            }
        });
        assert_eq!(state.trusted().unwrap().simulators().len(), 16);
    }

    #[test]
    fn a_change_that_is_refused_leaves_the_store_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        let changed = state.change_trust(|trust| {
            trust.pin_simulator(key(1));
            Err::<(), _>(StateError::NoHome)
        });
        assert!(changed.is_err());
        assert!(state.trusted().unwrap().simulators().is_empty());
    }
}

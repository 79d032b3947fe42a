//! Cards that their parties replaced: kept with the old card's signature over the new one, so that
//! a policy that still names the old one is told from one with a card nobody knows.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mc2_protocol::{Card, PartyName, documents::replacement::Replacement};

use super::{Added, Fingerprint, MAX_LEN, Parties, PartyError};
use crate::{
    files::{failed, read_capped, write_private},
    state::State,
};

/// How the files' names end.
pub(super) const EXTENSION: &str = "next";

impl Parties {
    /// Takes a party's new card in place of its known one, which signed it, once the new card's
    /// fingerprint was compared over another channel.
    ///
    /// # Errors
    /// It has another fingerprint, the old card is not known, a key of it is another card's, or the
    /// system's.
    pub fn replace(
        &mut self,
        state: &State,
        replacement: &Replacement,
        told: &Fingerprint,
    ) -> Result<Added, PartyError> {
        let (old, new) = (replacement.old(), replacement.card());
        let found = Fingerprint::of(new);
        if found != *told {
            return Err(PartyError::Fingerprint {
                name: new.name().clone(),
                expected: *told,
                found,
            });
        }
        if self.others.contains(new) {
            return Ok(Added::Known);
        }
        if !self.others.contains(old) {
            return Err(PartyError::OldUnknown {
                name: old.name().clone(),
                old: Fingerprint::of(old),
                known: self.known_as(old).map(Fingerprint::of),
            });
        }
        let twin = self.all().find(|known| {
            *known != old
                && (known.verifying_key() == new.verifying_key()
                    || known.public_key() == new.public_key())
        });
        if let Some(known) = twin {
            return Err(PartyError::SameKey {
                name: new.name().clone(),
                known: known.name().clone(),
            });
        }
        self.keep_replacement(state, replacement)?;
        write_private(&self.path(new.name()), format!("{new}\n").as_bytes())?;
        self.others.retain(|card| card != old);
        self.others.push(new.clone());
        Ok(Added::New)
    }

    /// Keeps the statement alone: before a card of one's own is replaced.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn keep_replacement(
        &mut self,
        state: &State,
        replacement: &Replacement,
    ) -> Result<PathBuf, PartyError> {
        state.folder("parties")?;
        let path = self.statement(replacement.old());
        write_private(&path, format!("{replacement}\n").as_bytes())?;
        self.replaced.push(replacement.clone());
        Ok(path)
    }

    /// Whether this card was replaced, and by which.
    pub fn replaced_by(&self, card: &Card) -> Option<&Card> {
        let replaced = self.replaced.iter().find(|one| one.old() == card);
        replaced.map(Replacement::card)
    }

    /// The card that this one took the place of, if it did.
    pub fn replaces(&self, card: &Card) -> Option<&Card> {
        let replaced = self.replaced.iter().find(|one| one.card() == card);
        replaced.map(Replacement::old)
    }

    /// Forgets every statement about the party of this name.
    pub(super) fn forget_replaced(&mut self, name: &PartyName) -> Result<(), PartyError> {
        let about = |one: &Replacement| one.old().name() == name;
        for one in self.replaced.iter().filter(|one| about(one)) {
            let path = self.statement(one.old());
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        self.replaced.retain(|one| !about(one));
        Ok(())
    }

    fn statement(&self, old: &Card) -> PathBuf {
        let name = format!("{}.{}.{EXTENSION}", old.name(), old.digest().short());
        self.folder.join(name)
    }

    fn known_as(&self, card: &Card) -> Option<&Card> {
        self.all().find(|known| known.name() == card.name())
    }
}

/// The statement in the file `path`.
pub(super) fn read(path: &Path) -> Result<Replacement, PartyError> {
    let bytes = read_capped(path, MAX_LEN)?;
    let text = String::from_utf8_lossy(&bytes);
    text.parse().map_err(|error| PartyError::Kept {
        path: path.to_owned(),
        reason: format!("{error}"),
    })
}

#[cfg(test)]
mod tests {
    use mc2_protocol::{Identity, policy::Policy};

    use super::*;
    use crate::party::Untrusted;

    struct Known {
        _folder: tempfile::TempDir,
        state: State,
        old: Identity,
        new: Identity,
    }

    impl Known {
        /// A state folder that knows bank-b's old card.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let state = State::at(folder.path().join("mc2"));
            let [old, new] = [(); 2].map(|()| identity("bank-b"));
            let told = Fingerprint::of(old.card());
            let mut parties = Parties::load(&state).unwrap();
            parties.add(&state, old.card(), &told).unwrap();
            Self {
                _folder: folder,
                state,
                old,
                new,
            }
        }

        fn parties(&self) -> Parties {
            Parties::load(&self.state).unwrap()
        }

        fn replacement(&self) -> Replacement {
            Replacement::sign(&self.old, self.new.card()).unwrap()
        }
    }

    fn identity(name: &str) -> Identity {
        Identity::generate(name.parse().unwrap(), &mut crate::random())
    }

    fn policy_of(card: &Card) -> Policy {
        let name = "x".parse().unwrap();
        let text = crate::policy::OneParty {
            name: &name,
            expires: 1,
            tee: mc2_protocol::policy::Tee::Sim,
            card,
            component: &name,
            sha256: &mc2_protocol::Digest::of(b"component"),
            datasets: &[],
            inputs: &[],
            instances: 1,
            outputs: &[],
            runs: 1,
            limits: crate::policy::generous_limits(),
            metering: false,
        }
        .to_toml();
        Policy::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_new_card_takes_its_place_once_its_own_fingerprint_was_compared() {
        let known = Known::new();
        let told = Fingerprint::of(known.new.card());
        let wrong = Fingerprint::of(known.old.card());
        let refused = known
            .parties()
            .replace(&known.state, &known.replacement(), &wrong);
        assert!(matches!(refused, Err(PartyError::Fingerprint { .. })));
        assert_eq!(known.parties().others(), [known.old.card().clone()]);

        let mut parties = known.parties();
        let added = parties.replace(&known.state, &known.replacement(), &told);
        assert_eq!(added.unwrap(), Added::New);
        for parties in [parties, known.parties()] {
            assert_eq!(parties.others(), [known.new.card().clone()]);
            assert_eq!(parties.replaces(known.new.card()), Some(known.old.card()));
        }
        let again = known
            .parties()
            .replace(&known.state, &known.replacement(), &told);
        assert_eq!(again.unwrap(), Added::Known);
    }

    /// Row 26.
    #[test]
    fn a_policy_that_names_the_old_card_is_refused_by_name_even_where_its_digest_is_stated() {
        let known = Known::new();
        let (old, new) = (policy_of(known.old.card()), policy_of(known.new.card()));
        known.parties().check(&old, None).unwrap();
        let told = Fingerprint::of(known.new.card());
        known
            .parties()
            .replace(&known.state, &known.replacement(), &told)
            .unwrap();
        let parties = known.parties();
        parties.check(&new, None).unwrap();
        for stated in [None, Some(old.digest())] {
            let refused = parties.check(&old, stated).unwrap_err();
            assert!(matches!(refused, Untrusted::Replaced { .. }), "{refused}");
            assert!(refused.to_string().contains("another digest"), "{refused}");
        }
    }

    #[test]
    fn a_replacement_of_a_card_that_is_not_known_tells_nothing() {
        let known = Known::new();
        let [stranger, next] = [(); 2].map(|()| identity("bank-b"));
        let replacement = Replacement::sign(&stranger, next.card()).unwrap();
        let told = Fingerprint::of(next.card());
        let refused = known.parties().replace(&known.state, &replacement, &told);
        assert!(matches!(refused, Err(PartyError::OldUnknown { .. })));
        assert_eq!(known.parties().others(), [known.old.card().clone()]);
    }

    #[test]
    fn who_is_forgotten_is_forgotten_with_the_cards_before() {
        let known = Known::new();
        let told = Fingerprint::of(known.new.card());
        let mut parties = known.parties();
        parties
            .replace(&known.state, &known.replacement(), &told)
            .unwrap();
        parties.remove(known.new.card().name()).unwrap();
        let parties = known.parties();
        assert!(parties.others().is_empty());
        assert_eq!(parties.replaced_by(known.old.card()), None);
    }
}

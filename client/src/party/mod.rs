//! The cards of other parties, each known because its fingerprint was compared.
//!
//! A policy carries whole cards, and whoever wrote it chose them. A card is believed only once its
//! fingerprint was compared with its party over another channel; then it is kept in the state
//! folder, and a policy with any other card gets neither a key nor an approval.

mod error;
mod fingerprint;
mod introduction;
mod own;
mod replaced;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mc2_protocol::{
    Card, Digest, PartyName,
    documents::{card::CardError, replacement::Replacement},
    policy::Policy,
};

pub use error::{PartyError, UnknownCard, Untrusted};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use introduction::Introduction;
pub use own::own_party;

use crate::{
    files::{failed, read_capped, write_private_new},
    state::State,
};

const MAX_LEN: usize = 64 * 1024;
const EXTENSION: &str = "card";

/// The cards that are known.
///
/// ```
/// use mc2_client::{
///     party::{Fingerprint, Parties},
///     state::State,
/// };
/// # use mc2_protocol::Identity;
/// # let folder = tempfile::tempdir()?;
/// # let state = State::at(folder.path().join("mc2"));
/// # let bank = Identity::generate("bank-b".parse()?, &mut mc2_client::random());
/// # let typed = bank.card().fingerprint();
///
/// // What the bank told over the telephone, not what its card says of itself.
/// let told: Fingerprint = typed.parse()?;
/// let mut parties = Parties::load(&state)?;
/// parties.add(&state, bank.card(), &told)?;
/// assert_eq!(Parties::load(&state)?.others(), [bank.card().clone()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Parties {
    folder: PathBuf,
    own: Vec<Card>,
    others: Vec<Card>,
    replaced: Vec<Replacement>,
}

/// Whether a card was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is known from now on.
    New,
    /// It was known already.
    Known,
}

impl Parties {
    /// The known cards: those that were added, and those of this person's own identities.
    ///
    /// # Errors
    /// The state folder cannot be read, or holds a card that is none.
    pub fn load(state: &State) -> Result<Self, PartyError> {
        let folder = state.root().join("parties");
        let own = state.identities()?;
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries.map_err(failed("list", &folder))?),
        };
        let (mut others, mut replaced) = (Vec::new(), Vec::new());
        for entry in entries.into_iter().flatten() {
            let path = entry.map_err(failed("list", &folder))?.path();
            match path.extension().and_then(|ending| ending.to_str()) {
                Some(EXTENSION) => others.push(kept(&path)?),
                Some(replaced::EXTENSION) => replaced.push(replaced::read(&path)?),
                _ => {}
            }
        }
        others.sort_by(|a, b| a.name().as_str().cmp(b.name().as_str()));
        Ok(Self {
            folder,
            own: own.iter().map(|one| one.card().clone()).collect(),
            others,
            replaced,
        })
    }

    /// The same, and this card as one of one's own: an identity that lies elsewhere.
    #[must_use]
    pub fn with_own(mut self, card: &Card) -> Self {
        self.own.push(card.clone());
        self
    }

    /// The cards of one's own identities.
    pub fn own(&self) -> &[Card] {
        &self.own
    }

    /// The cards that were added, by name.
    pub fn others(&self) -> &[Card] {
        &self.others
    }

    /// Adds a card whose party told this fingerprint over another channel.
    ///
    /// # Errors
    /// It has another fingerprint, its name or a key of it is another card's, or the system's.
    pub fn add(
        &mut self,
        state: &State,
        card: &Card,
        told: &Fingerprint,
    ) -> Result<Added, PartyError> {
        let found = Fingerprint::of(card);
        if found != *told {
            return Err(PartyError::Fingerprint {
                name: card.name().clone(),
                expected: *told,
                found,
            });
        }
        if self.knows(card) {
            return Ok(Added::Known);
        }
        match self.clash(card) {
            Some(known) if known.name() == card.name() => {
                return Err(PartyError::OtherKey {
                    name: card.name().clone(),
                    expected: Fingerprint::of(known),
                    found,
                });
            }
            Some(known) => {
                return Err(PartyError::SameKey {
                    name: card.name().clone(),
                    known: known.name().clone(),
                });
            }
            None => {}
        }
        state.folder("parties")?;
        // Where another process added one of this name meanwhile, that one stays.
        write_private_new(&self.path(card.name()), format!("{card}\n").as_bytes())?;
        self.others.push(card.clone());
        Ok(Added::New)
    }

    /// Forgets the card of this name.
    ///
    /// # Errors
    /// There is none, it is one's own, or the system's.
    pub fn remove(&mut self, name: &PartyName) -> Result<(), PartyError> {
        let name = name.clone();
        if !self.others.iter().any(|card| *card.name() == name) {
            let own = self.own.iter().any(|card| *card.name() == name);
            return Err(if own {
                PartyError::Own { name }
            } else {
                PartyError::Unknown { name }
            });
        }
        self.forget_replaced(&name)?;
        let path = self.path(&name);
        fs::remove_file(&path).map_err(failed("remove", &path))?;
        self.others.retain(|card| *card.name() != name);
        Ok(())
    }

    /// Checks that keys may be released and approvals given under a policy as far as its cards go:
    /// every one is known, or the policy is the one whose digest somebody states who knows it.
    ///
    /// A card that contradicts a known one is refused either way.
    ///
    /// # Errors
    /// [`Untrusted`].
    pub fn check(&self, policy: &Policy, stated: Option<&Digest>) -> Result<(), Untrusted> {
        if let Some(expected) = stated.filter(|stated| *stated != policy.digest()) {
            return Err(Untrusted::OtherPolicy {
                expected: *expected,
                found: *policy.digest(),
            });
        }
        let brokers = policy
            .datasets()
            .iter()
            .filter_map(|set| set.broker.as_ref());
        let mut unknown: Vec<&Card> = Vec::new();
        for card in policy.parties().iter().chain(brokers) {
            if let Some(new) = self.replaced_by(card) {
                return Err(Untrusted::Replaced {
                    name: card.name().clone(),
                    old: Fingerprint::of(card),
                    new: Fingerprint::of(new),
                });
            }
            if self.knows(card) || unknown.contains(&&**card) {
                continue;
            }
            // A broker is as known as its owner, who signed its card: the policy was read by that.
            let is_broker = policy.party(card.digest()).is_none();
            let name = card.name().clone();
            match self.clash(card) {
                Some(known) if *known.name() == name => {
                    return Err(Untrusted::OtherKey {
                        name,
                        expected: Fingerprint::of(known),
                        found: Fingerprint::of(card),
                    });
                }
                Some(known) => {
                    let known = known.name().clone();
                    return Err(Untrusted::SameKey { name, known });
                }
                None if is_broker => {}
                None => unknown.push(card),
            }
        }
        if unknown.is_empty() || stated.is_some() {
            return Ok(());
        }
        let cards = unknown.into_iter();
        Err(Untrusted::Unknown {
            cards: cards
                .map(|card| UnknownCard {
                    name: card.name().clone(),
                    fingerprint: Fingerprint::of(card),
                    looks_like: self.looks_like(card.name()).cloned(),
                })
                .collect(),
        })
    }

    /// A known party whose name is easily taken for this one.
    pub fn looks_like(&self, name: &PartyName) -> Option<&PartyName> {
        let mut names = self.all().map(Card::name);
        names.find(|known| *known != name && skeleton(known) == skeleton(name))
    }

    fn all(&self) -> impl Iterator<Item = &Card> {
        self.own.iter().chain(&self.others)
    }

    fn knows(&self, card: &Card) -> bool {
        self.all().any(|known| known == card)
    }

    /// A known card that cannot be another party's if this one is known too.
    fn clash(&self, card: &Card) -> Option<&Card> {
        let same_name = self.all().find(|known| known.name() == card.name());
        same_name.or_else(|| {
            self.all().find(|known| {
                known.verifying_key() == card.verifying_key()
                    || known.public_key() == card.public_key()
            })
        })
    }

    fn path(&self, name: &PartyName) -> PathBuf {
        self.folder.join(format!("{name}.{EXTENSION}"))
    }
}

/// A name with one letter for all that look like it.
fn skeleton(name: &PartyName) -> String {
    let name = name.as_str().replace('-', "");
    let name = name
        .replace("rn", "m")
        .replace("vv", "w")
        .replace("cl", "d");
    let alike = |c| match c {
        '0' => 'o',
        '1' | 'i' => 'l',
        '2' => 'z',
        '5' => 's',
        '8' => 'b',
        c => c,
    };
    name.chars().map(alike).collect()
}

/// The card in the file `path`, or, where a party is named, that party's of the policy in it.
///
/// # Errors
/// It is neither, or cannot be read.
pub fn read_card(path: &Path, name: Option<&PartyName>) -> Result<Card, PartyError> {
    let limit = name.map_or(MAX_LEN, |_| mc2_protocol::policy::MAX_LEN);
    let bytes = read_capped(path, limit)?;
    let Some(name) = name else {
        return parse(&bytes).map_err(|source| PartyError::Card {
            path: path.to_owned(),
            source,
        });
    };
    let policy = Policy::parse(&bytes).map_err(|source| PartyError::Policy {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let found = policy.party_by_name(name.as_str());
    found.map(|card| Card::clone(card)).ok_or_else(|| {
        let parties = policy.parties().iter().map(|card| card.name().as_str());
        PartyError::NotInPolicy {
            path: path.to_owned(),
            name: name.clone(),
            parties: parties.collect::<Vec<_>>().join(", "),
        }
    })
}

fn kept(path: &Path) -> Result<Card, PartyError> {
    let bytes = read_capped(path, MAX_LEN)?;
    let refused = |reason: String| PartyError::Kept {
        path: path.to_owned(),
        reason,
    };
    let card = parse(&bytes).map_err(|error| refused(error.to_string()))?;
    if path
        .file_stem()
        .is_none_or(|name| name != card.name().as_str())
    {
        return Err(refused(format!("it is the card of {}", card.name())));
    }
    Ok(card)
}

fn parse(bytes: &[u8]) -> Result<Card, CardError> {
    std::str::from_utf8(bytes)
        .map_err(|_| CardError::Text)?
        .parse()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mc2_protocol::Identity;

    fn identity(name: &str) -> Identity {
        Identity::generate(name.parse().unwrap(), &mut crate::random())
    }

    fn state() -> (tempfile::TempDir, State) {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        (folder, state)
    }

    #[test]
    fn a_fingerprint_is_whole_or_none() {
        let card = identity("bob").card().clone();
        let told = card.fingerprint();
        let read: Fingerprint = told.parse().unwrap();
        assert_eq!(read, Fingerprint::of(&card));
        assert_eq!(read.to_string(), told);
        let shouted = told.to_uppercase().replace(' ', ":");
        assert_eq!(shouted.parse::<Fingerprint>().unwrap(), read);
        for broken in ["", "8d1f", &told[..45], &format!("{told} 00"), "mc2card1"] {
            let error = broken.parse::<Fingerprint>().unwrap_err().to_string();
            assert!(error.contains("40 hexadecimal digits"), "{error}");
        }
    }

    #[test]
    fn a_card_is_known_only_by_the_fingerprint_that_was_told() {
        let (_folder, state) = state();
        let (bob, eve) = (identity("bob"), identity("bob"));
        let mut parties = Parties::load(&state).unwrap();
        let told = Fingerprint::of(bob.card());
        assert!(matches!(
            parties.add(&state, eve.card(), &told),
            Err(PartyError::Fingerprint { .. })
        ));
        assert!(Parties::load(&state).unwrap().others().is_empty());
        let add = |parties: &mut Parties| parties.add(&state, bob.card(), &told).unwrap();
        assert_eq!(add(&mut parties), Added::New);
        assert_eq!(add(&mut parties), Added::Known);

        let mut again = Parties::load(&state).unwrap();
        assert_eq!(again.others(), [bob.card().clone()]);
        again.remove(bob.card().name()).unwrap();
        assert!(matches!(
            again.remove(bob.card().name()),
            Err(PartyError::Unknown { .. })
        ));
        assert!(Parties::load(&state).unwrap().others().is_empty());
    }

    #[test]
    fn no_name_has_two_keys_and_no_key_two_names() {
        let (_folder, state) = state();
        let me = state.make_identity("me".parse().unwrap()).ok().unwrap().0;
        let mut parties = Parties::load(&state).unwrap();
        let mut add = |card: &Card| parties.add(&state, card, &Fingerprint::of(card));
        let bob = identity("bob");
        add(bob.card()).unwrap();
        for other in [identity("bob"), identity("me")] {
            let error = add(other.card()).unwrap_err();
            assert!(matches!(error, PartyError::OtherKey { .. }), "{error}");
        }
        let secret = bob.to_text();
        let seeds = Identity::from_text(&secret).ok().unwrap();
        let renamed = Identity::from_seeds(
            "bobby".parse().unwrap(),
            &mc2_protocol::SecretKey::from_bytes(seeds.signing_key().to_bytes()),
            mc2_protocol::SecretKey::generate(&mut crate::random()),
        );
        let error = add(renamed.card()).unwrap_err();
        assert!(matches!(error, PartyError::SameKey { .. }), "{error}");
        assert_eq!(add(me.card()).unwrap(), Added::Known);
    }

    #[test]
    fn a_name_that_looks_like_a_known_one_is_noticed() {
        let (_folder, state) = state();
        let mut parties = Parties::load(&state).unwrap();
        let bank = identity("bank-1");
        let told = Fingerprint::of(bank.card());
        parties.add(&state, bank.card(), &told).unwrap();
        let looks_like = |name: &str| parties.looks_like(&name.parse().unwrap()).is_some();
        assert!(looks_like("bank-l") && looks_like("banki"));
        assert!(!looks_like("bank-1") && !looks_like("bank-2"));
    }

    #[test]
    fn a_kept_card_under_another_name_is_refused() {
        let (_folder, state) = state();
        let bob = identity("bob");
        let mut parties = Parties::load(&state).unwrap();
        let told = Fingerprint::of(bob.card());
        parties.add(&state, bob.card(), &told).unwrap();
        let path = |name: &str| state.root().join("parties").join(name);
        fs::rename(path("bob.card"), path("alice.card")).unwrap();
        assert!(matches!(
            Parties::load(&state),
            Err(PartyError::Kept { .. })
        ));
    }
}

//! The sessions that were opened, and for whom: who asks finds theirs without a look at the others.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use mc2_protocol::{
    Digest,
    encoding::{Base64, Hex},
    policy::Policy,
};
use serde::{Deserialize, Serialize};

use super::job::Job;

/// The runtime process that opened a session, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owner {
    pub(crate) runtime: Hex<16>,
    /// Digest of the policy.
    pub(crate) tenant: Digest,
}

/// What passed through the host when a session was opened.
pub(crate) struct Opened {
    /// The policy's exact bytes.
    pub(crate) policy: Bytes,
    /// The session record's exact bytes.
    pub(crate) record: Bytes,
}

/// What is told of a session in a list.
#[derive(Clone, Debug)]
pub(crate) struct SessionEntry {
    /// Sessions are numbered in the order they were opened.
    pub(crate) number: u64,
    pub(crate) session: Digest,
    /// The policy's digest.
    pub(crate) policy: Digest,
    /// The policy's name.
    pub(crate) name: String,
    /// Unix time in seconds, by the host's clock.
    pub(crate) opened: u64,
    /// Whether its runtime is gone.
    pub(crate) over: bool,
}

/// What is told of one session.
#[derive(Clone, Debug)]
pub(crate) struct SessionKept {
    pub(crate) entry: SessionEntry,
    /// The session record's exact bytes.
    pub(crate) record: Bytes,
    /// The policy's exact bytes.
    pub(crate) policy: Bytes,
}

/// A session as it is recorded.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    pub(super) owner: Owner,
    pub(super) number: u64,
    pub(super) opened: u64,
    pub(super) record: Base64,
}

/// A policy that sessions were opened for; all of them share it.
pub(super) struct PolicyKept {
    bytes: Bytes,
    name: String,
    /// Digests of the cards it names.
    cards: Vec<Digest>,
    /// How many of them are parties'.
    parties: usize,
}

impl PolicyKept {
    pub(super) fn new(bytes: Bytes) -> Self {
        // One that a runtime took and this host does not understand is nobody's to find.
        let policy = Policy::parse(&bytes).ok();
        Self {
            name: policy
                .as_ref()
                .map_or_else(String::new, |policy| policy.name().to_string()),
            cards: policy.as_ref().map_or_else(Vec::new, cards),
            parties: policy.as_ref().map_or(0, |policy| policy.parties().len()),
            bytes,
        }
    }

    /// Whether it names one card.
    pub(super) fn is_of_one_party(&self) -> bool {
        self.parties == 1
    }

    /// Whether it names this card.
    pub(super) fn names(&self, card: &Digest) -> bool {
        self.cards.contains(card)
    }
}

/// The cards that a policy gives a voice: its parties' and their brokers', each once.
fn cards(policy: &Policy) -> Vec<Digest> {
    let brokers = policy.datasets().iter();
    let brokers = brokers.filter_map(|dataset| dataset.broker.as_ref());
    let mut cards = Vec::new();
    for card in policy.parties().iter().chain(brokers) {
        if !cards.contains(card.digest()) {
            cards.push(*card.digest());
        }
    }
    cards
}

/// One session, and those of its jobs that have not ended.
pub(super) struct Session {
    pub(super) owner: Owner,
    pub(super) number: u64,
    opened: u64,
    record: Bytes,
    pub(super) policy: Arc<PolicyKept>,
    pub(super) over: bool,
    /// Whether a job was ever announced in it.
    pub(super) used: bool,
    pub(super) running: BTreeMap<u64, Arc<Job>>,
}

impl Session {
    pub(super) fn new(recorded: Recorded, policy: Arc<PolicyKept>) -> Self {
        Self {
            owner: recorded.owner,
            number: recorded.number,
            opened: recorded.opened,
            record: recorded.record.0.into(),
            policy,
            over: false,
            used: false,
            running: BTreeMap::new(),
        }
    }

    fn entry(&self, session: Digest) -> SessionEntry {
        SessionEntry {
            number: self.number,
            session,
            policy: self.owner.tenant,
            name: self.policy.name.clone(),
            opened: self.opened,
            over: self.over,
        }
    }
}

/// All sessions, found by digest, by number and by card.
#[derive(Default)]
pub(super) struct Sessions {
    pub(super) by_digest: HashMap<Digest, Session>,
    pub(super) policies: HashMap<Digest, Arc<PolicyKept>>,
    numbered: BTreeMap<u64, Digest>,
    by_card: HashMap<Digest, BTreeSet<u64>>,
    by_runtime: HashMap<Hex<16>, BTreeSet<u64>>,
}

impl Sessions {
    /// The number of the next one.
    pub(super) fn next(&self) -> u64 {
        self.numbered
            .last_key_value()
            .map_or(1, |(last, _)| last + 1)
    }

    /// Adds a session that is not there.
    pub(super) fn insert(&mut self, digest: Digest, session: Session) {
        let number = session.number;
        self.numbered.insert(number, digest);
        for card in &session.policy.cards {
            self.by_card.entry(*card).or_default().insert(number);
        }
        let own = self.by_runtime.entry(session.owner.runtime).or_default();
        own.insert(number);
        self.by_digest.insert(digest, session);
    }

    /// Forgets a session, and its policy if it was the last under it, which is then said.
    pub(super) fn remove(&mut self, digest: &Digest) -> Option<(Session, bool)> {
        let session = self.by_digest.remove(digest)?;
        self.numbered.remove(&session.number);
        for card in &session.policy.cards {
            take(&mut self.by_card, card, session.number);
        }
        take(&mut self.by_runtime, &session.owner.runtime, session.number);
        // One is in the table of policies, one in this session.
        let last = Arc::strong_count(&session.policy) <= 2;
        if last {
            self.policies.remove(&session.owner.tenant);
        }
        Some((session, last))
    }

    /// Up to `most` sessions after number `after`, oldest first; where a card is stated, those
    /// whose policy names it.
    pub(super) fn list(&self, card: Option<&Digest>, after: u64, most: usize) -> Vec<SessionEntry> {
        let Some(first) = after.checked_add(1) else {
            return Vec::new();
        };
        let entry = |number: &u64| {
            let digest = self.numbered.get(number)?;
            Some(self.by_digest.get(digest)?.entry(*digest))
        };
        match card {
            None => self
                .numbered
                .range(first..)
                .filter_map(|(number, _)| entry(number))
                .take(most)
                .collect(),
            Some(card) => self
                .by_card
                .get(card)
                .into_iter()
                .flat_map(|own| own.range(first..))
                .filter_map(entry)
                .take(most)
                .collect(),
        }
    }

    /// The sessions that a runtime process opened.
    pub(super) fn of_runtime(&self, runtime: Hex<16>) -> Vec<Digest> {
        let numbers = self.by_runtime.get(&runtime).into_iter().flatten();
        numbers
            .filter_map(|number| self.numbered.get(number).copied())
            .collect()
    }

    pub(super) fn kept(&self, digest: &Digest) -> Option<SessionKept> {
        let session = self.by_digest.get(digest)?;
        Some(SessionKept {
            entry: session.entry(*digest),
            record: session.record.clone(),
            policy: session.policy.bytes.clone(),
        })
    }
}

fn take<K: std::hash::Hash + Eq>(of: &mut HashMap<K, BTreeSet<u64>>, key: &K, number: u64) {
    if let Some(numbers) = of.get_mut(key) {
        numbers.remove(&number);
        if numbers.is_empty() {
            of.remove(key);
        }
    }
}

/// Unix time in seconds, by this machine's clock.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

//! The sessions that were opened, and for whom: who asks finds theirs without a look at the others.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use http::StatusCode;
use mc2_protocol::{
    Digest,
    encoding::{Base64, Hex},
};
use serde::{Deserialize, Serialize};

use super::{
    awaited::Awaited,
    job::Job,
    policies::{Needed, PolicyKept},
};
use crate::{config::Quota, refusal::Refusal};

/// Seconds after which who found as many sessions as may be may ask again.
const FULL: u32 = 60;

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
    /// Digest of the card that opened it.
    pub(crate) opener: Digest,
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
    pub(super) opener: Digest,
    pub(super) record: Base64,
}

/// One session, and those of its jobs that have not ended.
pub(super) struct Session {
    pub(super) owner: Owner,
    pub(super) number: u64,
    opened: u64,
    opener: Digest,
    pub(super) policy: Arc<PolicyKept>,
    over: Option<Over>,
    /// Whether its runtime has it no more, though it goes on until its receipts are stored.
    ended: bool,
    pub(super) running: BTreeMap<u64, Arc<Job>>,
    /// Those who wait for jobs that were not announced yet.
    pub(super) awaited: Awaited,
}

impl Session {
    pub(super) fn new(recorded: &Recorded, policy: Arc<PolicyKept>, over: Option<Over>) -> Self {
        Self {
            owner: recorded.owner,
            number: recorded.number,
            opened: recorded.opened,
            opener: recorded.opener,
            policy,
            over,
            ended: false,
            running: BTreeMap::new(),
            awaited: Awaited::default(),
        }
    }

    fn entry(&self, session: Digest) -> SessionEntry {
        SessionEntry {
            number: self.number,
            session,
            policy: self.owner.tenant,
            name: self.policy.name.clone(),
            opened: self.opened,
            over: self.over.is_some(),
        }
    }

    /// That it is over, where it is.
    pub(super) const fn over(&self) -> Option<Over> {
        self.over
    }

    /// Whether its runtime has it no more.
    pub(super) const fn was_ended(&self) -> bool {
        self.ended
    }

    /// Whether its runtime has it no more, and it goes on until its receipts are stored.
    pub(super) fn is_ending(&self) -> bool {
        self.ended && !self.over.is_some_and(|over| over.ended)
    }
}

/// That a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over {
    /// Unix time in seconds, by the host's clock.
    pub(super) since: u64,
    /// Whether it was ended: a runtime that is gone may come back, and has it no more.
    pub(super) ended: bool,
}

/// A policy, and how many sessions were opened under it.
struct Shared {
    policy: Arc<PolicyKept>,
    sessions: usize,
}

/// All sessions, found by digest, by number and by card.
#[derive(Default)]
pub(super) struct Sessions {
    pub(super) by_digest: HashMap<Digest, Session>,
    policies: HashMap<Digest, Shared>,
    /// Those whose runtime lives.
    open: BTreeSet<u64>,
    /// Counts sessions that were opened or found again.
    changes: u64,
    /// The highest number that was ever given.
    pub(super) last: u64,
    numbered: BTreeMap<u64, Digest>,
    /// How many are open, or being opened, that each card opened.
    by_opener: HashMap<Digest, usize>,
    /// How many are being opened.
    opening: usize,
    by_card: HashMap<Digest, BTreeSet<u64>>,
    by_runtime: HashMap<Hex<16>, BTreeSet<u64>>,
}

impl Sessions {
    /// The number of the next one: never one that was given before, so that who lists sessions after a
    /// number misses none.
    pub(super) const fn next(&self) -> u64 {
        self.last + 1
    }

    /// A policy that sessions were opened under.
    pub(super) fn policy(&self, digest: &Digest) -> Option<Arc<PolicyKept>> {
        let shared = self.policies.get(digest)?;
        Some(Arc::clone(&shared.policy))
    }

    /// Adds a session that is not there.
    pub(super) fn insert(&mut self, digest: Digest, session: Session) {
        let number = session.number;
        self.last = self.last.max(number);
        self.numbered.insert(number, digest);
        for card in &session.policy.cards {
            self.by_card.entry(*card).or_default().insert(number);
        }
        let own = self.by_runtime.entry(session.owner.runtime).or_default();
        own.insert(number);
        let shared = self.policies.entry(session.owner.tenant);
        let shared = shared.or_insert_with(|| Shared {
            policy: Arc::clone(&session.policy),
            sessions: 0,
        });
        shared.sessions += 1;
        if session.over.is_none() {
            self.open.insert(number);
            self.changes += 1;
            *self.by_opener.entry(session.opener).or_default() += 1;
        }
        self.by_digest.insert(digest, session);
    }

    /// Forgets a session, and its policy if it was the last under it, which is then said.
    pub(super) fn remove(&mut self, digest: &Digest) -> Option<(Session, bool)> {
        let session = self.by_digest.remove(digest)?;
        self.numbered.remove(&session.number);
        if self.open.remove(&session.number) {
            self.let_go(&session.opener);
        }
        for card in &session.policy.cards {
            take(&mut self.by_card, card, session.number);
        }
        take(&mut self.by_runtime, &session.owner.runtime, session.number);
        let mut last = false;
        if let Some(shared) = self.policies.get_mut(&session.owner.tenant) {
            shared.sessions -= 1;
            last = shared.sessions == 0;
        }
        if last {
            self.policies.remove(&session.owner.tenant);
        }
        Some((session, last))
    }

    /// Notes that the runtime of a session has it no more.
    pub(super) fn note_ended(&mut self, digest: &Digest) {
        if let Some(session) = self.by_digest.get_mut(digest) {
            session.ended = true;
        }
    }

    /// Notes that a session is over, or goes on; whether that is news. One that was ended stays over.
    pub(super) fn set_over(&mut self, digest: &Digest, over: Option<Over>) -> bool {
        let Some(session) = self.by_digest.get_mut(digest) else {
            return false;
        };
        let was = session.over;
        if was.is_some_and(|was| was.ended) {
            return false;
        }
        if was.is_some() && over.is_some_and(|over| over.ended) {
            session.over = over;
            return true;
        }
        let news = was.is_some() != over.is_some();
        if news {
            session.over = over;
            session.awaited.wake_all();
            let (number, opener) = (session.number, session.opener);
            if over.is_some() {
                self.open.remove(&number);
                self.let_go(&opener);
            } else {
                self.open.insert(number);
                self.changes += 1;
                *self.by_opener.entry(opener).or_default() += 1;
            }
        }
        news
    }

    /// Looks whether there is room for one more of a card.
    ///
    /// # Errors
    /// As many are kept as may be, or open that this card opened.
    pub(super) fn check_room(&self, opener: &Digest, quota: &Quota) -> Result<(), Refusal> {
        let (kept, most) = (self.by_digest.len() + self.opening, quota.sessions);
        if kept >= most {
            return Err(full(format!(
                "{kept} sessions are kept here, open or over, which is as many as may be"
            )));
        }
        let open = self.by_opener.get(opener).copied().unwrap_or(0);
        if quota.sessions_of_card.is_some_and(|most| open >= most) {
            return Err(full(format!(
                "{open} sessions are open that this card opened, which is as many as may be"
            )));
        }
        Ok(())
    }

    /// Takes room for one that a card is about to open, until it is let go.
    pub(super) fn reserve(&mut self, opener: &Digest) {
        self.opening += 1;
        *self.by_opener.entry(*opener).or_default() += 1;
    }

    /// Lets the room go that was reserved.
    pub(super) fn unreserve(&mut self, opener: &Digest) {
        self.opening -= 1;
        self.let_go(opener);
    }

    fn let_go(&mut self, opener: &Digest) {
        if let Some(open) = self.by_opener.get_mut(opener) {
            *open -= 1;
            if *open == 0 {
                self.by_opener.remove(opener);
            }
        }
    }

    /// Those whose runtime lives, oldest first.
    pub(super) fn open(&self) -> impl Iterator<Item = (&Digest, &Session)> {
        let digests = self.open.iter().filter_map(|it| self.numbered.get(it));
        digests.filter_map(|digest| self.by_digest.get_key_value(digest))
    }

    /// What open sessions need.
    pub(super) fn needed(&self) -> Needed {
        let policies = self.open().map(|(_, session)| {
            let policy = Arc::clone(&session.policy);
            (session.owner.tenant, policy)
        });
        Needed {
            changes: self.changes,
            policies: policies.collect(),
            since: self.open().map(|(_, session)| session.opened).min(),
        }
    }

    /// Looks again at what open sessions need, where one was opened since.
    pub(super) fn refresh(&self, needed: &mut Needed) {
        if needed.changes != self.changes {
            *needed = self.needed();
        }
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

    pub(super) fn entry(&self, digest: &Digest) -> Option<SessionEntry> {
        Some(self.by_digest.get(digest)?.entry(*digest))
    }
}

fn full(message: String) -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "quota", message).later(FULL)
}

fn take<K: std::hash::Hash + Eq>(of: &mut HashMap<K, BTreeSet<u64>>, key: &K, number: u64) {
    if let Some(numbers) = of.get_mut(key) {
        numbers.remove(&number);
        if numbers.is_empty() {
            of.remove(key);
        }
    }
}

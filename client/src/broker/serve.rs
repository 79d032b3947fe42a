//! Serving: looking at hosts again and again for sessions that name this broker.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use futures_util::future::join_all;
use mc2_protocol::{Digest, documents::hosting::SessionState};

use super::{
    custody::InCustody,
    error::BrokerError,
    folder::Broker,
    grant::{Evidence, Granted, Manner, Outstanding, Read},
};
use crate::{
    http::HostAddress,
    remote::Remote,
    session::SessionError,
    simulator,
    state::ledger::{Entry, Refusal},
    terminal,
};

/// So many sessions of one host are looked at in turn.
const MAX_SESSIONS: usize = 1024;
/// For so long a session that was refused is not appraised again.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// After so long evidence is asked for anew. It is appraised at each visit, by what is trusted then.
const EVIDENCE_FOR: Duration = Duration::from_secs(60);
/// One visit of a session that takes longer is given up, for the sake of the others.
const VISIT: Duration = Duration::from_secs(120);
/// So many refusals are written in an hour; what strangers and hosts make up does not fill a disk.
const MAX_REFUSALS: u32 = 200;
/// Sequence numbers of a session that nothing was said to for so long are forgotten.
const NUMBERS_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
/// How many refusals that were written are known, so as to write each once.
const MAX_KNOWN: usize = 10_000;
const MAX_REASON: usize = 2000;

/// Where a broker looks, and how.
pub struct Watch {
    /// The hosts.
    pub hosts: Vec<Watched>,
    /// How sessions are looked at.
    pub manner: Manner,
    /// How long is waited after all of a host's sessions were looked at.
    pub pause: Duration,
}

/// A host that is watched.
pub struct Watched {
    /// Where it is.
    pub address: HostAddress,
    /// The connection to it.
    pub remote: Remote,
    /// Sessions to look at whether it lists them or not, and their policies.
    pub sessions: Vec<(Digest, Digest)>,
}

/// What a broker that serves tells of itself.
#[derive(Debug)]
pub enum News<'a> {
    /// Something was granted; it stands in the ledger.
    Granted {
        /// To which session.
        session: Digest,
        /// What.
        granted: Granted,
    },
    /// The key of an output was taken into custody; it stands in the ledger.
    Kept {
        /// Of which session.
        session: Digest,
        /// Which.
        kept: &'a InCustody,
    },
    /// Something was refused; where there was room, it stands in the ledger.
    Refused {
        /// To which session.
        session: Digest,
        /// Why.
        error: &'a BrokerError,
    },
    /// Something does not work: a host, or this broker.
    Trouble {
        /// Which host.
        host: &'a HostAddress,
        /// What.
        error: &'a BrokerError,
    },
}

/// One who is told what happens.
pub type Tell<'a> = dyn Fn(News<'_>) + 'a;

struct Serving<'a> {
    broker: &'a Broker,
    manner: Manner,
    tell: &'a Tell<'a>,
    refusals: RefCell<Refusals>,
    outstanding: RefCell<Outstanding>,
}

/// What is known of a session.
#[derive(Default)]
struct Known {
    evidence: Option<(Evidence, Instant)>,
    read: Read,
    not_before: Option<Instant>,
}

/// Refusals that were written.
#[derive(Default)]
struct Refusals {
    known: BTreeSet<(Digest, &'static str)>,
    since: Option<Instant>,
    written: u32,
}

impl Broker {
    /// Serves until it is stopped: it never returns of itself.
    ///
    /// # Errors
    /// Another process serves it, or the ledger is broken, or was rolled back, before anything is
    /// served.
    pub async fn serve(&self, watch: &Watch, tell: &Tell<'_>) -> Result<(), BrokerError> {
        let _alone = self.folder.serving()?;
        if let Some(since) = SystemTime::now().checked_sub(NUMBERS_FOR) {
            self.folder.state().forget_numbers(since)?;
        }
        // All of it, once: an index that fits says nothing of the lines before.
        self.folder.ledger()?.verify()?;
        let outstanding = RefCell::new(Outstanding::of(&self.folder.ledger()?)?);
        let serving = Serving {
            broker: self,
            manner: watch.manner,
            tell,
            refusals: RefCell::default(),
            outstanding,
        };
        let hosts = watch.hosts.iter();
        join_all(hosts.map(|host| serving.watch(host, watch.pause))).await;
        Ok(())
    }
}

impl Serving<'_> {
    async fn watch(&self, host: &Watched, pause: Duration) {
        let mut known: BTreeMap<Digest, Known> = BTreeMap::new();
        let mut trouble = None;
        loop {
            let (listed, failed) = self.listed(host).await;
            let sessions: BTreeSet<_> = listed.iter().map(|(session, _)| *session).collect();
            known.retain(|session, _| sessions.contains(session));
            let mut now = failed;
            for (session, policy) in listed {
                let seen = known.entry(session).or_default();
                let visited = self.visit(host, &session, &policy, seen).await;
                now = now.or(visited.err());
            }
            // Told once, and again when it is another.
            let text = now.as_ref().map(ToString::to_string);
            if let Some(error) = now.as_ref().filter(|_| text != trouble) {
                let host = &host.address;
                (self.tell)(News::Trouble { host, error });
            }
            trouble = text;
            tokio::time::sleep(pause).await;
        }
    }

    /// The sessions to look at, and the policies they are said to have; those that were named even
    /// where the host lists none.
    async fn listed(&self, host: &Watched) -> (Vec<(Digest, Digest)>, Option<BrokerError>) {
        let mut all = host.sessions.clone();
        let failed = self.list(host, &mut all).await.err();
        all.truncate(MAX_SESSIONS);
        (all, failed)
    }

    async fn list(
        &self,
        host: &Watched,
        all: &mut Vec<(Digest, Digest)>,
    ) -> Result<(), BrokerError> {
        let card = self.broker.card().digest();
        let listed = host.remote.sessions(card).await;
        for one in listed.map_err(SessionError::from)? {
            let known = all.iter().any(|(session, _)| *session == one.session);
            if one.state == SessionState::Open && !known {
                all.push((one.session, one.policy));
            }
        }
        Ok(())
    }

    /// Looks at one session. What is refused is written down; what does not work is returned.
    async fn visit(
        &self,
        host: &Watched,
        session: &Digest,
        policy: &Digest,
        known: &mut Known,
    ) -> Result<(), BrokerError> {
        if known.not_before.is_some_and(|until| Instant::now() < until) {
            return Ok(());
        }
        let visit = self.grant(host, session, policy, known);
        let Ok(visited) = tokio::time::timeout(VISIT, visit).await else {
            known.not_before = Some(Instant::now() + REFUSED_FOR);
            return Ok(());
        };
        let Err(error) = visited else { return Ok(()) };
        if !is_refusal(&error) {
            // What came of the session is asked again from the start.
            known.evidence = None;
            return Err(error);
        }
        if known.evidence.is_none() {
            known.not_before = Some(Instant::now() + REFUSED_FOR);
        }
        let written = self.write_down(session, policy, &error);
        written?;
        Ok(())
    }

    async fn grant(
        &self,
        host: &Watched,
        session: &Digest,
        policy: &Digest,
        known: &mut Known,
    ) -> Result<(), BrokerError> {
        let (broker, manner) = (self.broker, self.manner);
        let fresh = |since: &Instant| since.elapsed() < EVIDENCE_FOR;
        let kept = known.evidence.take().filter(|(_, since)| fresh(since));
        let (evidence, since) = match kept {
            Some(kept) => kept,
            None => {
                let now = SystemTime::now();
                let asked = broker.ask(&host.remote, session, policy, now).await?;
                (asked, Instant::now())
            }
        };
        // What is trusted, accepted and known may have changed since the last visit.
        let state = broker.folder.state();
        let trust = simulator::trusted(state, &host.address, manner.allow_simulated, None)?;
        let now = SystemTime::now();
        let appraised = broker.appraise(&host.remote, &evidence, policy, &trust, manner, now)?;
        known.evidence = Some((evidence, since));
        let read = &mut known.read;
        let collected = broker.collect(&host.remote, &appraised, &trust, manner, read);
        let collected = collected.await;
        for kept in collected.iter().flatten() {
            let session = *session;
            (self.tell)(News::Kept { session, kept });
        }
        let granting = broker.grant(&host.remote, &appraised, manner, &self.outstanding);
        let (granted, refused) = granting.await?;
        for granted in granted {
            let session = *session;
            (self.tell)(News::Granted { session, granted });
        }
        match refused {
            Some(refused) => Err(refused),
            None => collected.map(|_| ()),
        }
    }

    fn write_down(
        &self,
        session: &Digest,
        policy: &Digest,
        error: &BrokerError,
    ) -> Result<(), BrokerError> {
        if !self.refusals.borrow_mut().is_new(session, error.code()) {
            return Ok(());
        }
        let session = *session;
        (self.tell)(News::Refused { session, error });
        let reason = terminal::printable(&crate::cli::chain(error));
        let entry = Entry::Refusal(Refusal {
            session,
            policy: *policy,
            code: error.code().to_owned(),
            reason: reason.chars().take(MAX_REASON).collect(),
        });
        self.broker
            .folder
            .ledger()?
            .note(entry, SystemTime::now())?;
        Ok(())
    }
}

impl Refusals {
    /// Whether this is to be written: the first of its kind, and there is room in this hour.
    fn is_new(&mut self, session: &Digest, code: &'static str) -> bool {
        if self.known.contains(&(*session, code)) {
            return false;
        }
        let hour_is_over = self.since.is_none_or(|since| since.elapsed() > HOUR);
        if hour_is_over {
            self.since = Some(Instant::now());
            self.written = 0;
        }
        if self.written == MAX_REFUSALS {
            return false;
        }
        if self.known.len() == MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert((*session, code));
        self.written += 1;
        true
    }
}

/// Whether this is the broker's no to a session, rather than something that does not work.
fn is_refusal(error: &BrokerError) -> bool {
    !matches!(error.code(), "session" | "not-able")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_written_once_a_session_and_reason_and_so_many_in_an_hour() {
        let mut refusals = Refusals::default();
        let session = |number: u32| Digest::of(&number.to_be_bytes());
        assert!(refusals.is_new(&session(0), "runs-spent"));
        assert!(!refusals.is_new(&session(0), "runs-spent"));
        assert!(refusals.is_new(&session(0), "policy-expired"));
        let written =
            (1..10 * MAX_REFUSALS).filter(|&number| refusals.is_new(&session(number), "x"));
        assert_eq!(written.count() as u32, MAX_REFUSALS - 2);
        refusals.since = Instant::now().checked_sub(2 * HOUR);
        assert!(refusals.is_new(&session(u32::MAX), "x"));
    }
}

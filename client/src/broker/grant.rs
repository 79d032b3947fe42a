//! What a broker grants one session: keys, run by run, and the starts of jobs.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    time::SystemTime,
};

use mc2_attestation::TrustStore;
use mc2_protocol::{
    Digest, Name,
    documents::message::{JobPhase, Release, SessionJob, SessionStatus},
};

use super::{
    error::BrokerError,
    folder::{Broker, check_named, check_not_ended, datasets_of},
};
use crate::{
    remote::Remote,
    session::{Opened, Session, SessionError, Verifier, allowed_runs},
    state::ledger::{Entry, Ledger, LedgerError, Start},
};

/// What was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// A key was released.
    Key {
        /// The dataset.
        dataset: Name,
        /// The object the key opens.
        object: Digest,
        /// For how many runs.
        runs: u32,
    },
    /// The start of a job was answered.
    Start {
        /// The job.
        job: Digest,
        /// The datasets it was answered for.
        datasets: Vec<Name>,
    },
}

/// How a broker looks at sessions.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whether the simulator may pass. NOT SECURE.
    pub allow_simulated: bool,
    /// For how many runs a session has each key at most, unused.
    pub ahead: u32,
}

/// Runs that were released to sessions and that no start was answered for, by the ledger.
///
/// A job that reads a dataset of a broker's starts only with an answer, so this is what a session
/// may still have of a key, whatever became of the messages.
#[derive(Debug, Default)]
pub struct Outstanding {
    runs: BTreeMap<(Digest, Name), u32>,
    started: BTreeSet<(Digest, Digest, Name)>,
}

impl Outstanding {
    /// As the ledger has it.
    ///
    /// # Errors
    /// A broken chain, or the system's.
    pub fn of(ledger: &Ledger) -> Result<Self, LedgerError> {
        let mut all = Self::default();
        ledger.entries(|recorded| {
            match &recorded.entry {
                Entry::Release(one) => all.released(&one.session, &one.dataset, one.runs),
                Entry::Start(one) => all.started(&one.session, &one.job, &one.datasets),
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    fn of_session(&self, session: &Digest, dataset: &Name) -> u32 {
        let runs = self.runs.get(&(*session, dataset.clone()));
        runs.copied().unwrap_or(0)
    }

    fn released(&mut self, session: &Digest, dataset: &Name, runs: u32) {
        let sum = self.runs.entry((*session, dataset.clone())).or_default();
        *sum = sum.saturating_add(runs);
    }

    /// A job starts once, however often that is answered.
    fn started(&mut self, session: &Digest, job: &Digest, datasets: &[Name]) {
        for dataset in datasets {
            if !self.started.insert((*session, *job, dataset.clone())) {
                continue;
            }
            if let Some(runs) = self.runs.get_mut(&(*session, dataset.clone())) {
                *runs = runs.saturating_sub(1);
            }
        }
    }
}

impl Broker {
    /// Asks a host for evidence of a session that it says is open under the policy of this digest,
    /// and appraises it.
    ///
    /// # Errors
    /// The policy is not accepted, does not name this broker or has ended; a card of it is not
    /// known; the evidence does not pass.
    pub async fn appraise<'h>(
        &self,
        remote: &'h Remote,
        session: &Digest,
        policy: &Digest,
        trust: &TrustStore,
        manner: Manner,
        now: SystemTime,
    ) -> Result<Session<'h>, BrokerError> {
        let policy = self.folder.policy(policy)?;
        check_named(&policy, self.card())?;
        check_not_ended(&policy, now)?;
        // Accepting it stated its digest: what contradicts a known card is refused all the same.
        let digest = *policy.digest();
        self.folder.check_cards(&policy, Some(&digest))?;
        let opened = Opened::ask(remote, session, policy).await;
        let opened = opened.map_err(SessionError::from)?;
        let (_, appraised) = opened.appraise(&Verifier {
            trust,
            allow_simulated: manner.allow_simulated,
            now,
            components: None,
        });
        Ok(appraised?)
    }

    /// Grants a session what it lacks: each key of this broker's that it has less than
    /// `manner.ahead` unused runs of, and the starts of jobs that wait. Everything stands in the
    /// ledger before it leaves.
    ///
    /// What can be granted is, and the first reason why something was not is returned beside it.
    ///
    /// # Errors
    /// Nothing could be granted at all.
    pub async fn grant(
        &self,
        remote: &Remote,
        session: &Session<'_>,
        manner: Manner,
        outstanding: &RefCell<Outstanding>,
    ) -> Result<(Vec<Granted>, Option<BrokerError>), BrokerError> {
        let policy = session.policy();
        // It may have been withdrawn since, or have ended, or a card have been removed.
        let accepted = self.folder.policy(policy.digest())?;
        check_not_ended(&accepted, SystemTime::now())?;
        self.folder.check_cards(policy, Some(policy.digest()))?;
        self.folder.check_marked()?;

        let status = session.status(&self.identity).await?;
        let mut granted = Vec::new();
        let mut refused = None;
        for dataset in datasets_of(policy, self.card().digest()) {
            match self
                .top_up(session, &status, &dataset, manner, outstanding)
                .await
            {
                Ok(key) => granted.extend(key),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        for job in &status.jobs {
            match self.answer(remote, session, job, outstanding).await {
                Ok(start) => granted.extend(start),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Ok((granted, refused))
    }

    async fn top_up(
        &self,
        session: &Session<'_>,
        status: &SessionStatus,
        dataset: &Name,
        manner: Manner,
        outstanding: &RefCell<Outstanding>,
    ) -> Result<Option<Granted>, BrokerError> {
        let held = status.keys.iter().find(|key| key.dataset == *dataset);
        let digest = *session.appraised().digest();
        // By its own count: a host that drops a release, or its answer, gets no second one.
        let left = outstanding.borrow().of_session(&digest, dataset);
        if left >= manner.ahead {
            let has = held.is_some_and(|held| held.runs > 0) || !status.jobs.is_empty();
            if !has {
                return Err(BrokerError::Unacknowledged {
                    dataset: dataset.clone(),
                    runs: left,
                });
            }
            return Ok(None);
        }
        let policy = session.policy();
        let key = self.key_for(policy, dataset)?;
        if let Some(held) = held.filter(|held| held.object != key.object) {
            return Err(BrokerError::OlderVersion {
                dataset: dataset.clone(),
                found: held.object,
                newest: key.object,
            });
        }
        if let Some(what) = self.folder.state().revoked(&digest, dataset, &key.object)? {
            return Err(BrokerError::Revoked { what });
        }
        let ledger = self.folder.ledger()?;
        let allowed = allowed_runs(policy, dataset);
        let spent = ledger.spent(policy.digest(), self.card().digest(), dataset)?;
        let rest = allowed.saturating_sub(spent);
        let runs = u64::from(manner.ahead - left).min(rest) as u32;
        if runs == 0 && left == 0 {
            return Err(BrokerError::Ledger(LedgerError::Spent {
                dataset: dataset.clone(),
                spent,
                allowed,
                asked: 1,
            }));
        }
        if runs == 0 {
            return Ok(None);
        }
        let object = key.object;
        self.folder.check_marked()?;
        let release = Release {
            key,
            runs,
            length: None,
        };
        let now = SystemTime::now();
        check_not_ended(policy, now)?;
        outstanding.borrow_mut().released(&digest, dataset, runs);
        session
            .release(&self.identity, &ledger, vec![release], now)
            .await?;
        Ok(Some(Granted::Key {
            dataset: dataset.clone(),
            object,
            runs,
        }))
    }

    /// Answers the start of a job that the enclave itself says waits for this broker.
    async fn answer(
        &self,
        remote: &Remote,
        session: &Session<'_>,
        job: &SessionJob,
        outstanding: &RefCell<Outstanding>,
    ) -> Result<Option<Granted>, BrokerError> {
        let JobPhase::Waiting { datasets: missing } = &job.state else {
            return Ok(None);
        };
        let asked = remote
            .start_question(session.appraised().digest(), job.number)
            .await
            .map_err(SessionError::from)?;
        let Some(question) = asked else {
            return Ok(None);
        };
        if question.job != job.digest {
            return Err(BrokerError::NotWaiting { job: question.job });
        }
        let datasets = session.answered_by(self.card(), &question);
        if !datasets.iter().any(|name| missing.contains(name)) {
            return Ok(None);
        }
        let now = SystemTime::now();
        check_not_ended(session.policy(), now)?;
        self.folder.check_marked()?;
        let start = Start {
            session: *session.appraised().digest(),
            policy: *session.policy().digest(),
            job: job.digest,
            datasets,
        };
        self.folder.ledger()?.note(Entry::Start(start), now)?;
        let now = SystemTime::now();
        let datasets = session.answer_start(&self.identity, &question, now).await?;
        let session = session.appraised().digest();
        outstanding
            .borrow_mut()
            .started(session, &job.digest, &datasets);
        Ok(Some(Granted::Start {
            job: job.digest,
            datasets,
        }))
    }
}

//! What a broker grants one session: keys, run by run, and the starts of jobs.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    time::SystemTime,
};

use mc2_attestation::TrustStore;
use mc2_protocol::{
    DataKey, Digest, Name,
    documents::{
        control::{JobState, SessionOpened},
        hosting::JobEntry,
        message::{JobPhase, Release, SessionJob, SessionStatus},
        record::Nonce,
    },
    policy::Policy,
};

use super::{accepted::datasets_of, custody::InCustody, error::BrokerError, folder::Broker};
use crate::{
    collateral::Collateral,
    custody::CustodyKey,
    http::HttpError,
    remote::{Remote, RemoteError},
    session::{Opened, Session, SessionError, Verifier, allowed_runs},
    state::ledger::{Entry, Ledger, LedgerError, Start},
    verify::{Expected, verify},
};

/// So many receipts are asked for in one visit of a session.
const MAX_RECEIPTS: usize = 16;

/// What was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// A key was released.
    Key {
        /// The dataset, or the output in custody.
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

/// What a host answered when it was asked for a session's evidence.
pub struct Evidence {
    nonce: Nonce,
    opened: SessionOpened,
}

/// The jobs of a session whose receipts were looked at.
#[derive(Debug, Default)]
pub struct Read {
    /// All up to this number have ended, and were looked at or left nothing.
    through: u64,
    /// Some beyond it.
    beyond: BTreeSet<u64>,
}

impl Read {
    /// Goes as far as all that are listed have ended and were looked at.
    fn settle(&mut self, mut listed: Vec<JobEntry>) {
        listed.sort_by_key(|job| job.number);
        for job in listed {
            match job.state {
                JobState::Running | JobState::Waiting => return,
                JobState::Done if !self.beyond.remove(&job.number) => return,
                _ => self.through = job.number,
            }
        }
    }
}

/// The key of a dataset, or of an output in custody.
enum Key {
    Data(DataKey),
    Custody(CustodyKey),
}

impl Key {
    const fn object(&self) -> &Digest {
        match self {
            Self::Data(key) => &key.object,
            Self::Custody(key) => &key.object,
        }
    }
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
    /// Asks a host for evidence of a session that it says is open under the policy of this digest.
    ///
    /// # Errors
    /// The policy is not accepted, does not name this broker or has ended; a card of it is not
    /// known; the host does not answer well.
    pub async fn ask(
        &self,
        remote: &Remote,
        session: &Digest,
        policy: &Digest,
        now: SystemTime,
    ) -> Result<Evidence, BrokerError> {
        let policy = self.folder.granting(policy, now)?;
        let opened = Opened::ask(remote, session, policy).await;
        let opened = opened.map_err(SessionError::from)?;
        Ok(Evidence {
            nonce: *opened.nonce(),
            opened: opened.answered().clone(),
        })
    }

    /// Appraises what [`ask`](Self::ask) was answered, by what is trusted and accepted now.
    ///
    /// # Errors
    /// As there; the evidence does not pass.
    pub fn appraise<'h>(
        &self,
        remote: &'h Remote,
        evidence: &Evidence,
        policy: &Digest,
        trust: &TrustStore,
        manner: Manner,
        now: SystemTime,
    ) -> Result<Session<'h>, BrokerError> {
        let policy = self.folder.granting(policy, now)?;
        let opened = Opened::again(remote, policy, evidence.nonce, evidence.opened.clone());
        let state = self.folder.state();
        let collateral = Collateral::usual(state.collateral())?;
        let (_, appraised) = opened.appraise(&Verifier {
            trust,
            allow_simulated: manner.allow_simulated,
            now,
            components: None,
            collateral: collateral.as_ref(),
        });
        let session = appraised?;
        let card = self.card().digest();
        state.note_seen(session.appraised(), now)?;
        let numbers = state.sequence(session.appraised().digest(), card)?;
        Ok(session.numbered(numbers))
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
            match self
                .answer(remote, session, &status, job, outstanding)
                .await
            {
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
        let Some(key) = self.key_of(policy, dataset)? else {
            return Ok(None);
        };
        let object = *key.object();
        if let Some(held) = held.filter(|held| held.object != object) {
            return Err(BrokerError::OlderVersion {
                dataset: dataset.clone(),
                found: held.object,
                newest: object,
            });
        }
        let going = [(dataset, &object)];
        let _releasing = self.folder.state().releasing(&digest, going)?;
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
        self.folder.check_marked()?;
        let now = SystemTime::now();
        // It may have been withdrawn since the visit began.
        self.folder.granting(policy.digest(), now)?;
        outstanding.borrow_mut().released(&digest, dataset, runs);
        let mut data = Vec::new();
        let mut custody = Vec::new();
        match &key {
            Key::Data(key) => data.push(Release {
                key: key.clone(),
                runs,
                length: None,
            }),
            Key::Custody(key) => custody.push((key, runs)),
        }
        let released = session
            .release_both(&self.identity, &ledger, data, &custody, now)
            .await;
        if let Err(error) = released {
            // What stands in the ledger may be there; what does not never left.
            *outstanding.borrow_mut() = Outstanding::of(&ledger)?;
            return Err(error.into());
        }
        Ok(Some(Granted::Key {
            dataset: dataset.clone(),
            object,
            runs,
        }))
    }

    /// The key that may be released of a dataset, or of an output in custody, of which there may be
    /// none yet.
    fn key_of(&self, policy: &Policy, name: &Name) -> Result<Option<Key>, BrokerError> {
        if policy.custody(name).is_some() {
            let key = self.key_in_custody(policy, name)?;
            return Ok(key.map(Key::Custody));
        }
        Ok(Some(Key::Data(self.key_for(policy, name)?)))
    }

    /// Takes what jobs of a session left in this broker's custody out of their receipts, of those that
    /// were not `read` before.
    ///
    /// # Errors
    /// The host does not answer well, a receipt does not verify, or the folder cannot be written.
    pub async fn collect(
        &self,
        remote: &Remote,
        session: &Session<'_>,
        trust: &TrustStore,
        manner: Manner,
        read: &mut Read,
    ) -> Result<Vec<InCustody>, BrokerError> {
        let (policy, card) = (session.policy(), self.card().digest());
        let kept = |name: &Name| policy.custody(name).is_some();
        if !datasets_of(policy, card).iter().any(kept) {
            return Ok(Vec::new());
        }
        let collateral = Collateral::usual(self.folder.state().collateral())?;
        let digest = session.appraised().digest();
        let jobs = remote.jobs_after(digest, read.through).await;
        let jobs = jobs.map_err(SessionError::from)?;
        let done = jobs.iter().filter(|job| job.state == JobState::Done);
        let unread: Vec<u64> = done
            .map(|job| job.number)
            .filter(|number| !read.beyond.contains(number))
            .take(MAX_RECEIPTS)
            .collect();
        let mut taken = Vec::new();
        for number in unread {
            let now = SystemTime::now();
            let envelope = match session.receipt(number, &self.identity).await {
                Err(error) if is_not_to_be_had(&error) => {
                    read.beyond.insert(number);
                    continue;
                }
                envelope => envelope?,
            };
            let verdict = verify(
                &envelope,
                &Expected {
                    trust,
                    allow_simulated: manner.allow_simulated,
                    now,
                    policy: Some(policy),
                    components: None,
                    nonce: None,
                    session: Some(digest),
                    number: Some(number),
                    job: None,
                    submitter: None,
                    collateral: collateral.as_ref(),
                },
            );
            let verified = verdict.accept();
            if let Ok(verified) = &verified {
                self.folder.state().note_seen(&verified.session, now)?;
                // Where there is no room for it, or no key to wrap it under, it is read again.
                taken.extend(self.take(verified, now)?);
            }
            // One that does not verify is not looked at again: the host made it up, or it will not be
            // good the next time either.
            read.beyond.insert(number);
            verified?;
        }
        read.settle(jobs);
        Ok(taken)
    }

    /// Answers the start of a job that the enclave itself says waits for this broker.
    async fn answer(
        &self,
        remote: &Remote,
        session: &Session<'_>,
        status: &SessionStatus,
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
        // A session has the key of what a job of its reads, used up or not.
        let held = status.keys.iter();
        let held = held.filter(|held| datasets.contains(&held.dataset));
        let held = held.map(|held| (&held.dataset, &held.object));
        let digest = session.appraised().digest();
        let _releasing = self.folder.state().releasing(digest, held)?;
        let now = SystemTime::now();
        self.folder.granting(session.policy().digest(), now)?;
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

/// Whether a receipt is of a job that is none of this broker's business, or the host has it no more.
fn is_not_to_be_had(error: &SessionError) -> bool {
    match error {
        SessionError::Receipt(_) => true,
        SessionError::Remote(RemoteError::Http(HttpError::Refused { status, .. })) => {
            [404, 410].contains(status)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_that_were_read_or_left_nothing_are_asked_for_no_more_and_no_other_is_passed_over() {
        let job = |number, state| JobEntry { number, state };
        let mut read = Read::default();
        let listed = || {
            vec![
                job(4, JobState::Done),
                job(1, JobState::Done),
                job(3, JobState::Running),
                job(2, JobState::Failed),
            ]
        };
        read.settle(listed());
        assert_eq!(read.through, 0);
        read.beyond.extend([1, 4]);
        read.settle(listed());
        assert_eq!(read.through, 2);
        assert_eq!(read.beyond, BTreeSet::from([4]));
        read.settle(vec![job(3, JobState::Lost), job(4, JobState::Done)]);
        assert_eq!((read.through, read.beyond.len()), (4, 0));
    }
}

//! A run in a session that is there before it or after it, on a host: under a policy of several parties
//! it is others' too, and the run waits for them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use mc2_protocol::{
    DataKey, Digest, Name,
    documents::{
        job::Job,
        message::{Release, SessionStatus},
    },
    policy::{JobRule, Origin, When},
};

use super::{
    error::RunError,
    lacking::Lacking,
    plan::{Place, Plan, of_input},
    timer::Timer,
};
use crate::{
    event::{Observer, Phase, RunEvent},
    http::Trust,
    policy::approval::{job_text, policy_text},
    remote::Remote,
    session::{Opened, Session},
    state::{Given, KnownSession},
    unix_seconds,
    verbs::{Missing, proposals},
};

/// How often the enclave is asked whether it has everything.
const PAUSE: Duration = Duration::from_secs(1);

/// What a run has of its own datasets.
#[derive(Default)]
pub(super) struct Own {
    /// The keys it gives.
    pub(super) keys: Vec<Release>,
    /// Of which files the objects of these were made.
    pub(super) given: Vec<(Name, Given)>,
    /// The versions whose keys the session has of an earlier run.
    pub(super) held: BTreeMap<Name, Digest>,
}

impl Own {
    /// The version of each.
    fn versions(&self) -> BTreeMap<Name, Digest> {
        let keys = self.keys.iter().map(|release| &release.key);
        let keys = keys.map(|key| (key.dataset.clone(), key.object));
        keys.chain(self.held.clone()).collect()
    }
}

impl Plan {
    /// Whether the session is for more than this run: for others, who come to it by themselves, or for
    /// later runs.
    pub(super) fn is_shared(&self) -> bool {
        let others = self.policy.parties().len() > 1;
        matches!(self.place, Place::Host { .. }) && (others || self.lasting)
    }

    /// Whether it takes part in a session that is there already.
    pub(super) fn joins(&self) -> bool {
        self.is_shared() && self.session.is_some()
    }

    /// Seals and stores the inputs of which the session has no version. Of one that an earlier run gave
    /// it, of the same files, the key is given once more where it is good for no run any more; a second
    /// version it would refuse, and the run that was released for it would be spent.
    pub(super) async fn seal_lacking(
        &self,
        remote: &Remote,
        session: &Session<'_>,
        timer: &mut Timer<'_>,
    ) -> Result<Own, RunError> {
        if self.inputs.is_empty() {
            return Ok(Own::default());
        }
        let status = session.status_once_heard(&self.identity).await?;
        let digest = session.appraised().digest();
        let mut held = BTreeMap::new();
        let mut again = Vec::new();
        let mut length = 0;
        for input in &self.inputs {
            let dataset = &input.dataset;
            let Some(key) = status.keys.iter().find(|key| key.dataset == *dataset) else {
                length += input.length();
                continue;
            };
            let given = self.state.given(digest, dataset)?;
            let same = input.is(&key.object, given.as_ref());
            if !same.map_err(of_input(dataset.to_string()))? {
                return Err(RunError::OtherVersion {
                    session: *digest,
                    dataset: dataset.clone(),
                    object: key.object,
                });
            }
            held.insert(dataset.clone(), key.object);
            if key.runs > 0 {
                (timer.observer)(RunEvent::Notice(&format!(
                    "the session has the key of {dataset} for {} more runs: nothing is released",
                    key.runs
                )));
            } else {
                again.push(self.key_again(remote, dataset, key.object).await?);
            }
        }
        timer.begin(Phase::Seal, Some(length));
        let mut own = self.upload(remote, timer.observer, held).await?;
        timer.end(Phase::Seal);
        own.keys.extend(again);
        Ok(own)
    }

    /// The key of a version that is at the host, which holds it wrapped for its owner.
    async fn key_again(
        &self,
        remote: &Remote,
        dataset: &Name,
        object: Digest,
    ) -> Result<Release, RunError> {
        let manifest = remote.manifest(&object).await?;
        let own = manifest.owner().filter(|_| manifest.dataset() == dataset);
        let secret = own.and_then(|own| {
            let key = self.identity.private_key();
            own.open_as_owner(dataset, key).ok()
        });
        let secret = secret.ok_or_else(|| RunError::OtherVersion {
            session: self.session.unwrap_or(object),
            dataset: dataset.clone(),
            object,
        })?;
        Ok(Release {
            key: DataKey {
                dataset: dataset.clone(),
                object,
                secret,
            },
            length: None,
            runs: 1,
        })
    }

    /// The session: the one that was named, or a new one.
    pub(super) async fn enter<'h>(&self, remote: &'h Remote) -> Result<Opened<'h>, RunError> {
        let policy = self.policy.clone();
        Ok(match &self.session {
            Some(session) => Opened::ask(remote, session, policy).await?,
            None => Opened::open(remote, policy, &self.identity).await?,
        })
    }

    /// What is kept of a session that others take part in, once it is appraised.
    pub(super) fn known(&self, opened: &Opened<'_>) -> Result<Option<KnownSession>, RunError> {
        let Place::Host { address, trust } = &self.place else {
            return Ok(None);
        };
        if !self.is_shared() {
            return Ok(None);
        }
        let host_ca = match trust {
            // A later process may be started elsewhere.
            Trust::File(path) => Some(path.canonicalize().unwrap_or_else(|_| path.clone())),
            Trust::System => None,
        };
        let own = match &self.session {
            Some(session) => self.state.session(session)?.is_some_and(|known| known.own),
            None => true,
        };
        Ok(Some(KnownSession::new(
            address.to_string(),
            host_ca,
            &self.policy,
            *opened.nonce(),
            opened.answered().clone(),
            unix_seconds(SystemTime::now()),
            own,
        )))
    }

    /// Keeps an appraised session for the other commands of this person, and tells which it is.
    pub(super) fn share<'h>(
        &self,
        known: &KnownSession,
        session: Session<'h>,
        observer: &Observer,
    ) -> Result<Session<'h>, RunError> {
        self.state.store_session(known)?;
        let sender = self.identity.card().digest();
        let numbers = self.state.sequence(&known.session, sender)?;
        let (digest, host) = (&known.session, &known.host);
        if !self.lasting {
            observer(RunEvent::Notice(&format!(
                "session {digest} at {host}: the other parties join it with `mc2 session join`"
            )));
        }
        Ok(session.numbered(numbers))
    }

    /// Gives what is this party's to give, waits until the others have given theirs, and returns the
    /// job that is then complete.
    pub(super) async fn consent(
        &self,
        session: &Session<'_>,
        own: Own,
        observer: &Observer,
    ) -> Result<Job, RunError> {
        let rule = self.rule()?;
        let known = own.versions();
        let versions = |status: &SessionStatus| self.versions(rule, &known, status);
        let asked = self.asked(rule);
        // Before anything leaves: what a key may be used for is the policy's to say, and the job is
        // shown as well where it can be written already.
        if asked == Some(When::Session) || !own.keys.is_empty() {
            observer(RunEvent::Approving(&policy_text(&self.policy)));
        }
        let mut drafted = None;
        if asked == Some(When::Job) {
            let status = session.status_once_heard(&self.identity).await?;
            if let Ok(versions) = versions(&status) {
                drafted = Some(self.draft_shown(&versions, observer)?);
            }
        }
        for (dataset, given) in &own.given {
            let session = session.appraised().digest();
            self.state.store_given(session, dataset, given)?;
        }
        self.release(session, own.keys).await?;
        if asked == Some(When::Session) {
            session.approve_policy(&self.identity).await?;
        }
        let job = match drafted {
            Some(job) => job,
            None => {
                let versions = self.until(session, observer, versions).await?;
                match asked {
                    Some(When::Job) => self.draft_shown(&versions, observer)?,
                    _ => self.draft(&versions)?,
                }
            }
        };
        let bytes = job.to_bytes();
        let digest = Digest::of(&bytes);
        if asked == Some(When::Job) {
            session.approve_job(&self.identity, &digest).await?;
        }
        for (card, note) in proposals(session, rule, &bytes, &self.identity) {
            session.post_note(card.digest(), note).await?;
        }
        let complete = |status: &SessionStatus| {
            let missing = Missing::of(&self.policy, rule, &job, &digest, status);
            if missing.is_nothing() {
                return Ok(());
            }
            Err(Lacking::from(&missing))
        };
        self.until(session, observer, complete).await?;
        Ok(job)
    }

    /// The job over these versions, shown as it is to be approved.
    fn draft_shown(
        &self,
        versions: &BTreeMap<Name, Digest>,
        observer: &Observer,
    ) -> Result<Job, RunError> {
        let job = self.draft(versions)?;
        observer(RunEvent::Approving(&job_text(&job.to_bytes())?));
        Ok(job)
    }

    /// Asks the enclave until it has what is wanted, telling meanwhile for whom is waited, as long as
    /// they are waited for. From the policy's end on nobody gives anything.
    async fn until<T>(
        &self,
        session: &Session<'_>,
        observer: &Observer,
        wanted: impl Fn(&SessionStatus) -> Result<T, Lacking>,
    ) -> Result<T, RunError> {
        let begun = Instant::now();
        let mut told = String::new();
        loop {
            let status = session.status_once_heard(&self.identity).await?;
            let missing = match wanted(&status) {
                Ok(found) => return Ok(found),
                Err(missing) => missing,
            };
            if self.policy.is_expired(unix_seconds(SystemTime::now())) {
                let missing = missing.words;
                return Err(RunError::Waited { missing });
            }
            if self
                .others
                .is_some_and(|patience| begun.elapsed() >= patience)
            {
                let missing = Box::new(missing);
                return Err(RunError::Lacking { missing });
            }
            if missing.words != told {
                told = missing.words;
                observer(RunEvent::Notice(&format!("waiting for {told}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The version of each dataset and output in custody that the job reads: the policy's, one's
    /// own, the one that was named, or else the one whose key the session was given.
    fn versions(
        &self,
        rule: &JobRule,
        own: &BTreeMap<Name, Digest>,
        status: &SessionStatus,
    ) -> Result<BTreeMap<Name, Digest>, Lacking> {
        let mut versions = own.clone();
        versions.extend(
            self.versions
                .iter()
                .map(|(name, object)| (name.clone(), *object)),
        );
        let mut missing = Vec::new();
        let mut keepers = Vec::new();
        for input in rule.steps.iter().flat_map(|step| &step.inputs) {
            let (name, keeper) = match &input.from {
                Origin::Dataset(name) => match self.policy.dataset(name) {
                    Some(dataset) if dataset.object.is_none() => (name, &dataset.owner),
                    _ => continue,
                },
                Origin::Custody(name) => match self.policy.custody(name) {
                    Some(custody) => (name, &custody.holder),
                    None => continue,
                },
                Origin::Step(_) => continue,
            };
            if versions.contains_key(name) {
                continue;
            }
            match status.keys.iter().find(|key| key.dataset == *name) {
                Some(key) => {
                    versions.insert(name.clone(), key.object);
                }
                None => {
                    missing.push(format!("the key of {name} from {}", keeper.name()));
                    keepers.push(keeper.name().clone());
                }
            }
        }
        if missing.is_empty() {
            return Ok(versions);
        }
        missing.dedup();
        Err(Lacking {
            words: missing.join("; "),
            approvals: Vec::new(),
            keys: keepers,
        })
    }

    /// What this party's approval is asked for.
    fn asked(&self, rule: &JobRule) -> Option<When> {
        let approve = rule.approve.as_ref()?;
        let own = approve
            .of
            .iter()
            .any(|card| **card == *self.identity.card());
        own.then_some(approve.when)
    }

    fn rule(&self) -> Result<&JobRule, RunError> {
        let rule = self.policy.job(&self.job);
        rule.ok_or_else(|| RunError::Incomplete(format!("the policy has no job {}", self.job)))
    }
}

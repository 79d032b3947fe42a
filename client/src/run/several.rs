//! A run under a policy of several parties, on a host: its session is others' too, and it waits for
//! them.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use mc2_protocol::{
    Digest, Name,
    documents::{
        job::Job,
        message::{Release, SessionStatus},
    },
    policy::{JobRule, Origin, When},
};

use super::{
    error::RunError,
    plan::{Place, Plan},
};
use crate::{
    event::{Observer, RunEvent},
    http::Trust,
    policy::approval::{job_text, policy_text},
    remote::Remote,
    session::{Opened, Session},
    state::KnownSession,
    unix_seconds,
    verbs::{Missing, proposals},
};

/// How often the enclave is asked whether it has everything.
const PAUSE: Duration = Duration::from_secs(1);

impl Plan {
    /// Whether others take part, who come to the session by themselves.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.place, Place::Host { .. }) && self.policy.parties().len() > 1
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
        observer(RunEvent::Notice(&format!(
            "session {digest} at {host}: the other parties join it with `mc2 session join`"
        )));
        Ok(session.numbered(numbers))
    }

    /// Gives what is this party's to give, waits until the others have given theirs, and returns the
    /// job that is then complete.
    pub(super) async fn consent(
        &self,
        session: &Session<'_>,
        keys: Vec<Release>,
        observer: &Observer,
    ) -> Result<Job, RunError> {
        let rule = self.rule()?;
        let own: BTreeMap<Name, Digest> = keys
            .iter()
            .map(|Release { key, .. }| (key.dataset.clone(), key.object))
            .collect();
        let asked = self.asked(rule);
        if asked == Some(When::Session) {
            observer(RunEvent::Approving(&policy_text(&self.policy)));
        }
        self.release(session, keys).await?;
        if asked == Some(When::Session) {
            session.approve_policy(&self.identity).await?;
        }
        let versions = |status: &SessionStatus| self.versions(rule, &own, status);
        let versions = self.until(session, observer, versions).await?;
        let job = self.draft(&versions)?;
        let bytes = job.to_bytes();
        let digest = Digest::of(&bytes);
        if asked == Some(When::Job) {
            observer(RunEvent::Approving(&job_text(&bytes)?));
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
            Err(missing.to_string())
        };
        self.until(session, observer, complete).await?;
        Ok(job)
    }

    /// Asks the enclave until it has what is wanted, telling meanwhile for whom is waited. From the
    /// policy's end on nobody gives anything.
    async fn until<T>(
        &self,
        session: &Session<'_>,
        observer: &Observer,
        wanted: impl Fn(&SessionStatus) -> Result<T, String>,
    ) -> Result<T, RunError> {
        let mut told = String::new();
        loop {
            let status = session.status_once_heard(&self.identity).await?;
            let missing = match wanted(&status) {
                Ok(found) => return Ok(found),
                Err(missing) => missing,
            };
            if self.policy.is_expired(unix_seconds(SystemTime::now())) {
                return Err(RunError::Waited { missing });
            }
            if missing != told {
                observer(RunEvent::Notice(&format!("waiting for {missing}")));
                told = missing;
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
    ) -> Result<BTreeMap<Name, Digest>, String> {
        let mut versions = own.clone();
        versions.extend(
            self.versions
                .iter()
                .map(|(name, object)| (name.clone(), *object)),
        );
        let mut missing = Vec::new();
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
                None => missing.push(format!("the key of {name} from {}", keeper.name())),
            }
        }
        if missing.is_empty() {
            return Ok(versions);
        }
        missing.dedup();
        Err(missing.join("; "))
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

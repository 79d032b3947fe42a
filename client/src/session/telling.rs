//! An appraised session, and what a party tells its enclave: keys, approvals, the end.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use mc2_attestation::{AppraisedSession, Endorsement};
use mc2_protocol::{
    Digest, Identity, Name,
    documents::{
        message::{
            Answer, Approve, AskStatus, Body, End, GiveKey, GuestSecret, Outcome, PendingAnswer,
            Refused, Release, SealedMessage, SessionStatus,
        },
        record::Nonce,
    },
    policy::{JobRule, Origin, Policy, When},
};

use super::{PATIENCE, error::SessionError};
use crate::{
    custody::CustodyKey,
    remote::Remote,
    state::{
        ledger::{self, Ledger},
        sequence::{self, Sequence},
    },
    terminal,
};

/// How often a session is ended: its last receipt may be there a moment before its job is done.
const ENDINGS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

const RELEASE: &str = "the release of a data key";
const APPROVE: &str = "the approval";
const STATUS: &str = "the question what the session has";
const END: &str = "the end of the session";
const GUEST_KEY: &str = "a key for guests";

/// A session whose evidence passed every check.
pub struct Session<'h> {
    pub(super) remote: &'h Remote,
    policy: Policy,
    nonce: Nonce,
    appraised: AppraisedSession,
    /// What its evidence was appraised with.
    endorsements: Vec<Endorsement>,
    /// Whether it is followed alone: nothing more is given to it.
    follows: bool,
    numbers: Numbers,
}

/// Where the sequence numbers of its messages come from.
enum Numbers {
    /// This process alone sends any.
    Own(Mutex<u64>),
    /// Several processes of one sender do.
    Kept(Sequence),
}

impl<'h> Session<'h> {
    pub(super) const fn new(
        remote: &'h Remote,
        policy: Policy,
        nonce: Nonce,
        appraised: AppraisedSession,
        follows: bool,
    ) -> Self {
        Self {
            remote,
            policy,
            nonce,
            appraised,
            endorsements: Vec::new(),
            follows,
            numbers: Numbers::Own(Mutex::new(0)),
        }
    }

    /// The same, whose evidence was appraised with these endorsements.
    pub(super) fn by(mut self, endorsements: Vec<Endorsement>) -> Self {
        self.endorsements = endorsements;
        self
    }

    /// The same, for a sender whose other processes send to it too: its numbers are kept.
    #[must_use]
    pub fn numbered(mut self, sequence: Sequence) -> Self {
        self.numbers = Numbers::Kept(sequence);
        self
    }

    /// The policy it was opened for.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What the appraisal found.
    pub const fn appraised(&self) -> &AppraisedSession {
        &self.appraised
    }

    /// What its evidence was appraised with: the receipts of its jobs repeat them.
    pub fn endorsements(&self) -> &[Endorsement] {
        &self.endorsements
    }

    /// The nonce of its evidence.
    pub const fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// Gives data keys to the session: first into the ledger, stored, then out.
    ///
    /// # Errors
    /// The policy or the ledger does not allow it, or the enclave refuses. What stands in the
    /// ledger stays there.
    pub async fn release(
        &self,
        owner: &Identity,
        ledger: &Ledger,
        releases: Vec<Release>,
        now: SystemTime,
    ) -> Result<(), SessionError> {
        self.release_both(owner, ledger, releases, &[], now).await
    }

    /// Gives keys that are in `holder`'s custody to the session, each for so many runs: first into
    /// the ledger, stored, then out. Only to sessions of the policy whose job left them.
    ///
    /// # Errors
    /// As [`release`](Self::release); a key of another policy's.
    pub async fn release_custody(
        &self,
        holder: &Identity,
        ledger: &Ledger,
        keys: &[(&CustodyKey, u32)],
        now: SystemTime,
    ) -> Result<(), SessionError> {
        self.release_both(holder, ledger, Vec::new(), keys, now)
            .await
    }

    /// Gives keys of one's own data and keys in one's custody, which stand in the ledger together or
    /// not at all.
    ///
    /// # Errors
    /// As [`release`](Self::release) and [`release_custody`](Self::release_custody).
    pub async fn release_both(
        &self,
        owner: &Identity,
        ledger: &Ledger,
        releases: Vec<Release>,
        keys: &[(&CustodyKey, u32)],
        now: SystemTime,
    ) -> Result<(), SessionError> {
        let mut counted = Vec::with_capacity(releases.len() + keys.len());
        for release in releases {
            let dataset = &release.key.dataset;
            if self.policy.custody(dataset).is_some() {
                let output = dataset.clone();
                return Err(SessionError::InCustody { output });
            }
            let allowed = allowed_runs(&self.policy, dataset);
            counted.push((release, allowed));
        }
        for (kept, runs) in keys {
            if kept.policy != *self.policy.digest() {
                return Err(SessionError::OtherPolicy {
                    expected: kept.policy,
                    found: *self.policy.digest(),
                });
            }
            // Counted by the policy, which the receipt's own count had to agree with.
            let allowed = allowed_runs(&self.policy, &kept.output);
            counted.push((kept.release(*runs), allowed));
        }
        self.give(owner, ledger, counted, now).await
    }

    /// Releases keys, each with the runs that its policy allows in all.
    async fn give(
        &self,
        owner: &Identity,
        ledger: &Ledger,
        releases: Vec<(Release, u64)>,
        now: SystemTime,
    ) -> Result<(), SessionError> {
        self.check_gives()?;
        let card = owner.card().digest();
        let mut lines = Vec::with_capacity(releases.len());
        for (Release { key, runs, .. }, allowed) in &releases {
            self.policy.check_release(card, &key.dataset, &key.object)?;
            let line = ledger::Release {
                session: *self.appraised.digest(),
                policy: *self.policy.digest(),
                owner: *card,
                dataset: key.dataset.clone(),
                object: key.object,
                runs: *runs,
            };
            lines.push((line, *allowed));
        }
        ledger.record(&lines, now)?;
        for (release, _) in releases {
            match self.send(owner, &Body::Release(release), RELEASE).await? {
                Outcome::Released => {}
                _ => return Err(SessionError::Mismatch { asked: RELEASE }),
            }
        }
        Ok(())
    }

    /// Gives the session a key for its guests, as the policy's `keys` name it.
    ///
    /// # Errors
    /// The policy takes no such key from this party, or the enclave refuses.
    pub async fn give_key(
        &self,
        giver: &Identity,
        name: &Name,
        key: GuestSecret,
    ) -> Result<(), SessionError> {
        self.check_gives()?;
        self.policy.check_guest_key(giver.card().digest(), name)?;
        let body = Body::GuestKey(GiveKey {
            name: name.clone(),
            key,
        });
        match self.send(giver, &body, GUEST_KEY).await? {
            Outcome::KeyTaken => Ok(()),
            _ => Err(SessionError::Mismatch { asked: GUEST_KEY }),
        }
    }

    /// States a party's approval where the job `name` needs one of this party's.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn approve(
        &self,
        party: &Identity,
        name: &Name,
        job: &Digest,
    ) -> Result<(), SessionError> {
        let rule = self.policy.job(name).and_then(|job| job.approve.as_ref());
        let Some(rule) = rule else { return Ok(()) };
        if !rule.of.iter().any(|card| **card == *party.card()) {
            return Ok(());
        }
        match rule.when {
            When::Session => self.approve_policy(party).await,
            When::Job => self.approve_job(party, job).await,
        }
    }

    /// States a party's approval of every job that the policy allows.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn approve_policy(&self, party: &Identity) -> Result<(), SessionError> {
        let approve = Approve::Policy(*self.policy.digest());
        self.state(party, approve).await
    }

    /// States a party's approval of the one job of this digest.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn approve_job(&self, party: &Identity, job: &Digest) -> Result<(), SessionError> {
        self.state(party, Approve::Job(*job)).await
    }

    async fn state(&self, party: &Identity, approve: Approve) -> Result<(), SessionError> {
        self.check_gives()?;
        match self.send(party, &Body::Approve(approve), APPROVE).await? {
            Outcome::Approved => Ok(()),
            _ => Err(SessionError::Mismatch { asked: APPROVE }),
        }
    }

    /// What the enclave has of the session's parties so far, signed by it: who approved, which keys
    /// it holds, which jobs it knows. Any party and any broker of the policy may ask.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn status(&self, sender: &Identity) -> Result<SessionStatus, SessionError> {
        match self
            .send(sender, &Body::Status(AskStatus {}), STATUS)
            .await?
        {
            Outcome::Status(status) => Ok(status),
            _ => Err(SessionError::Mismatch { asked: STATUS }),
        }
    }

    /// What [`status`](Self::status) says, asked for until it is heard: a host may be started again
    /// meanwhile.
    ///
    /// # Errors
    /// As there; what may pass only once it has not passed for two minutes.
    pub async fn status_once_heard(
        &self,
        sender: &Identity,
    ) -> Result<SessionStatus, SessionError> {
        let begun = Instant::now();
        loop {
            match self.status(sender).await {
                Err(SessionError::Remote(error))
                    if error.is_passing() && begun.elapsed() < PATIENCE =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// Leaves a note for a party of the session with the host.
    ///
    /// # Errors
    /// The host does not take it.
    pub async fn post_note(&self, to: &Digest, note: Vec<u8>) -> Result<(), SessionError> {
        let session = self.appraised.digest();
        Ok(self.remote.post_note(session, to, note).await?)
    }

    /// Ends the session, which only its opener may and only while no job runs: the enclave forgets
    /// its keys, and this process has nothing left to ask it.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn end(&self, opener: &Identity) -> Result<(), SessionError> {
        let mut left = ENDINGS;
        loop {
            left -= 1;
            match self.send(opener, &Body::End(End {}), END).await {
                Ok(Outcome::Ended) => return Ok(()),
                Ok(_) => return Err(SessionError::Mismatch { asked: END }),
                Err(SessionError::Refused { refused, .. })
                    if left > 0 && refused.code == "busy" =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Seals a message to the enclave and returns its answer; what it refuses is an error.
    pub(super) async fn send(
        &self,
        sender: &Identity,
        body: &Body,
        asked: &'static str,
    ) -> Result<Outcome, SessionError> {
        let (bytes, pending) = self.seal(sender, body)?;
        let answer = self.remote.message(self.appraised.digest(), bytes).await?;
        self.heard(&pending, &answer, asked)
    }

    /// Signs and seals a message to the enclave.
    pub(super) fn seal(
        &self,
        sender: &Identity,
        body: &Body,
    ) -> Result<(Vec<u8>, PendingAnswer), SessionError> {
        Ok(SealedMessage::seal(
            body,
            *self.appraised.digest(),
            &self.appraised.hpke_public_key(),
            sender,
            self.next_sequence()?,
            &mut crate::random(),
        ))
    }

    /// What an answer says, if it is the enclave's; what it refuses is an error.
    pub(super) fn heard(
        &self,
        pending: &PendingAnswer,
        answer: &Answer,
        asked: &'static str,
    ) -> Result<Outcome, SessionError> {
        let outcome = pending
            .open(answer, &self.appraised.signing_public_key())
            .map_err(|source| SessionError::Answer { asked, source })?;
        match outcome {
            Outcome::Refused(refused) => Err(SessionError::Refused {
                asked,
                refused: Refused {
                    code: terminal::printable(&refused.code),
                    message: terminal::printable(&refused.message),
                },
            }),
            outcome => Ok(outcome),
        }
    }

    /// Refuses to give anything to a session that is followed alone.
    pub(super) fn check_gives(&self) -> Result<(), SessionError> {
        if self.follows {
            let policy = *self.policy.digest();
            return Err(SessionError::Expired { policy });
        }
        Ok(())
    }

    fn next_sequence(&self) -> Result<u64, SessionError> {
        let last = match &self.numbers {
            Numbers::Kept(sequence) => return Ok(sequence.next()?),
            Numbers::Own(last) => last,
        };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = sequence::after(*last);
        Ok(*last)
    }
}

/// For how many runs a policy allows the key of a dataset, or of an output in custody, to be released
/// in all.
pub fn allowed_runs(policy: &Policy, dataset: &Name) -> u64 {
    if let Some(custody) = policy.custody(dataset) {
        return u64::from(custody.runs);
    }
    let reads = |job: &&JobRule| {
        job.steps
            .iter()
            .flat_map(|step| &step.inputs)
            .any(|input| matches!(&input.from, Origin::Dataset(name) if name == dataset))
    };
    let jobs = policy.jobs().iter().filter(reads);
    jobs.map(|job| u64::from(job.runs)).sum()
}

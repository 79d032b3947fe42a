//! Drafting a job of the policy and submitting it.

use std::{collections::BTreeMap, time::SystemTime};

use mc2_protocol::{
    Digest, Name,
    documents::job::Job,
    policy::{JobRule, Origin, Refusal, When},
};
use rand_core::Rng as _;

use super::{
    arguments::Arguments,
    error::VerbError,
    handing::Handing,
    member::{Entered, is_beginning, not_a_digest, one_of},
};
use crate::{
    event::Observer,
    session::Session,
    state::{StateError, Submission},
    terminal::listed,
    unix_seconds,
};

/// What a person says of the job they want.
#[derive(Clone, Debug)]
pub struct Drafting {
    /// Which of the policy's jobs.
    pub job: Name,
    /// Versions of datasets that the policy does not pin.
    pub versions: BTreeMap<Name, Digest>,
    /// Command lines.
    pub arguments: Arguments,
}

/// A job that an enclave took.
pub struct Submitted {
    /// SHA-256 of its exact bytes.
    pub job: Digest,
    /// Its number in the session.
    pub number: u64,
    /// What it reads, in which version: datasets, and outputs in custody.
    pub read: Vec<(Name, Digest)>,
}

impl Submitted {
    /// The job of a kept submission that was taken under this number.
    fn of(submission: &Submission, number: u64) -> Result<Self, VerbError> {
        let job = Job::parse(submission.bytes.as_slice())?;
        let read = job.datasets();
        Ok(Self {
            job: submission.job,
            number,
            read: read.map(|(name, object)| (name.clone(), *object)).collect(),
        })
    }
}

impl Entered<'_> {
    /// A job as the policy allows it: versions are the policy's, those given, the newest of one's own
    /// that were uploaded from here, or of what is in custody the only one that is known here.
    ///
    /// # Errors
    /// [`VerbError`], by what is missing or not allowed.
    pub fn draft(&self, drafting: &Drafting) -> Result<Job, VerbError> {
        let rule = self.rule(&drafting.job)?;
        if !rule
            .submit
            .iter()
            .any(|card| **card == *self.identity.card())
        {
            return Err(VerbError::Refusal(Refusal::NotASubmitter {
                job: rule.name.clone(),
                allowed: listed(rule.submit.iter().map(|card| card.name())),
            }));
        }
        let mut versions = drafting.versions.clone();
        for input in rule.steps.iter().flat_map(|step| &step.inputs) {
            let dataset = match &input.from {
                Origin::Dataset(dataset) => dataset,
                Origin::Custody(output) => {
                    if !versions.contains_key(output) {
                        versions.insert(output.clone(), self.version_in_custody(output)?);
                    }
                    continue;
                }
                Origin::Step(_) => continue,
            };
            let own = self.policy.owner_of(dataset);
            if own.is_some_and(|owner| **owner == *self.identity.card())
                && !versions.contains_key(dataset)
                && let Some(object) = self.newest(dataset)?
            {
                versions.insert(dataset.clone(), object);
            }
        }
        let arguments = drafting.arguments.fill(rule)?;
        let mut salt = [0; 32];
        crate::random().fill_bytes(&mut salt);
        Ok(self.policy.draft(&rule.name, &versions, arguments, salt)?)
    }

    /// The only version of an output in custody that is known here.
    fn version_in_custody(&self, output: &Name) -> Result<Digest, VerbError> {
        let state = &self.member.state;
        let known = state.versions_in_custody(self.policy.digest(), output)?;
        let known: Vec<Digest> = known.into_iter().collect();
        if let [only] = known[..] {
            return Ok(only);
        }
        let keeper = self.policy.keeper_of(output);
        Err(VerbError::NoCustodyVersion {
            output: output.clone(),
            keeper: keeper.map_or_else(String::new, |card| card.name().to_string()),
            known,
        })
    }

    /// Keeps a job's submission, before any of it leaves.
    ///
    /// # Errors
    /// A card of the policy that is not known, unless `stated` is the policy's digest; or the
    /// system's.
    pub fn keep(&self, job: &Job, stated: Option<&Digest>) -> Result<Submission, VerbError> {
        self.check_cards(stated)?;
        let submission = Submission::new(
            self.known.session,
            self.known.nonce,
            job,
            *self.identity.card().digest(),
            &self.policy,
            unix_seconds(SystemTime::now()),
        );
        self.member.state.store_submission(&submission)?;
        Ok(submission)
    }

    /// Refuses a job that is, but for its salt, one that left from here for this session and whose
    /// answer nobody is left to hear: it may run already.
    ///
    /// # Errors
    /// [`VerbError::Unanswered`], or the system's.
    pub fn refuse_unanswered(&self, job: &Job) -> Result<(), VerbError> {
        for kept in self.own_submissions()? {
            let state = &self.member.state;
            if kept.number.is_some() || state.left(&kept.job)?.is_none() {
                continue;
            }
            let Some(_ended) = state.hold_left(&kept.job)? else {
                continue;
            };
            // Its process may have heard the answer just now.
            if state.left(&kept.job)?.is_none() {
                state.forget_left(&kept.job)?;
                continue;
            }
            let before = Job::parse(kept.bytes.as_slice())?;
            if before.name == job.name && before.steps == job.steps {
                return Err(VerbError::Unanswered { job: kept.job });
            }
        }
        Ok(())
    }

    /// The submission of a job that was kept here for this session, by its digest or the first digits
    /// of it.
    ///
    /// # Errors
    /// There is none, or it was taken already; or a card of the policy is not known, unless `stated`
    /// is the policy's digest.
    pub fn kept(&self, asked: &str, stated: Option<&Digest>) -> Result<Submission, VerbError> {
        self.check_cards(stated)?;
        if !is_beginning(asked) {
            return Err(not_a_digest(asked, "job"));
        }
        let kept = self.submitted(asked)?;
        let kept = kept.ok_or_else(|| VerbError::UnknownJob {
            asked: asked.to_owned(),
            session: self.known.session,
        })?;
        match kept.number {
            None => Ok(kept),
            Some(number) => Err(VerbError::Taken {
                job: kept.job,
                number,
            }),
        }
    }

    /// The number of a kept submission, where the enclave took it and nobody here was left to hear
    /// so: by its own word while it runs, by its receipt once it has ended.
    ///
    /// # Errors
    /// [`VerbError`].
    pub async fn find(
        &self,
        session: &Session<'_>,
        submission: &Submission,
    ) -> Result<Option<u64>, VerbError> {
        let running = match session.status(&self.identity).await {
            Ok(status) => status.jobs,
            // The session is over, for one: what ended in it has its receipt all the same.
            Err(error) if error.is_told() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let mut running = running.into_iter();
        if let Some(job) = running.find(|job| job.digest == submission.job) {
            return Ok(Some(job.number));
        }
        for job in self.remote.jobs(&self.known.session).await? {
            // Others' receipts do not open, and a job that runs has none.
            let Ok(envelope) = session.receipt(job.number, &self.identity).await else {
                continue;
            };
            let followed = self.verified(&envelope, job.number, Some(submission));
            if followed.is_ok() {
                return Ok(Some(job.number));
            }
        }
        Ok(None)
    }

    /// Notes the number of a submission that was found.
    ///
    /// # Errors
    /// The system's.
    pub fn note(&self, mut submission: Submission, number: u64) -> Result<Submission, VerbError> {
        submission.number = Some(number);
        self.member.state.store_submission(&submission)?;
        self.member.state.forget_left(&submission.job)?;
        Ok(submission)
    }

    /// Approves a kept submission where every single job wants approvals and one is this party's:
    /// who submits a job has written it.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn agree(
        &self,
        session: &Session<'_>,
        submission: &Submission,
    ) -> Result<(), VerbError> {
        let name = Job::parse(submission.bytes.as_slice())?.name;
        if self.wants_own(self.rule(&name)?) {
            session.approve_job(&self.identity, &submission.job).await?;
        }
        Ok(())
    }

    /// Submits a job that was kept; `queued`, where it may wait in the host's queue for its turn.
    ///
    /// # Errors
    /// [`VerbError`].
    pub async fn submit(
        &self,
        session: &Session<'_>,
        mut submission: Submission,
        queued: bool,
        observer: &Observer,
    ) -> Result<Submitted, VerbError> {
        let handing = self.handing(queued, observer);
        let running = handing.over::<VerbError>(session, &mut submission).await?;
        Submitted::of(&submission, running.number)
    }

    /// Goes on with a kept submission that left from here and whose answer was not heard; nothing
    /// where it never left. The enclave takes it once, however often it is sent.
    ///
    /// # Errors
    /// [`VerbError::Unheard`] where the enclave may have taken it before and nothing shows its
    /// number, unless it may run `twice`; the enclave refuses.
    pub async fn resume(
        &self,
        session: &Session<'_>,
        kept: &Submission,
        twice: bool,
        observer: &Observer,
    ) -> Result<Option<Submitted>, VerbError> {
        let state = &self.member.state;
        let Some(left) = state.left(&kept.job)? else {
            return Ok(None);
        };
        let mut submission = kept.clone();
        let handing = self.handing(true, observer);
        let gone_on = handing.go_on::<VerbError>(session, &mut submission, left);
        let number = match gone_on.await {
            Ok(running) => running.number,
            // It was not taken, and whatever it lacked may be there by now.
            Err(VerbError::Session(error)) if error.is_refused() => return Ok(None),
            Err(VerbError::Session(error)) if error.is_replayed() || error.is_over() => {
                match self.find(session, kept).await? {
                    Some(number) => {
                        self.note(submission, number)?;
                        number
                    }
                    None if twice => {
                        state.forget_left(&kept.job)?;
                        return Ok(None);
                    }
                    None => return Err(VerbError::Unheard { job: kept.job }),
                }
            }
            Err(error) => return Err(error),
        };
        Submitted::of(kept, number).map(Some)
    }

    const fn handing<'a>(&'a self, queued: bool, observer: &'a Observer) -> Handing<'a> {
        Handing {
            state: &self.member.state,
            submitter: &self.identity,
            queued,
            observer,
        }
    }

    /// A job that was submitted from here to this session, by its digest or the first digits of it.
    ///
    /// # Errors
    /// The system's, or several begin so.
    pub fn submitted(&self, asked: &str) -> Result<Option<Submission>, VerbError> {
        let mut own = self.own_submissions()?;
        own.retain(|one| one.job.to_string().starts_with(asked));
        one_of(asked, "job", own)
    }

    pub(super) fn own_submissions(&self) -> Result<Vec<Submission>, StateError> {
        let mut own = self.member.state.submissions()?;
        own.retain(|one| one.session == self.known.session);
        Ok(own)
    }

    pub(super) fn rule(&self, job: &Name) -> Result<&JobRule, VerbError> {
        self.policy.job(job).ok_or_else(|| {
            VerbError::Refusal(Refusal::UnknownJob {
                job: job.clone(),
                known: listed(self.policy.jobs().iter().map(|job| &job.name)),
            })
        })
    }

    fn wants_own(&self, rule: &JobRule) -> bool {
        rule.approve.as_ref().is_some_and(|rule| {
            let own = self.identity.card();
            rule.when == When::Job && rule.of.iter().any(|card| **card == *own)
        })
    }
}

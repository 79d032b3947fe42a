//! A job that an enclave took: waiting for its end, its receipt, stopping it.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime},
};

use mc2_protocol::{
    Digest, Identity, Name,
    documents::{
        control::JobState,
        dsse::Envelope,
        job::Job,
        message::{Body, Cancel, Outcome, Submit},
        receipt::SealedReceipt,
        storage::Event,
    },
};

use super::{PATIENCE, error::SessionError, telling::Session};

/// How long a runtime waits until a job's start is answered for.
const START: Duration = Duration::from_secs(10 * 60);
/// What a job may take beyond the run time its policy allows: storing its outputs, for most.
const BEYOND_RUN_TIME: Duration = Duration::from_secs(15 * 60);
const PAUSE: Duration = Duration::from_millis(100);
/// The first pause after nothing was heard; each next one is twice as long, up to [`PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(2);

pub(super) const SUBMIT: &str = "the job";
const CANCEL: &str = "the cancellation";

/// A job that was taken.
pub struct Running<'s, 'h> {
    session: &'s Session<'h>,
    /// SHA-256 of its exact bytes.
    pub job: Digest,
    /// The datasets it reads for which somebody must answer before it starts.
    answers: Vec<Name>,
    /// Its number in the session.
    pub number: u64,
    /// How long its end is waited for: the run time its policy allows and 15 minutes, unless
    /// something else is put here.
    pub patience: Duration,
    /// The sealed receipt, where it came with the job's end.
    sealed: OnceLock<SealedReceipt>,
}

impl<'h> Session<'h> {
    /// Submits a job.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn submit<'s>(
        &'s self,
        submitter: &Identity,
        job: &Job,
    ) -> Result<Running<'s, 'h>, SessionError> {
        let body = self.submission(job)?;
        match self.send(submitter, &body, SUBMIT).await? {
            Outcome::Submitted { number } => Ok(self.running(job, number)),
            _ => Err(SessionError::Mismatch { asked: SUBMIT }),
        }
    }

    /// The message that submits a job.
    pub(super) fn submission(&self, job: &Job) -> Result<Body, SessionError> {
        self.check_gives()?;
        Ok(Body::Submit(Submit {
            job: job.to_bytes().into(),
            nonce: *self.nonce(),
            endorsements: self.endorsements().to_vec(),
        }))
    }

    /// A job that was taken under this number.
    pub fn running<'s>(&'s self, job: &Job, number: u64) -> Running<'s, 'h> {
        let datasets = job.datasets().map(|(dataset, _)| dataset);
        let answers = datasets.filter(|name| self.policy().answerers(name).is_some());
        Running {
            session: self,
            job: Digest::of(&job.to_bytes()),
            answers: answers.cloned().collect(),
            number,
            patience: self.patience(Some(&job.name)),
            sealed: OnceLock::new(),
        }
    }

    /// How long the end of a job is waited for where nothing is said: the run time that the policy
    /// allows it, or the longest that it allows any where it is not known which job it is, and 15
    /// minutes; 10 more where a start may have to be answered for.
    pub fn patience(&self, job: Option<&Name>) -> Duration {
        let jobs = self.policy().jobs().iter();
        let asked = jobs.filter(|rule| job.is_none_or(|job| rule.name == *job));
        let longest = asked.map(|rule| rule.limits.time.millis()).max();
        let mut datasets = self.policy().datasets().iter();
        let start = match datasets.any(|dataset| dataset.broker.is_some()) {
            true => START,
            false => Duration::ZERO,
        };
        start + Duration::from_millis(longest.unwrap_or(0)) + BEYOND_RUN_TIME
    }

    /// Waits until the host says the job of this number ended, handing every believed progress
    /// event of `reader` on. How it really ended stands in the receipt.
    ///
    /// # Errors
    /// The host is gone for minutes, lost the job, or says for longer than `patience` that it runs.
    pub async fn wait(
        &self,
        number: u64,
        patience: Duration,
        reader: &Identity,
        progress: impl FnMut(Event),
    ) -> Result<JobState, SessionError> {
        Ok(self.end_of(number, patience, reader, progress).await?.0)
    }

    /// The same, and the sealed receipt where the host gave it with the job's end.
    async fn end_of(
        &self,
        number: u64,
        patience: Duration,
        reader: &Identity,
        mut progress: impl FnMut(Event),
    ) -> Result<(JobState, Option<SealedReceipt>), SessionError> {
        let session = self.appraised().digest();
        let key = self.appraised().signing_public_key();
        let mut after = 0;
        let mut sequence = None;
        let begun = Instant::now();
        let mut heard = begun;
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = Instant::now();
            let left = patience.saturating_sub(begun.elapsed());
            let status = self.remote.job_status(session, number, after);
            let Ok(status) = tokio::time::timeout(left, status).await else {
                return Err(SessionError::WaitedOut {
                    session: *session,
                    number,
                    waited: begun.elapsed(),
                });
            };
            let status = match status {
                Ok(status) => status,
                Err(error) if !error.is_passing() => return Err(error.into()),
                Err(source) if heard.elapsed() > PATIENCE => {
                    return Err(SessionError::Unheard {
                        session: *session,
                        number,
                        silence: heard.elapsed(),
                        source: Box::new(source),
                    });
                }
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = PAUSE.min(pause * 2);
                    continue;
                }
            };
            heard = Instant::now();
            pause = FIRST_PAUSE;
            for sealed in &status.events {
                if sealed.card != *reader.card().digest() {
                    continue;
                }
                // What does not open is the host's invention.
                let Ok(event) = sealed.open(session, &key, reader) else {
                    continue;
                };
                if event.number == number && sequence < Some(event.sequence) {
                    sequence = Some(event.sequence);
                    progress(event);
                }
            }
            match status.state {
                JobState::Running | JobState::Waiting if status.next > after => after = status.next,
                // A host that answers at once with nothing is not asked without a pause.
                JobState::Running | JobState::Waiting if asked.elapsed() < PAUSE => {
                    tokio::time::sleep(PAUSE).await;
                }
                JobState::Running | JobState::Waiting => {}
                JobState::Lost => return Err(SessionError::Lost { number }),
                ended => return Ok((ended, status.receipt)),
            }
        }
    }

    /// Stops the job of this number, which its submitter alone may.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn cancel(&self, number: u64, submitter: &Identity) -> Result<(), SessionError> {
        let body = Body::Cancel(Cancel { number });
        match self.send(submitter, &body, CANCEL).await? {
            Outcome::Cancelled => Ok(()),
            _ => Err(SessionError::Mismatch { asked: CANCEL }),
        }
    }

    /// The receipt of the job of this number, opened and not verified: that is
    /// [`crate::verify`]'s.
    ///
    /// # Errors
    /// There is none, or it is not sealed to this reader.
    pub async fn receipt(&self, number: u64, reader: &Identity) -> Result<Envelope, SessionError> {
        let session = self.appraised().digest();
        let sealed = self.remote.receipt(session, number).await?;
        Ok(sealed.open(session, reader)?)
    }
}

impl Running<'_, '_> {
    /// Answers for the job's start where `owner` owns, or is the broker of, a dataset that waits for
    /// it; at once where nothing of the kind is asked. Waits until the host hands the question on.
    ///
    /// # Errors
    /// As [`Session::answer_start`].
    pub async fn answer_own_start(&self, owner: &Identity) -> Result<(), SessionError> {
        let session = self.session;
        let asked = |name: &Name| session.may_answer(owner.card(), name);
        if !self.answers.iter().any(asked) {
            return Ok(());
        }
        loop {
            let digest = session.appraised().digest();
            match session.remote.start_question(digest, self.number).await {
                Ok(Some(question)) if question.job == self.job => {
                    let now = SystemTime::now();
                    session.answer_start(owner, &question, now).await?;
                    return Ok(());
                }
                Err(error) if !error.is_passing() => return Err(error.into()),
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Waits until the host says the job ended: [`Session::wait`].
    ///
    /// # Errors
    /// As there.
    pub async fn wait(
        &self,
        reader: &Identity,
        progress: impl FnMut(Event),
    ) -> Result<JobState, SessionError> {
        let session = self.session;
        let ended = session.end_of(self.number, self.patience, reader, progress);
        let (state, sealed) = ended.await?;
        if let Some(sealed) = sealed {
            // Who waits again keeps the first.
            let _ = self.sealed.set(sealed);
        }
        Ok(state)
    }

    /// Stops the job.
    ///
    /// # Errors
    /// The enclave refuses.
    pub async fn cancel(&self, submitter: &Identity) -> Result<(), SessionError> {
        self.session.cancel(self.number, submitter).await
    }

    /// The job's receipt: [`Session::receipt`], not asked for again where it came with the job's end
    /// and opens.
    ///
    /// # Errors
    /// As there.
    pub async fn receipt(&self, reader: &Identity) -> Result<Envelope, SessionError> {
        let session = self.session.appraised().digest();
        let came = self.sealed.get();
        match came.and_then(|sealed| sealed.open(session, reader).ok()) {
            Some(envelope) => Ok(envelope),
            None => self.session.receipt(self.number, reader).await,
        }
    }
}

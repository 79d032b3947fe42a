//! Waiting for what others must give before a job can run.

use std::time::{Duration, Instant};

use mc2_protocol::documents::job::Job;

use super::{error::VerbError, member::Entered, missing::Missing};
use crate::{
    event::{Observer, RunEvent},
    session::Session,
    state::Submission,
    stop::Stop,
};

/// How often the enclave is asked whether it has everything.
const PAUSE: Duration = Duration::from_secs(1);

impl Entered<'_> {
    /// What a submission still wants, by the enclave's own word.
    ///
    /// # Errors
    /// [`VerbError`].
    pub async fn missing(
        &self,
        session: &Session<'_>,
        submission: &Submission,
    ) -> Result<Missing, VerbError> {
        let job = Job::parse(submission.bytes.as_slice())?;
        let rule = self.rule(&job.name)?;
        let status = session.status_once_heard(&self.identity).await?;
        let digest = &submission.job;
        Ok(Missing::of(&self.policy, rule, &job, digest, &status))
    }

    /// Comes back when the session has everything a submission wants, telling meanwhile for whom is
    /// waited.
    ///
    /// # Errors
    /// It has not after `patience`, or nobody wants to wait any longer.
    pub async fn ready(
        &self,
        session: &Session<'_>,
        submission: &Submission,
        patience: Duration,
        observer: &Observer,
        stop: &Stop,
    ) -> Result<(), VerbError> {
        let begun = Instant::now();
        let mut told = Missing::default();
        loop {
            let missing = self.missing(session, submission).await?;
            if missing.is_nothing() {
                return Ok(());
            }
            if begun.elapsed() >= patience {
                let job = submission.job;
                let missing = Box::new(missing);
                return Err(VerbError::Waiting { job, missing });
            }
            if missing != told {
                observer(RunEvent::Notice(&format!("waiting for {missing}")));
                told = missing;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                exit = stop.asked() => return Err(VerbError::Stopped(exit)),
            }
        }
    }
}

//! Handing the job over, and breaking that off.

use std::time::SystemTime;

use mc2_protocol::{Digest, documents::job::Job};

use super::{
    error::RunError,
    flow::CANCEL,
    plan::{Place, Plan},
};
use crate::{
    event::Observer,
    exit::Exit,
    session::{Running, Session},
    state::Submission,
    stop::Stop,
    unix_seconds,
    verbs::Handing,
};

impl Plan {
    /// Submits the job, unless it is asked to end meanwhile.
    pub(super) async fn submit<'s, 'h>(
        &self,
        session: &'s Session<'h>,
        job: &Job,
        observer: &Observer,
        stop: &Stop,
    ) -> Result<Running<'s, 'h>, RunError> {
        let mut submission = Submission::new(
            *session.appraised().digest(),
            *session.nonce(),
            job,
            *self.identity.card().digest(),
            session.policy(),
            unix_seconds(SystemTime::now()),
        );
        let mut running = match self.place {
            // Nobody else is there to wait for.
            Place::Here { .. } => {
                self.state.store_submission(&submission)?;
                let taken = session.submit(&self.identity, job);
                tokio::select! {
                    taken = taken => taken?,
                    // What takes it ends with this run.
                    exit = stop.asked() => return Err(RunError::Stopped(exit)),
                }
            }
            Place::Host { .. } => {
                let handing = Handing {
                    state: &self.state,
                    submitter: &self.identity,
                    queued: true,
                    observer,
                };
                let taken = handing.over::<RunError>(session, &mut submission);
                let stopped = tokio::select! {
                    taken = taken => Ok(taken?),
                    exit = stop.asked() => Err(exit),
                };
                match stopped {
                    Ok(taken) => taken,
                    Err(exit) => return Err(self.leave_off(session, &submission.job, exit).await),
                }
            }
        };
        running.patience = self.wait.unwrap_or(running.patience);
        Ok(running)
    }

    /// Breaks off where the job may be with the host, or with the enclave already: stops it, or says how
    /// to hear of it.
    async fn leave_off(&self, session: &Session<'_>, job: &Digest, exit: Exit) -> RunError {
        let left = async {
            // Where it did not leave there is no job.
            let number = self.state.submission(job)?.and_then(|it| it.number);
            if self.state.left(job)?.is_none() && number.is_none() {
                return Ok(true);
            }
            let status = session.status(&self.identity).await?;
            let taken = status.jobs.iter().find(|it| it.digest == *job);
            if let Some(taken) = taken {
                session.cancel(taken.number, &self.identity).await?;
            }
            if !self.is_shared() {
                // Nothing that the host still has of it is taken then.
                session.end(&self.identity).await?;
            } else if taken.is_none() {
                return Ok(false);
            }
            self.state.forget_left(job)?;
            Ok::<_, RunError>(true)
        };
        if let Ok(Ok(true)) = tokio::time::timeout(CANCEL, left).await {
            return RunError::Stopped(exit);
        }
        let digest = session.appraised().digest();
        let advice = match self.is_shared() {
            true => format!(
                "`mc2 submit {digest} --again {job}` hears what became of it, and `mc2 cancel \
                 {digest} {job}` stops it once it runs"
            ),
            false => {
                "the host did not answer in time; nobody but you can open its result".to_owned()
            }
        };
        RunError::LeftBehind {
            exit,
            job: *job,
            advice,
        }
    }
}

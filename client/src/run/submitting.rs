//! Handing the job over, and breaking that off.

use std::time::SystemTime;

use mc2_protocol::{Digest, Identity, documents::job::Job};

use super::{
    error::RunError,
    stopping::{CANCEL, unless_asked},
};
use crate::{
    event::Observer,
    exit::Exit,
    session::{Running, Session},
    state::{State, Submission},
    stop::Stop,
    unix_seconds,
    verbs::Handing,
};

/// Who hands a job over, and to what.
pub(crate) struct Submitting<'a> {
    pub(crate) state: &'a State,
    pub(crate) submitter: &'a Identity,
    /// Whether the host is this process's own.
    pub(crate) here: bool,
    /// Whether others take part in the session.
    pub(crate) shared: bool,
    pub(crate) observer: &'a Observer,
    pub(crate) stop: &'a Stop,
}

impl Submitting<'_> {
    /// Submits the job, unless it is asked to end meanwhile.
    pub(crate) async fn submit<'s, 'h>(
        &self,
        session: &'s Session<'h>,
        job: &Job,
    ) -> Result<Running<'s, 'h>, RunError> {
        let mut submission = Submission::new(
            *session.appraised().digest(),
            *session.nonce(),
            job,
            *self.submitter.card().digest(),
            session.policy(),
            unix_seconds(SystemTime::now()),
        );
        if self.here {
            // Nobody else is there to wait for.
            self.state.store_submission(&submission)?;
            let taken = session.submit(self.submitter, job);
            // What takes it ends with this process.
            return unless_asked(async { Ok(taken.await?) }, self.stop).await;
        }
        let handing = Handing {
            state: self.state,
            submitter: self.submitter,
            queued: true,
            observer: self.observer,
        };
        let taken = handing.over::<RunError>(session, &mut submission);
        let stopped = tokio::select! {
            taken = taken => Ok(taken?),
            exit = self.stop.asked() => Err(exit),
        };
        match stopped {
            Ok(taken) => Ok(taken),
            Err(exit) => Err(self.leave_off(session, &submission.job, exit).await),
        }
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
            let status = session.status(self.submitter).await?;
            let taken = status.jobs.iter().find(|it| it.digest == *job);
            if let Some(taken) = taken {
                session.cancel(taken.number, self.submitter).await?;
            }
            if !self.shared {
                // Nothing that the host still has of it is taken then.
                session.end(self.submitter).await?;
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
        let advice = match self.shared {
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

//! Handing a kept submission over, so that it is taken once whatever ends on the way.
//!
//! Its message is signed and sealed once and kept with what opens its answer before it leaves. A
//! later process asks for the answer by the same ticket, or sends the same bytes again: the enclave
//! takes a sequence number once.

use mc2_protocol::{Identity, documents::job::Job, encoding::JsonError};

use crate::{
    event::{Observer, RunEvent},
    session::{Queued, Running, Session, SessionError},
    state::{Left, State, StateError, Submission},
};

/// Who hands what over, and how.
#[derive(Clone, Copy)]
pub(crate) struct Handing<'a> {
    pub(crate) state: &'a State,
    pub(crate) submitter: &'a Identity,
    /// Whether it may wait for its turn in the host's queue.
    pub(crate) queued: bool,
    pub(crate) observer: &'a Observer,
}

impl Handing<'_> {
    /// Hands a submission over for the first time, and notes its number.
    ///
    /// # Errors
    /// The enclave or the host refuses, or the system.
    pub(crate) async fn over<'s, 'h, E>(
        self,
        session: &'s Session<'h>,
        submission: &mut Submission,
    ) -> Result<Running<'s, 'h>, E>
    where
        E: From<StateError> + From<SessionError> + From<JsonError>,
    {
        let on_its_way = StateError::OnItsWay {
            job: submission.job,
        };
        // Nobody else's to hand over, or to go on with, before this process is gone.
        let held = self.state.hold_left(&submission.job)?;
        if held.is_none() || self.state.left(&submission.job)?.is_some() {
            return Err(on_its_way.into());
        }
        // Another process may have, since this one read it.
        let kept = self.state.submission(&submission.job)?;
        if let Some(number) = kept.and_then(|kept| kept.number) {
            let job = submission.job;
            return Err(StateError::HandedOver { job, number }.into());
        }
        // The receipt repeats the nonce it leaves with, which may be newer than the one it was kept
        // with.
        submission.nonce = *session.nonce();
        self.state.store_submission(submission)?;
        let job = Job::parse(submission.bytes.as_slice())?;
        let (message, pending) = session.leaving(self.submitter, &job)?;
        let left = Left::new(submission.job, message, pending);
        self.state.store_left(&left)?;
        let running = self.go_on(session, submission, left).await;
        drop(held);
        running
    }

    /// Goes on with a submission that left before.
    ///
    /// # Errors
    /// As [`over`](Self::over). What left stays kept where it is [replayed](SessionError::is_replayed):
    /// the enclave may have taken it before.
    pub(crate) async fn go_on<'s, 'h, E>(
        self,
        session: &'s Session<'h>,
        submission: &mut Submission,
        mut left: Left,
    ) -> Result<Running<'s, 'h>, E>
    where
        E: From<StateError> + From<SessionError> + From<JsonError>,
    {
        let job = Job::parse(submission.bytes.as_slice())?;
        let number = match self.answered(session, &mut left).await {
            Err(Ended::Session(error)) => {
                if error.never_left() || error.is_refused() {
                    self.state.forget_left(&left.job)?;
                }
                return Err(error.into());
            }
            Err(Ended::State(error)) => return Err(error.into()),
            Ok(number) => number,
        };
        submission.number = Some(number);
        self.state.store_submission(submission)?;
        self.state.forget_left(&left.job)?;
        Ok(session.running(&job, number))
    }

    async fn answered(self, session: &Session<'_>, left: &mut Left) -> Result<u64, Ended> {
        if let Some(ticket) = left.ticket {
            match session.turn(&ticket, &left.pending, self.teller()).await {
                // Its answer is kept for ten minutes: the message itself says what became of it.
                Err(SessionError::NoTicket { .. }) => left.ticket = None,
                other => return Ok(other?),
            }
        }
        let message = left.message.as_slice();
        if !self.queued {
            return Ok(session.deliver(message, &left.pending).await?);
        }
        let ticket = session.leave(self.submitter, message, self.teller());
        let ticket = ticket.await?;
        left.ticket = Some(ticket);
        self.state.store_left(left)?;
        Ok(session.turn(&ticket, &left.pending, self.teller()).await?)
    }

    /// Tells where in the queue it is, whenever that is somewhere else.
    fn teller(self) -> impl FnMut(Queued) {
        let observer = self.observer.clone();
        let mut last = None;
        move |queued| {
            if last.replace(queued) == Some(queued) {
                return;
            }
            let told = match queued {
                Queued::Full(pause) => format!(
                    "the host's queue is full, by its own word: asking again in {} s",
                    pause.as_secs().max(1)
                ),
                Queued::Behind(0) => "queued at the host: next".to_owned(),
                Queued::Behind(before) => {
                    format!("queued at the host: at most {before} before this one")
                }
            };
            observer(RunEvent::Notice(&told));
        }
    }
}

/// Why there is no number.
enum Ended {
    Session(SessionError),
    State(StateError),
}

impl From<SessionError> for Ended {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<StateError> for Ended {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

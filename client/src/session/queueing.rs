//! A submission that goes by the host's queue: where the session has no place for a job it waits
//! there for its turn, instead of being refused.

use std::time::{Duration, Instant};

use mc2_protocol::{
    Identity,
    documents::{
        hosting::{TicketId, TicketState},
        job::Job,
        message::{Answer, Outcome, PendingAnswer},
    },
};

use super::{PATIENCE, error::SessionError, running::SUBMIT, telling::Session};
use crate::{http::HttpError, remote::RemoteError};

/// How long a place in a queue that is full is asked for.
const FULL: Duration = Duration::from_secs(10 * 60);
/// The longest pause that a host is granted by its `Retry-After`.
const LONGEST: Duration = Duration::from_secs(60);
/// The pause where it states none, or less.
const SHORTEST: Duration = Duration::from_millis(200);
/// How long the host is asked to wait for the answer, in seconds: at first, since most are there at
/// once; and from then on.
const WAITS: [u64; 2] = [1, 10];

/// Where a submission is that was not taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// The host's queue is full, and is asked again after so long.
    Full(Duration),
    /// In the queue: the host says that at most so many are passed on before it.
    Behind(u64),
}

impl Session<'_> {
    /// The message that submits a job, signed and sealed, and what opens its answer. The enclave
    /// takes it once, however often it is sent.
    ///
    /// # Errors
    /// It has no number, or nothing more is given to the session.
    pub fn leaving(
        &self,
        submitter: &Identity,
        job: &Job,
    ) -> Result<(Vec<u8>, PendingAnswer), SessionError> {
        self.seal(submitter, &self.submission(job)?)
    }

    /// Sends such a message to the enclave, past the queue, and returns the job's number.
    ///
    /// # Errors
    /// The enclave refuses: also where it has no place for a job just now.
    pub async fn deliver(
        &self,
        message: &[u8],
        pending: &PendingAnswer,
    ) -> Result<u64, SessionError> {
        let session = self.appraised().digest();
        let answer = self.remote.message(session, message.to_vec()).await?;
        self.number(pending, &answer)
    }

    /// Leaves such a message in the host's queue, asking again for ten minutes where that is full, and
    /// for two where the host says that the session's runtime is not back yet.
    ///
    /// # Errors
    /// The host does not take it. Where [it never left](SessionError::never_left), nobody has it.
    pub async fn leave(
        &self,
        submitter: &Identity,
        message: &[u8],
        mut told: impl FnMut(Queued),
    ) -> Result<TicketId, SessionError> {
        let (session, party) = (self.appraised().digest(), submitter.card().digest());
        let begun = Instant::now();
        loop {
            let error = match self.remote.leave(session, party, message.to_vec()).await {
                Ok(ticket) => return Ok(ticket),
                Err(error) => error,
            };
            let RemoteError::Http(HttpError::Refused {
                status,
                retry_after,
                ..
            }) = &error
            else {
                return Err(error.into());
            };
            let patience = match status {
                429 => FULL,
                503 => PATIENCE,
                _ => return Err(error.into()),
            };
            let pause = retry_after.unwrap_or_default().clamp(SHORTEST, LONGEST);
            if begun.elapsed() + pause > patience {
                return Err(error.into());
            }
            if *status == 429 {
                told(Queued::Full(pause));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until the enclave answered a message that was left in the queue, and returns the job's
    /// number. It waits as long as the host says that it is queued.
    ///
    /// # Errors
    /// The enclave refuses; the session is over; the host does not know the ticket any more, or is
    /// not heard for two minutes.
    pub async fn turn(
        &self,
        ticket: &TicketId,
        pending: &PendingAnswer,
        mut told: impl FnMut(Queued),
    ) -> Result<u64, SessionError> {
        let session = self.appraised().digest();
        let mut heard = Instant::now();
        let [mut wait, longer] = WAITS;
        loop {
            let asked = Instant::now();
            match self.remote.ticket(session, ticket, wait).await {
                Ok(TicketState::Answered { answer }) => {
                    let answer = Answer::parse(answer.as_slice()).map_err(RemoteError::from)?;
                    return self.number(pending, &answer);
                }
                Ok(TicketState::Queued { position }) => {
                    heard = Instant::now();
                    told(Queued::Behind(position));
                }
                Err(RemoteError::Http(error)) if error.code() == Some("unknown-ticket") => {
                    return Err(SessionError::NoTicket { ticket: *ticket });
                }
                Err(error) if !error.is_passing() || heard.elapsed() > PATIENCE => {
                    return Err(error.into());
                }
                Err(_) => {}
            }
            // A host that answers at once with nothing new is not asked without a pause.
            if asked.elapsed() < SHORTEST {
                tokio::time::sleep(SHORTEST).await;
            }
            wait = longer;
        }
    }

    fn number(&self, pending: &PendingAnswer, answer: &Answer) -> Result<u64, SessionError> {
        match self.heard(pending, answer, SUBMIT)? {
            Outcome::Submitted { number } => Ok(number),
            _ => Err(SessionError::Mismatch { asked: SUBMIT }),
        }
    }
}

//! Following a job to its end, and stopping one.

use std::{
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use mc2_attestation::Check;
use mc2_protocol::documents::{dsse::Envelope, failure::FailureDetail};

use super::{
    error::VerbError,
    member::{Entered, is_beginning, not_a_digest},
};
use crate::{
    custody::{self, CustodyKey},
    event::{Observer, Phase, RunEvent},
    results::{keep_receipt, keep_sealed},
    session::Session,
    state::Submission,
    stop::Stop,
    terminal::printable,
    verify::{Expected, Verified, failure, figures::Figures, verify},
};

/// Which job is watched, and what is kept of it.
#[derive(Clone, Debug)]
pub struct Watching {
    /// Its number in the session, or its digest where it was submitted from here.
    pub job: String,
    /// How long its end is waited for.
    pub wait: Option<Duration>,
    /// Where its receipt and sealed outputs go.
    pub keep_sealed: Option<PathBuf>,
}

/// A job that has ended, its receipt verified and kept.
pub struct Ended {
    /// Its number in the session.
    pub number: u64,
    /// The receipt, every link of it followed.
    pub verified: Verified,
    /// Those links.
    pub checks: Vec<Check>,
    /// What it used, as far as this party may know.
    pub figures: Figures,
    /// Why it failed, as far as this party may know.
    pub failed: FailureDetail,
    /// Where the receipt is kept.
    pub receipt: PathBuf,
    /// The keys it left in this party's custody, which are kept.
    pub kept: Vec<CustodyKey>,
    /// Whether it was submitted from here.
    pub own: bool,
}

/// A job as a person named it.
struct Named {
    number: u64,
    submission: Option<Submission>,
}

impl Entered<'_> {
    /// Follows a job until it has ended, verifies its receipt and keeps it, and with it the keys of
    /// what it left in this party's custody.
    ///
    /// # Errors
    /// [`VerbError`]; a job that failed is none. Asked to stop, it stops watching and the job goes
    /// on.
    pub async fn watch(
        &self,
        session: &Session<'_>,
        watching: &Watching,
        observer: &Observer,
        stop: &Stop,
    ) -> Result<Ended, VerbError> {
        let Named { number, submission } = self.named(session, &watching.job).await?;
        let name = submission.as_ref().and_then(Submission::name);
        let patience = watching.wait;
        let patience = patience.unwrap_or_else(|| session.patience(name.as_ref()));
        let begun = Instant::now();
        observer(RunEvent::Begun(Phase::Run, Some(1000)));
        let waiting = session.wait(number, patience, &self.identity, |event| {
            observer(RunEvent::Done(Phase::Run, event.permille.into()));
            observer(RunEvent::Progress(&printable(&event.text)));
        });
        tokio::select! {
            ended = waiting => { ended?; }
            exit = stop.asked() => return Err(VerbError::Stopped(exit)),
        }
        observer(RunEvent::Ended(Phase::Run, begun.elapsed()));
        let envelope = session.receipt(number, &self.identity).await?;
        let (checks, verified) = self.verified(&envelope, number, submission.as_ref())?;
        observer(RunEvent::Verified(&checks));
        let state = &self.member.state;
        let receipt = keep_receipt(state, &envelope, &self.trust, &verified)?;
        let kept = custody::kept(&verified, &self.identity)?;
        for key in &kept {
            state.store_custody_key(key)?;
        }
        if let Some(path) = &watching.keep_sealed {
            state.store_place(path, &verified.receipt.job)?;
            keep_sealed(&self.remote, &envelope, &verified, path).await?;
        }
        let digest = verified.session.digest();
        let reader = std::slice::from_ref(&self.identity);
        Ok(Ended {
            number,
            figures: Figures::open(&verified.receipt, digest, reader),
            failed: failure::detail(&verified.receipt, digest, reader),
            checks,
            verified,
            receipt,
            kept,
            own: submission.is_some(),
        })
    }

    /// Stops a job that was submitted from here.
    ///
    /// # Errors
    /// It is not known, or the enclave refuses.
    pub async fn cancel(&self, session: &Session<'_>, job: &str) -> Result<u64, VerbError> {
        let number = self.named(session, job).await?.number;
        session.cancel(number, &self.identity).await?;
        Ok(number)
    }

    async fn named(&self, session: &Session<'_>, asked: &str) -> Result<Named, VerbError> {
        let unknown = || VerbError::UnknownJob {
            asked: asked.to_owned(),
            session: self.known.session,
        };
        if asked.len() < crate::state::SHORTEST
            && let Ok(number) = asked.parse()
        {
            let mut own = self.own_submissions()?.into_iter();
            let submission = own.find(|one| one.number == Some(number));
            return Ok(Named { number, submission });
        }
        if !is_beginning(asked) {
            return Err(not_a_digest(asked, "job"));
        }
        let submission = self.submitted(asked)?.ok_or_else(unknown)?;
        let number = match submission.number {
            Some(number) => number,
            None => self.find(session, &submission).await?.ok_or_else(unknown)?,
        };
        Ok(Named {
            number,
            submission: Some(self.note(submission, number)?),
        })
    }

    /// The receipt of the job of this number, once it verifies as what this party knows of it.
    pub(super) fn verified(
        &self,
        envelope: &Envelope,
        number: u64,
        own: Option<&Submission>,
    ) -> Result<(Vec<Check>, Verified), VerbError> {
        let verdict = verify(
            envelope,
            &Expected {
                trust: &self.trust,
                allow_simulated: self.member.allow_simulated,
                now: SystemTime::now(),
                policy: Some(&self.policy),
                components: None,
                nonce: own.map(|own| &own.nonce),
                session: Some(&self.known.session),
                number: Some(number),
                job: own.map(|own| &own.job),
                submitter: own.map(|own| &own.submitter),
                collateral: self.member.collateral.as_ref(),
            },
        );
        let checks = verdict.checks.clone();
        let verified = verdict.accept()?;
        self.member
            .state
            .note_seen(&verified.session, SystemTime::now())?;
        Ok((checks, verified))
    }
}

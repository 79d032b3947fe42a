//! One call: attested, keys released, run, verified, opened.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    pin::pin,
    sync::atomic::{AtomicU8, Ordering},
    time::SystemTime,
};

use mc2_attestation::Check;
use mc2_protocol::{
    Digest, Name,
    documents::{job::Job, message::Release, receipt::Status},
    policy::Limits,
};
use rand_core::Rng as _;

use super::{
    Enclave, Held,
    results::{self, Output, Results},
    sessions::{Kept, Shape},
};
use crate::{
    event::{Observer, Phase, RunEvent},
    policy::{OneParty, generous_limits},
    results::keep_receipt,
    run::{CANCEL, RunError, Submitting},
    session::{Running, Session},
    stop::Stop,
    terminal::printable,
    verify::{Expected, Verified, failure, figures::Figures, verify},
    workload::Workload,
};

/// What is to be run.
#[derive(Clone)]
pub struct Call {
    /// The component.
    pub workload: Workload,
    /// The inputs, each with the sealed data it is.
    pub inputs: Vec<(Name, Held)>,
    /// The outputs, and where they go.
    pub outputs: Vec<Output>,
    /// The command line after the component's name.
    pub arguments: Vec<String>,
    /// What it may use.
    pub limits: Limits,
    /// How many instances run together.
    pub instances: u32,
}

/// How far a call is.
#[derive(Default)]
struct Course(AtomicU8);

impl Course {
    /// Its job was sent, and may run.
    const SUBMITTED: u8 = 1;
    /// Its job was taken.
    const TAKEN: u8 = 2;
    /// Its job has ended.
    const ENDED: u8 = 3;

    fn may_run(&self) -> bool {
        matches!(
            self.0.load(Ordering::Relaxed),
            Self::SUBMITTED | Self::TAKEN
        )
    }

    fn taken(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::TAKEN
    }
}

/// A call that ended with a verified receipt. A guest that failed is none the less done.
pub struct Done {
    /// How the guest ended.
    pub status: Status,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// Why it failed, for people; its own message where it left one.
    pub failure: Option<String>,
    /// The outputs that are kept in memory, opened.
    pub outputs: BTreeMap<String, Vec<u8>>,
    /// The outputs that were written, and where.
    pub written: BTreeMap<String, PathBuf>,
    /// Whether there was no enclave at all. NOT SECURE.
    pub simulated: bool,
    /// The session's digest.
    pub session: Digest,
    /// The policy's digest.
    pub policy: Digest,
    /// The component's digest.
    pub component: Digest,
    /// The job's digest.
    pub job: Digest,
    /// Every check of the evidence.
    pub attestation: Vec<Check>,
    /// Every link of the receipt.
    pub verification: Vec<Check>,
    /// Figures of each step.
    pub figures: Figures,
    /// Where the receipt is kept.
    pub receipt: PathBuf,
}

impl Call {
    /// A call of a component without inputs, outputs or arguments, under the limits of `mc2-run`.
    pub fn of(workload: Workload) -> Self {
        Self {
            workload,
            inputs: Vec::new(),
            outputs: Vec::new(),
            arguments: Vec::new(),
            limits: generous_limits(),
            instances: 1,
        }
    }
}

impl Enclave {
    /// Opens the session that a call would use, where it is not open, and appraises its evidence: every
    /// check, and why it is refused where it is.
    ///
    /// # Errors
    /// The host did not answer well.
    pub async fn attest(
        &self,
        call: &Call,
        stop: &Stop,
    ) -> Result<(Vec<Check>, Option<RunError>), RunError> {
        let shape = Shape::of(call)?;
        let kept = tokio::select! {
            kept = self.sessions.of(self, &shape, call) => kept?,
            exit = stop.asked() => return Err(RunError::Stopped(exit)),
        };
        let (checks, session) = kept.appraise(self);
        if session.is_err() {
            kept.keep_refused(self)?;
        }
        Ok((checks, session.err()))
    }

    /// Runs a component over sealed data and opens what comes of it, once its receipt was verified.
    ///
    /// # Errors
    /// [`RunError`]; a guest that fails is none.
    pub async fn call(
        &self,
        call: &Call,
        observer: &Observer,
        stop: &Stop,
    ) -> Result<Done, RunError> {
        let shape = Shape::of(call)?;
        let course = Course::default();
        let result = match self.stoppable(call, &shape, observer, stop, &course).await {
            // The host was started again, or forgot the session, before it took the job. Where it goes
            // away with a job that runs, that is not run a second time.
            Err(RunError::Session(error)) if error.is_over() && !course.taken() => {
                self.sessions.forget(&shape).await;
                self.stoppable(call, &shape, observer, stop, &course).await
            }
            result => result,
        };
        if result.is_err() {
            // Whatever it was, the next call begins anew.
            self.sessions.forget(&shape).await;
        }
        result
    }

    async fn stoppable(
        &self,
        call: &Call,
        shape: &Shape,
        observer: &Observer,
        stop: &Stop,
        course: &Course,
    ) -> Result<Done, RunError> {
        let mut flow = pin!(self.flow(call, shape, observer, stop, course));
        tokio::select! {
            result = &mut flow => result,
            exit = stop.asked() => {
                if course.may_run() {
                    // The job is being cancelled by the flow itself, which takes so long at most.
                    return tokio::time::timeout(2 * CANCEL, flow)
                        .await
                        .unwrap_or(Err(RunError::Stopped(exit)));
                }
                Err(RunError::Stopped(exit))
            }
        }
    }

    async fn flow(
        &self,
        call: &Call,
        shape: &Shape,
        observer: &Observer,
        stop: &Stop,
        course: &Course,
    ) -> Result<Done, RunError> {
        // Never closed.
        let _turn = self.running.acquire().await;
        observer(RunEvent::Begun(Phase::Compile, None));
        let kept = self.sessions.of(self, shape, call).await?;
        let (attestation, session) = kept.appraise(self);
        observer(RunEvent::Attested(&attestation));
        if session.is_err() {
            kept.keep_refused(self)?;
        }
        let session = session?;
        self.state
            .note_seen(session.appraised(), SystemTime::now())?;

        observer(RunEvent::Begun(Phase::Submit, None));
        let job = self.draft(call, &kept)?;
        self.release(call, &session).await?;
        // From here on there may be a job, which the flow ends itself.
        course.0.store(Course::SUBMITTED, Ordering::Relaxed);
        let submitting = Submitting {
            state: &self.state,
            submitter: &self.identity,
            here: self.here,
            shared: false,
            observer,
            stop,
        };
        let job = submitting.submit(&session, &job).await?;
        course.0.store(Course::TAKEN, Ordering::Relaxed);
        self.wait(&job, observer, stop).await?;
        course.0.store(Course::ENDED, Ordering::Relaxed);

        let verification = self.verified(&kept, &session, &job).await?;
        let (verification, verified, receipt) = verification;
        observer(RunEvent::Begun(Phase::Open, None));
        let results = results::open(&self.remote, &self.identity, &verified, &call.outputs).await?;
        Ok(self.done(attestation, verification, &verified, receipt, results, call))
    }

    /// The job of a call.
    fn draft(&self, call: &Call, kept: &Kept) -> Result<Job, RunError> {
        let mut salt = [0; 32];
        crate::random().fill_bytes(&mut salt);
        let objects: BTreeMap<Name, Digest> = call
            .inputs
            .iter()
            .map(|(_, held)| (held.dataset().clone(), *held.object()))
            .collect();
        let name: Name = OneParty::JOB
            .parse()
            // A constant within the alphabet.
            .unwrap_or_else(|error| unreachable!("{error}"));
        let arguments = vec![call.arguments.clone()];
        Ok(kept.policy().draft(&name, &objects, arguments, salt)?)
    }

    /// Releases the keys of what a call reads, each for its one run.
    async fn release(&self, call: &Call, session: &Session<'_>) -> Result<(), RunError> {
        let held: BTreeMap<&Digest, &Held> = call
            .inputs
            .iter()
            .map(|(_, held)| (held.object(), held))
            .collect();
        if held.is_empty() {
            return Ok(());
        }
        let keys: Vec<Release> = held
            .into_values()
            .map(|held| Release {
                key: held.key.clone(),
                length: None,
                runs: 1,
            })
            .collect();
        let going = keys.iter();
        let going = going.map(|Release { key, .. }| (&key.dataset, &key.object));
        let releasing = self.state.releasing(session.appraised().digest(), going)?;
        let (ledger, now) = (self.state.ledger(), SystemTime::now());
        session.release(&self.identity, &ledger, keys, now).await?;
        drop(releasing);
        Ok(())
    }

    async fn wait(
        &self,
        job: &Running<'_, '_>,
        observer: &Observer,
        stop: &Stop,
    ) -> Result<(), RunError> {
        observer(RunEvent::Begun(Phase::Run, Some(1000)));
        let waiting = job.wait(&self.identity, |event| {
            observer(RunEvent::Done(Phase::Run, event.permille.into()));
            observer(RunEvent::Progress(&printable(&event.text)));
        });
        tokio::select! {
            ended = waiting => { ended?; }
            exit = stop.asked() => {
                // Whether it is told in time or not, nothing more is done here.
                let _ = job.cancel(&self.identity).await;
                return Err(RunError::Stopped(exit));
            }
        }
        Ok(())
    }

    /// The receipt of a job that ended, followed back to the evidence, and where it is kept.
    async fn verified(
        &self,
        kept: &Kept,
        session: &Session<'_>,
        job: &Running<'_, '_>,
    ) -> Result<(Vec<Check>, Verified, PathBuf), RunError> {
        let envelope = job.receipt(&self.identity).await?;
        let verdict = verify(
            &envelope,
            &Expected {
                trust: &self.trust,
                allow_simulated: self.allow_simulated,
                now: SystemTime::now(),
                policy: Some(kept.policy()),
                components: Some(kept.components()),
                nonce: Some(session.nonce()),
                session: Some(session.appraised().digest()),
                number: Some(job.number),
                job: Some(&job.job),
                submitter: Some(self.identity.card().digest()),
                collateral: self.collateral.as_ref(),
            },
        );
        let checks = verdict.checks.clone();
        let verified = verdict.accept()?;
        self.state.note_seen(&verified.session, SystemTime::now())?;
        let receipt = keep_receipt(&self.state, &envelope, &self.trust, &verified)?;
        Ok((checks, verified, receipt))
    }

    fn done(
        &self,
        attestation: Vec<Check>,
        verification: Vec<Check>,
        verified: &Verified,
        receipt: PathBuf,
        results: Results,
        call: &Call,
    ) -> Done {
        let session = verified.session.digest();
        let reader = std::slice::from_ref(&self.identity);
        let failure = match &verified.receipt.status {
            Status::Succeeded => None,
            Status::Failed { reason, .. } => {
                let output = failure::detail(&verified.receipt, session, reader).output;
                let words = results.error.as_deref().unwrap_or_default();
                Some(failure::told_of(reason, output.as_ref(), words))
            }
        };
        Done {
            status: verified.receipt.status.clone(),
            stdout: results.stdout,
            stderr: results.stderr,
            failure,
            outputs: results.outputs,
            written: results.written,
            simulated: verified.session.is_simulated(),
            session: *session,
            policy: *verified.policy.digest(),
            component: call.workload.sha256,
            job: verified.receipt.job,
            attestation,
            verification,
            figures: Figures::open(&verified.receipt, session, reader),
            receipt,
        }
    }
}

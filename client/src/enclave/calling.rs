//! One call: attested, keys released, run, verified, opened.

use std::{collections::BTreeMap, path::PathBuf, time::SystemTime};

use mc2_attestation::Check;
use mc2_protocol::{
    Digest, Name,
    documents::{job::Job, message::Release},
    policy::Limits,
};
use rand_core::Rng as _;

use super::{
    Enclave, Held,
    sessions::{Kept, Shape},
};
use crate::{
    event::{Observer, Phase, RunEvent},
    policy::{OneParty, generous_limits},
    results::keep_receipt,
    run::{
        Course, InputError, Output, Phases, Readable, Report, RunError, Submitting, Trail,
        unless_asked, unless_stopped, wait,
    },
    session::{Running, Session},
    stop::Stop,
    verify::{Expected, Verified, verify},
    workload::Workload,
};

const NO_CALL: &str =
    "without a policy each shape of a call has a session of its own: say which call";

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
    /// How many instances run together; one, or what the policy says, where nothing is said.
    pub instances: Option<u32>,
    /// Which of the policy's jobs, where one was agreed and has several of this component.
    pub job: Option<String>,
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
            instances: None,
            job: None,
        }
    }
}

impl Enclave {
    /// Opens the session that a call would use, where it is not open, and appraises its evidence: every
    /// check, and why it is refused where it is. Under a policy that was agreed it is the same for every
    /// call.
    ///
    /// # Errors
    /// The host did not answer well.
    pub async fn attest(
        &self,
        call: Option<&Call>,
        stop: &Stop,
    ) -> Result<(Vec<Check>, Option<RunError>), RunError> {
        if let Some(agreed) = &self.agreed {
            let workload = call.map(|call| &call.workload);
            let attested = unless_asked(self.attest_agreed(agreed, workload), stop).await?;
            let checks = attested.checks.clone();
            return Ok((checks, attested.accept().err().map(Into::into)));
        }
        let call = call.ok_or(InputError::Together(NO_CALL))?;
        let shape = Shape::of(call)?;
        let kept = unless_asked(self.sessions.of(self, &shape, call), stop).await?;
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
    ) -> Result<Report, RunError> {
        if let Some(agreed) = &self.agreed {
            return self.call_agreed(agreed, call, observer, stop).await;
        }
        if call.job.is_some() {
            let words = "job goes with a policy: it names one of its jobs";
            return Err(InputError::Together(words).into());
        }
        let shape = Shape::of(call)?;
        let course = Course::default();
        let stoppable = || {
            let flow = self.flow(call, &shape, observer, stop, &course);
            unless_stopped(flow, &course, stop)
        };
        let result = match stoppable().await {
            // The host was started again, or forgot the session, before it took the job. Where it goes
            // away with a job that runs, that is not run a second time.
            Err(RunError::Session(error)) if error.is_over() && !course.was_taken() => {
                self.sessions.forget(&shape).await;
                stoppable().await
            }
            result => result,
        };
        if result.is_err() {
            // Whatever it was, the next call begins anew.
            self.sessions.forget(&shape).await;
        }
        result
    }

    async fn flow(
        &self,
        call: &Call,
        shape: &Shape,
        observer: &Observer,
        stop: &Stop,
        course: &Course,
    ) -> Result<Report, RunError> {
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
        course.submits();
        let submitting = Submitting {
            state: &self.state,
            submitter: &self.identity,
            here: self.here,
            shared: false,
            observer,
            stop,
        };
        let job = submitting.submit(&session, &job).await?;
        course.is_taken();
        observer(RunEvent::Begun(Phase::Run, Some(1000)));
        wait(&job, &self.identity, observer, stop).await?;
        course.has_ended();

        let verification = self.verified(&kept, &session, &job).await?;
        let (verification, verified, receipt) = verification;
        let readable = Readable::of(&self.identity, &verified)?;
        observer(RunEvent::Begun(Phase::Open, Some(readable.length())));
        let opening = readable.open(&self.remote, &call.outputs, None, observer);
        let results = opening.await?;
        let trail = Trail {
            attestation,
            verification,
            receipt,
            phases: Phases::default(),
        };
        let component = call.workload.sha256;
        Ok(Report::new(
            &verified,
            &self.identity,
            component,
            results,
            trail,
        ))
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
}

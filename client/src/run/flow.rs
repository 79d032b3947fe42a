//! The run itself, phase by phase.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::Arc,
    time::{Instant, SystemTime},
};

use mc2_attestation::{Check, TrustStore};
use mc2_protocol::{
    Digest, Name,
    documents::{dsse::Envelope, job::Job, message::Release, record::ComponentDigest},
};

use super::{
    embedded::Embedded,
    error::RunError,
    plan::{Place, Plan, of_input},
    report::{Report, Trail},
    results::Readable,
    several::Own,
    stopping::{CANCEL, Course, unless_stopped, wait},
    submitting::Submitting,
    timer::Timer,
};
use crate::{
    custody,
    event::{Observer, Phase, RunEvent},
    policy::approval,
    remote::{Remote, RemoteError},
    results::{keep_receipt, keep_sealed},
    session::{Opened, Running, Session, Verifier},
    state::Given,
    stop::Stop,
    verify::{Expected, Verified, verify},
};

impl Plan {
    /// Runs it.
    ///
    /// # Errors
    /// [`RunError`]; a guest that fails is none.
    pub async fn run(self, observer: &Observer, stop: &Stop) -> Result<Report, RunError> {
        let mut timer = Timer::new(observer);
        match &self.place {
            Place::Here { simulator, profile } => {
                observer(RunEvent::Notice(
                    "NOT SECURE: this run uses a simulated enclave on this machine",
                ));
                timer.begin(Phase::Start, None);
                let mut starting = pin!(Embedded::start(simulator, profile, None));
                let embedded = tokio::select! {
                    started = &mut starting => started?,
                    exit = stop.asked() => {
                        // What has half started is ended in order, or it would go on writing into
                        // the folder that is being removed.
                        let started = tokio::time::timeout(CANCEL, starting).await;
                        if let Ok(Ok(embedded)) = started {
                            embedded.stop().await;
                        }
                        return Err(RunError::Stopped(exit));
                    }
                };
                timer.end(Phase::Start);
                let remote = embedded.remote();
                let result = match &remote {
                    Ok(remote) => self.stoppable(remote, &embedded.trust, timer, stop).await,
                    Err(_) => remote.map(|_| unreachable!("an error")),
                };
                embedded.stop().await;
                result
            }
            Place::Host { address, trust } => {
                let remote = Remote::connect(address.clone(), trust)?;
                self.stoppable(&remote, &self.trust, timer, stop).await
            }
        }
    }

    /// Runs it at a host that is connected.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) async fn run_at(
        &self,
        remote: &Remote,
        observer: &Observer,
        stop: &Stop,
    ) -> Result<Report, RunError> {
        let timer = Timer::new(observer);
        self.stoppable(remote, &self.trust, timer, stop).await
    }

    async fn stoppable(
        &self,
        remote: &Remote,
        trust: &TrustStore,
        timer: Timer<'_>,
        stop: &Stop,
    ) -> Result<Report, RunError> {
        let course = Course::default();
        let flow = self.flow(remote, trust, timer, stop, &course);
        unless_stopped(flow, &course, stop).await
    }

    async fn flow(
        &self,
        remote: &Remote,
        trust: &TrustStore,
        mut timer: Timer<'_>,
        stop: &Stop,
        course: &Course,
    ) -> Result<Report, RunError> {
        let (given, opened) = self.prepare(remote, &mut timer).await?;

        timer.begin(Phase::Attest, None);
        let own = self.own_components();
        let verifier = Verifier {
            trust,
            allow_simulated: self.allow_simulated,
            now: SystemTime::now(),
            components: own.as_deref(),
            collateral: self.collateral.as_ref(),
        };
        let known = self.known(&opened)?;
        let evidence = opened.answered().evidence.clone();
        let (attestation, session) = opened.appraise(&verifier);
        (timer.observer)(RunEvent::Attested(&attestation));
        if session.is_err() {
            self.state.keep_refused(&evidence)?;
        }
        let mut session = session?;
        self.state.note_seen(session.appraised(), verifier.now)?;
        if session.appraised().is_simulated() && matches!(self.place, Place::Host { .. }) {
            (timer.observer)(RunEvent::Notice(
                "NOT SECURE: that host runs a simulated enclave",
            ));
        }
        if let Some(known) = &known {
            session = self.share(known, session, timer.observer)?;
        }
        timer.end(Phase::Attest);
        let given = match given {
            Some(given) => given,
            None => self.seal_lacking(remote, &session, &mut timer).await?,
        };

        timer.begin(Phase::Submit, None);
        let job = self.consented(&session, given, timer.observer).await?;
        // From here on there may be a job, which this ends itself.
        course.submits();
        let submitting = Submitting {
            state: &self.state,
            submitter: &self.identity,
            here: matches!(self.place, Place::Here { .. }),
            shared: self.is_shared(),
            observer: timer.observer,
            stop,
        };
        let mut job = submitting.submit(&session, &job).await?;
        job.patience = self.wait.unwrap_or(job.patience);
        course.is_taken();
        timer.end(Phase::Submit);

        timer.begin(Phase::Run, Some(1000));
        wait(&job, &self.identity, timer.observer, stop).await?;
        course.has_ended();
        timer.end(Phase::Run);

        timer.begin(Phase::Verify, None);
        let envelope = job.receipt(&self.identity).await?;
        // What the session was for is done; where it does not end now, it ends with its process.
        // One that others take part in is theirs too.
        if !self.is_shared() {
            let _ = session.end(&self.identity).await;
        }
        let (verification, verified) =
            self.verify(&envelope, &session, &job, trust, own.as_deref());
        (timer.observer)(RunEvent::Verified(&verification));
        let verified = verified?;
        self.state.note_seen(&verified.session, SystemTime::now())?;
        let receipt = keep_receipt(&self.state, &envelope, trust, &verified)?;
        for key in custody::kept(&verified, &self.identity)? {
            self.state.store_custody_key(&key)?;
        }
        timer.end(Phase::Verify);

        if let Some(path) = &self.keep_sealed {
            self.state.store_place(path, &job.job)?;
            keep_sealed(remote, &envelope, &verified, path).await?;
        }
        let readable = Readable::of(&self.identity, &verified)?;
        timer.begin(Phase::Open, Some(readable.length()));
        let opening = readable.open(remote, &self.outputs, self.stdout.as_ref(), timer.observer);
        let results = opening.await?;
        timer.end(Phase::Open);
        let trail = Trail {
            attestation,
            verification,
            receipt,
            phases: timer.phases,
        };
        let component = self.workload.sha256;
        Ok(Report::new(
            &verified,
            &self.identity,
            component,
            results,
            trail,
        ))
    }

    /// Seals and stores the inputs while the host measures and compiles the component; those of a run
    /// that joins a session only once it is known what that has.
    async fn prepare<'h>(
        &self,
        remote: &'h Remote,
        timer: &mut Timer<'_>,
    ) -> Result<(Option<Own>, Opened<'h>), RunError> {
        let seals = !self.inputs.is_empty() && !self.joins();
        if seals {
            timer.begin(Phase::Seal, Some(self.input_length()));
        }
        timer.begin(Phase::Compile, None);
        let observer = timer.observer;
        let seal = async {
            let own = match self.joins() {
                true => None,
                false => Some(self.upload(remote, observer, BTreeMap::new()).await?),
            };
            Ok::<_, RunError>((own, Instant::now()))
        };
        let open = async {
            let sha256 = &self.workload.sha256;
            if !remote
                .has_component(sha256)
                .await
                .map_err(RemoteError::from)?
            {
                let wasm = self.workload.wasm.clone();
                remote
                    .put_component(sha256, wasm)
                    .await
                    .map_err(RemoteError::from)?;
            }
            let opened = self.enter(remote).await?;
            Ok::<_, RunError>((opened, Instant::now()))
        };
        let ((own, sealed), (opened, compiled)) = tokio::try_join!(seal, open)?;
        if seals {
            timer.end_at(Phase::Seal, sealed);
        }
        timer.end_at(Phase::Compile, compiled);
        Ok((own, opened))
    }

    /// Seals and stores the inputs but those the session has the key of.
    pub(super) async fn upload(
        &self,
        remote: &Remote,
        observer: &Observer,
        held: BTreeMap<Name, Digest>,
    ) -> Result<Own, RunError> {
        let mut before = 0;
        let mut own = Own {
            held,
            ..Own::default()
        };
        for input in &self.inputs {
            if own.held.contains_key(&input.dataset) {
                continue;
            }
            // As the files are before they are read.
            let mark = input.mark().map_err(of_input(input.dataset.to_string()))?;
            let observer = Arc::clone(observer);
            let progress = move |done| observer(RunEvent::Done(Phase::Seal, before + done));
            // What is begun at a host of this run's own ends with it.
            let kept = match self.place {
                Place::Here { .. } => None,
                Place::Host { .. } => Some(&self.state),
            };
            let sending = input.send::<RunError>(remote, &self.identity, kept, progress);
            let key = sending.await?;
            before += input.length();
            if let Some(mark) = mark {
                own.given
                    .push((input.dataset.clone(), Given::new(key.object, mark)));
            }
            own.keys.push(Release {
                key,
                length: None,
                runs: 1,
            });
        }
        Ok(own)
    }

    /// The component measured here, where it is the policy's only one.
    fn own_components(&self) -> Option<Vec<ComponentDigest>> {
        let [component] = self.policy.components() else {
            return None;
        };
        Some(vec![ComponentDigest {
            name: component.name.clone(),
            sha256: self.workload.sha256,
        }])
    }

    /// The job, once everything it needs was given.
    async fn consented(
        &self,
        session: &Session<'_>,
        own: Own,
        observer: &Observer,
    ) -> Result<Job, RunError> {
        if self.is_shared() {
            self.consent(session, own, observer).await
        } else {
            self.consent_alone(session, own.keys, observer).await
        }
    }

    /// Gives what is this party's to give, and returns the job.
    async fn consent_alone(
        &self,
        session: &Session<'_>,
        keys: Vec<Release>,
        observer: &Observer,
    ) -> Result<Job, RunError> {
        let objects: BTreeMap<Name, Digest> = keys
            .iter()
            .map(|Release { key, .. }| (key.dataset.clone(), key.object))
            .collect();
        let job = self.draft(&objects)?;
        let bytes = job.to_bytes();
        if let Some(text) = approval::asked_of(&self.policy, &self.job, &self.identity, &bytes)? {
            observer(RunEvent::Approving(&text));
        }
        self.release(session, keys).await?;
        let digest = Digest::of(&bytes);
        session.approve(&self.identity, &self.job, &digest).await?;
        Ok(job)
    }

    /// Releases this party's own keys, unless something of them was revoked meanwhile.
    pub(super) async fn release(
        &self,
        session: &Session<'_>,
        keys: Vec<Release>,
    ) -> Result<(), RunError> {
        let (ledger, now) = (self.state.ledger(), SystemTime::now());
        let going = keys.iter();
        let going = going.map(|Release { key, .. }| (&key.dataset, &key.object));
        let releasing = self.state.releasing(session.appraised().digest(), going)?;
        session.release(&self.identity, &ledger, keys, now).await?;
        drop(releasing);
        Ok(())
    }

    fn verify(
        &self,
        envelope: &Envelope,
        session: &Session<'_>,
        job: &Running<'_, '_>,
        trust: &TrustStore,
        components: Option<&[ComponentDigest]>,
    ) -> (Vec<Check>, Result<Verified, RunError>) {
        let verdict = verify(
            envelope,
            &Expected {
                trust,
                allow_simulated: self.allow_simulated,
                now: SystemTime::now(),
                policy: Some(&self.policy),
                components,
                nonce: Some(session.nonce()),
                session: Some(session.appraised().digest()),
                number: Some(job.number),
                job: Some(&job.job),
                submitter: Some(self.identity.card().digest()),
                collateral: self.collateral.as_ref(),
            },
        );
        let checks = verdict.checks.clone();
        (checks, verdict.accept().map_err(Into::into))
    }
}

//! The run itself, phase by phase.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use mc2_attestation::{Check, TrustStore};
use mc2_protocol::{
    DataKey, Digest, Name,
    documents::{
        dsse::Envelope,
        message::Release,
        receipt::{OutputSecret, ReceiptOutput},
        record::ComponentDigest,
    },
    encoding::to_json,
};
use tempfile::SpooledTempFile;

use super::{
    embedded::Embedded,
    error::RunError,
    event::{Observer, Phase, RunEvent},
    plan::{InputData, Place, Plan},
    report::{Phases, Report, WrittenOutput},
    stop::Stop,
};
use crate::{
    approval,
    files::failed,
    http::Client,
    open::{self, Exact, Opening, StagedOutput},
    remote::Remote,
    results::keep_sealed,
    session::{Opened, Running, Session, Verifier},
    state::Submission,
    terminal::{self, printable},
    unix_seconds,
    verify::{Expected, Verified, failure, figures::Figures, verify},
};

/// Standard output beyond this goes to a nameless file.
const SPOOL: usize = 64 * 1024 * 1024;
/// Most of standard error, and of a failure's message, that is kept.
const MAX_TEXT: u64 = 64 * 1024 * 1024;
/// How long an enclave may take to stop a job.
const CANCEL: Duration = Duration::from_secs(3);

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
                let mut starting = pin!(Embedded::start(simulator, profile));
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
                let remote = Remote::new(Client::new(address.clone(), trust)?);
                self.stoppable(&remote, &self.trust, timer, stop).await
            }
        }
    }

    async fn stoppable(
        &self,
        remote: &Remote,
        trust: &TrustStore,
        timer: Timer<'_>,
        stop: &Stop,
    ) -> Result<Report, RunError> {
        let running = AtomicBool::new(false);
        let mut flow = pin!(self.flow(remote, trust, timer, stop, &running));
        tokio::select! {
            result = &mut flow => result,
            exit = stop.asked() => {
                if running.load(Ordering::Relaxed) {
                    // The job is being cancelled by the flow itself.
                    return tokio::time::timeout(CANCEL, flow)
                        .await
                        .unwrap_or(Err(RunError::Stopped(exit)));
                }
                Err(RunError::Stopped(exit))
            }
        }
    }

    async fn flow(
        &self,
        remote: &Remote,
        trust: &TrustStore,
        mut timer: Timer<'_>,
        stop: &Stop,
        running: &AtomicBool,
    ) -> Result<Report, RunError> {
        let (keys, opened) = self.prepare(remote, &mut timer).await?;

        timer.begin(Phase::Attest, None);
        let own = self.own_components();
        let verifier = Verifier {
            trust,
            allow_simulated: self.allow_simulated,
            now: SystemTime::now(),
            components: own.as_deref(),
        };
        let (attestation, session) = opened.appraise(&verifier);
        (timer.observer)(RunEvent::Attested(&attestation));
        let session = session?;
        if session.appraised().is_simulated() && matches!(self.place, Place::Host { .. }) {
            (timer.observer)(RunEvent::Notice(
                "NOT SECURE: that host runs a simulated enclave",
            ));
        }
        timer.end(Phase::Attest);

        timer.begin(Phase::Submit, None);
        let job = self.submit(&session, keys, timer.observer).await?;
        timer.end(Phase::Submit);

        running.store(true, Ordering::Relaxed);
        self.wait(&job, &mut timer, stop).await?;
        running.store(false, Ordering::Relaxed);

        timer.begin(Phase::Verify, None);
        let envelope = job.receipt(&self.identity).await?;
        // What the session was for is done; where it does not end now, it ends with its process.
        let _ = session.end(&self.identity).await;
        let (verification, verified) =
            self.verify(&envelope, &session, &job, trust, own.as_deref());
        (timer.observer)(RunEvent::Verified(&verification));
        let verified = verified?;
        let receipt = self.keep(&envelope, trust, &verified)?;
        timer.end(Phase::Verify);

        if let Some(path) = &self.keep_sealed {
            self.state.store_place(path, &job.job)?;
            keep_sealed(remote, &envelope, &verified, path).await?;
        }
        let results = self.open_results(remote, &verified, &mut timer).await?;
        Ok(Report {
            status: verified.receipt.status.clone(),
            failed_output: self.failed_output(&verified),
            stdout: results.stdout,
            stderr: results.stderr,
            error: results.error,
            outputs: results.outputs,
            simulated: verified.session.is_simulated(),
            session: *verified.session.digest(),
            policy: *self.policy.digest(),
            component: self.workload.sha256,
            job: verified.receipt.job,
            attestation,
            verification,
            figures: self.figures(&verified),
            phases: timer.phases,
            receipt,
        })
    }

    /// Seals and stores the inputs while the host measures and compiles the component.
    async fn prepare<'h>(
        &self,
        remote: &'h Remote,
        timer: &mut Timer<'_>,
    ) -> Result<(Vec<Release>, Opened<'h>), RunError> {
        if !self.inputs.is_empty() {
            timer.begin(Phase::Seal, Some(self.input_length()));
        }
        timer.begin(Phase::Compile, None);
        let observer = timer.observer;
        let seal = async {
            let keys = self.upload(remote, observer).await?;
            Ok::<_, RunError>((keys, Instant::now()))
        };
        let open = async {
            let sha256 = &self.workload.sha256;
            if !remote.has_component(sha256).await.map_err(wrap)? {
                let wasm = self.workload.wasm.clone();
                remote.put_component(sha256, wasm).await.map_err(wrap)?;
            }
            let opened = Opened::open(remote, self.policy.clone(), &self.identity).await?;
            Ok::<_, RunError>((opened, Instant::now()))
        };
        let ((keys, sealed), (opened, compiled)) = tokio::try_join!(seal, open)?;
        if !self.inputs.is_empty() {
            timer.end_at(Phase::Seal, sealed);
        }
        timer.end_at(Phase::Compile, compiled);
        Ok((keys, opened))
    }

    async fn upload(&self, remote: &Remote, observer: &Observer) -> Result<Vec<Release>, RunError> {
        let mut before = 0;
        let mut keys = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let observer = Arc::clone(observer);
            let progress = move |done| observer(RunEvent::Done(Phase::Seal, before + done));
            let (object, secret, length) = match &input.data {
                InputData::Plain(source) => {
                    let uploaded = remote
                        .upload(
                            Arc::clone(source),
                            &input.dataset,
                            self.identity.card(),
                            Arc::new(progress),
                        )
                        .await?;
                    (uploaded.object, uploaded.key, source.length())
                }
                InputData::Sealed(object, key) => {
                    remote.upload_sealed(object, &progress).await?;
                    (*object.id(), key.clone(), object.manifest().length())
                }
            };
            before += length;
            let key = DataKey {
                dataset: input.dataset.clone(),
                object,
                secret,
            };
            keys.push(Release { key, runs: 1 });
        }
        Ok(keys)
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

    async fn submit<'s, 'h>(
        &self,
        session: &'s Session<'h>,
        keys: Vec<Release>,
        observer: &Observer,
    ) -> Result<Running<'s, 'h>, RunError> {
        let objects: BTreeMap<Name, Digest> = keys
            .iter()
            .map(|Release { key, .. }| (key.dataset.clone(), key.object))
            .collect();
        let job = self.draft(&objects)?;
        let bytes = job.to_bytes();
        if let Some(text) = approval::asked_of(&self.policy, &self.job, &self.identity, &bytes)? {
            observer(RunEvent::Approving(&text));
        }
        let ledger = self.state.ledger();
        let now = SystemTime::now();
        session.release(&self.identity, &ledger, keys, now).await?;
        let digest = Digest::of(&bytes);
        session.approve(&self.identity, &self.job, &digest).await?;
        self.state.store_submission(&Submission::new(
            *session.appraised().digest(),
            *session.nonce(),
            digest,
            *self.identity.card().digest(),
            session.policy(),
            unix_seconds(now),
        ))?;
        let mut running = session.submit(&self.identity, &job).await?;
        running.patience = self.wait.unwrap_or(running.patience);
        Ok(running)
    }

    async fn wait(
        &self,
        job: &Running<'_, '_>,
        timer: &mut Timer<'_>,
        stop: &Stop,
    ) -> Result<(), RunError> {
        timer.begin(Phase::Run, Some(1000));
        let observer = timer.observer;
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
        timer.end(Phase::Run);
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
                job: Some(&job.job),
                submitter: Some(self.identity.card().digest()),
            },
        );
        let checks = verdict.checks.clone();
        (checks, verdict.accept().map_err(Into::into))
    }

    /// Keeps the receipt, and of a simulated run what it can be verified with later.
    fn keep(
        &self,
        envelope: &Envelope,
        trust: &TrustStore,
        verified: &Verified,
    ) -> Result<PathBuf, RunError> {
        let job = &verified.receipt.job;
        if verified.session.is_simulated() {
            self.state.store_simulator(job, &trust.to_bytes())?;
        }
        Ok(self.state.store_receipt(job, &to_json(envelope))?)
    }

    fn failed_output(&self, verified: &Verified) -> Option<Name> {
        let session = verified.session.digest();
        let reader = std::slice::from_ref(&self.identity);
        failure::detail(&verified.receipt, session, reader).output
    }

    fn figures(&self, verified: &Verified) -> Figures {
        let session = verified.session.digest();
        let reader = std::slice::from_ref(&self.identity);
        Figures::open(&verified.receipt, session, reader)
    }

    async fn open_results(
        &self,
        remote: &Remote,
        verified: &Verified,
        timer: &mut Timer<'_>,
    ) -> Result<Results, RunError> {
        let mut own = Vec::new();
        for output in &verified.receipt.outputs {
            if let Some(secret) = self.output_secret(verified, output)? {
                own.push((output, secret));
            }
        }
        let lengths = own.iter().map(|(_, secret)| secret.length);
        timer.begin(Phase::Open, Some(lengths.fold(0, u64::saturating_add)));
        let observer = timer.observer;
        let mut done = 0;
        let mut progress = |bytes| {
            done += bytes;
            observer(RunEvent::Done(Phase::Open, done));
        };
        let mut results = Results::default();
        let mut staged: Vec<StagedOutput> = Vec::new();
        for (output, secret) in own {
            let manifest = remote.manifest(&output.object).await?;
            if manifest.dataset().as_str() != output.name {
                let found = manifest.dataset();
                let text = format!("output {} is called {found} in its manifest", output.name);
                return Err(RunError::Incomplete(text));
            }
            let opening = Opening {
                manifest: &manifest,
                key: &secret.key,
                exact: Some(Exact::from(&secret)),
                from: open::Sealed::Host(remote, output.object),
            };
            match output.name.as_str() {
                "stdout" => match &self.stdout {
                    Some(path) => {
                        let opened = opening.stage(path, &mut progress).await?;
                        results.written(output, path.clone(), opened.length());
                        staged.push(opened);
                    }
                    None => {
                        let written = opening.to_sink(&mut results.stdout).await?;
                        let failed = failed("keep", std::path::Path::new("standard output"));
                        written.map_err(|error| RunError::Write(failed(error)))?;
                    }
                },
                "stderr" => results.stderr = text(&opening, secret.length).await?,
                "error" => {
                    let text = text(&opening, secret.length).await?;
                    results.error = Some(cleaned(&text));
                }
                "progress" => {}
                name => {
                    let planned = self.outputs.iter().find(|one| one.name.as_str() == name);
                    let Some(planned) = planned else {
                        let text = format!(
                            "the output {name} is not opened: no --out {name}=PATH was given"
                        );
                        observer(RunEvent::Notice(&text));
                        continue;
                    };
                    let opened = opening.stage(&planned.path, &mut progress).await?;
                    results.written(output, planned.path.clone(), opened.length());
                    staged.push(opened);
                }
            }
        }
        self.check_complete(verified, &results)?;
        for output in staged {
            output.publish().map_err(RunError::Write)?;
        }
        timer.end(Phase::Open);
        Ok(results)
    }

    fn output_secret(
        &self,
        verified: &Verified,
        output: &ReceiptOutput,
    ) -> Result<Option<OutputSecret>, RunError> {
        let card = self.identity.card().digest();
        let own = output.recipients.iter().find(|one| one.card == *card);
        let Some(sealed) = own else {
            return Ok(None);
        };
        let session = verified.session.digest();
        let job = &verified.receipt.job;
        let secret = OutputSecret::open(session, job, &output.name, sealed, &self.identity);
        secret.map(Some).map_err(|error| {
            RunError::Incomplete(format!("the key of output {}: {error}", output.name))
        })
    }

    /// After a success every output that was asked for is there.
    fn check_complete(&self, verified: &Verified, results: &Results) -> Result<(), RunError> {
        if verified.receipt.status != mc2_protocol::documents::receipt::Status::Succeeded {
            return Ok(());
        }
        let written = |name: &str| results.outputs.iter().any(|output| output.name == name);
        match self
            .outputs
            .iter()
            .find(|output| !written(output.name.as_str()))
        {
            Some(output) => {
                let text = format!("the receipt lists no output {}", output.name);
                Err(RunError::Incomplete(text))
            }
            None => Ok(()),
        }
    }
}

struct Results {
    stdout: SpooledTempFile,
    stderr: Vec<u8>,
    error: Option<String>,
    outputs: Vec<WrittenOutput>,
}

impl Default for Results {
    fn default() -> Self {
        Self {
            stdout: SpooledTempFile::new(SPOOL),
            stderr: Vec::new(),
            error: None,
            outputs: Vec::new(),
        }
    }
}

impl Results {
    fn written(&mut self, output: &ReceiptOutput, path: PathBuf, length: u64) {
        self.outputs.push(WrittenOutput {
            name: output.name.clone(),
            path,
            length,
            object: output.object,
        });
    }
}

/// A stream's text, as much of it as is kept.
async fn text(opening: &Opening<'_>, length: u64) -> Result<Vec<u8>, RunError> {
    let what = opening.manifest.dataset();
    if length > MAX_TEXT {
        let text = format!("{what} has {length} bytes, more than the {MAX_TEXT} that are shown");
        return Err(RunError::Incomplete(text));
    }
    let mut bytes = Vec::new();
    // A vector takes everything.
    let _ = opening.to_sink(&mut bytes).await?;
    Ok(bytes)
}

/// A guest's words without control characters; its lines stay, because a place in a query may be
/// shown by them.
fn cleaned(text: &[u8]) -> String {
    terminal::shown(&String::from_utf8_lossy(text))
        .trim()
        .to_owned()
}

fn wrap(error: crate::http::HttpError) -> RunError {
    RunError::Remote(error.into())
}

/// Measures phases and tells of them.
struct Timer<'o> {
    observer: &'o Observer,
    begun: Vec<(Phase, Instant)>,
    phases: Phases,
}

impl<'o> Timer<'o> {
    fn new(observer: &'o Observer) -> Self {
        Self {
            observer,
            begun: Vec::new(),
            phases: Phases::default(),
        }
    }

    fn begin(&mut self, phase: Phase, total: Option<u64>) {
        self.begun.push((phase, Instant::now()));
        (self.observer)(RunEvent::Begun(phase, total));
    }

    fn end(&mut self, phase: Phase) {
        self.end_at(phase, Instant::now());
    }

    fn end_at(&mut self, phase: Phase, at: Instant) {
        let begun = self.begun.iter().find(|(begun, _)| *begun == phase);
        let took = begun.map_or(Duration::ZERO, |(_, begun)| at - *begun);
        self.phases.add(phase, took);
        (self.observer)(RunEvent::Ended(phase, took));
    }
}

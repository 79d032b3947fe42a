//! Running one admitted job, from its inputs' manifests to its sealed receipt.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use mc2_protocol::{
    Card, Digest, Name, SecretKey,
    documents::{
        dsse::Envelope,
        failure::FailureDetail,
        figures::{StepObserved, StepOf, StepUsage},
        job::Source,
        receipt::{
            Endorsement, Evidence, OutputSecret, Receipt, ReceiptInput, ReceiptOutput,
            ReceiptParts, ReceiptStep, SealedReceipt, Statement, Status,
        },
        record::Nonce,
    },
    encoding::to_json,
    policy::{AdmittedJob, AdmittedStep, Limits, Output, USAGE},
};
use mc2_sandbox::{Cancellation, Failure, Used};

mod description;
pub mod inputs;
mod outputs;
mod progress;
mod step;
mod uploader;

use inputs::{BlockCache, ObjectFiles};
use outputs::SealedOutput;
use step::StepInputs;
use uploader::Uploader;

use crate::{
    outbox::{Outbox, Reservation},
    random,
    session::Session,
    storage::Storage,
};

/// Decrypted input a job keeps at hand, in bytes.
const INPUT_CACHE: usize = 20 * 1024 * 1024;

/// A job that was admitted, with everything it needs.
pub(crate) struct Order {
    pub(crate) session: Arc<Session>,
    pub(crate) number: u64,
    pub(crate) job: AdmittedJob,
    /// Object and key of every dataset the job reads.
    pub(crate) keys: HashMap<Name, (Digest, SecretKey)>,
    pub(crate) approvals: Vec<Envelope>,
    pub(crate) nonce: Nonce,
    pub(crate) endorsements: Vec<Endorsement>,
    pub(crate) cancellation: Cancellation,
}

impl Order {
    /// The most bytes its sealed receipt can have, give or take white space: what is known before
    /// it runs, each layer of base64 counted, and constants for what is not.
    pub(crate) fn receipt_bound(&self, evidence: &Evidence) -> usize {
        const TEXT: usize = 512;
        const SEALED: usize = 4096;
        let base64 = |bytes: usize| bytes.div_ceil(3) * 4;
        let steps = self.job.steps.iter().map(|step| {
            let figures = SEALED + step.instances as usize * TEXT;
            let recipients = step.outputs.iter().map(|output| output.recipients().len());
            let outputs = recipients.map(|sealed| 2 * TEXT + sealed * figures);
            TEXT + outputs.sum::<usize>() + self.job.owners.len() * figures
        });
        let statement = SEALED
            + base64(self.session.record.len())
            + base64(self.session.policy_bytes.len())
            + to_json(evidence).len()
            + to_json(&self.endorsements).len()
            + to_json(&self.approvals).len()
            + self.keys.len() * TEXT
            + steps.sum::<usize>();
        base64(base64(statement) + TEXT) + TEXT + self.job.readers.len() * SEALED
    }
}

/// What a session remembers of a job that runs.
pub(crate) struct Running {
    pub(crate) submitter: Digest,
    pub(crate) cancellation: Cancellation,
}

impl Running {
    pub(crate) fn new(submitter: Digest) -> Self {
        Self {
            submitter,
            cancellation: Cancellation::new(),
        }
    }
}

/// Runs a job to its end and leaves its receipt to be stored, whatever happens in between.
pub(crate) async fn run(
    outbox: Arc<Outbox>,
    storage: Arc<Storage>,
    order: Order,
    evidence: Evidence,
    room: Reservation,
) {
    let session = Arc::clone(&order.session);
    let (digest, number) = (session.digest, order.number);
    // The host would learn so from the first event anyway.
    let announcing = tokio::spawn(async move { outbox.announce(digest, number).await });
    let order = Arc::new(order);
    let execution = Execution::new(Arc::clone(&storage), Arc::clone(&order));
    let steps = tokio::spawn(execution.steps()).await;
    let (execution, status) = steps.unwrap_or_else(|_| {
        // A panic in the runtime itself ends this job and no other, and is a failure like any
        // other: what was sealed so far is forgotten with its keys.
        let reason = Failure::Internal(String::new()).kind().to_owned();
        (
            Execution::new(storage, order),
            Status::Failed { step: 0, reason },
        )
    });
    // The receipt is news enough.
    announcing.abort();
    let success = status == Status::Succeeded;
    let sealed = execution.receipt(status, evidence);
    room.keep(digest, number, success, sealed.to_bytes().into());
    session.ended(number);
}

/// A job while it runs.
struct Execution {
    storage: Arc<Storage>,
    uploader: Arc<Uploader>,
    order: Arc<Order>,
    cache: Arc<BlockCache>,
    /// Outputs that later steps may read.
    intermediate: BTreeMap<Name, SealedOutput>,
    released: Vec<(usize, Output, SealedOutput)>,
    /// Figures of every step, zeros for those that did not run.
    figures: Vec<(StepUsage, StepObserved)>,
    /// What the submitter is told of a failure.
    detail: FailureDetail,
    remaining: Remaining,
}

/// What a job has once, however many steps it has, as far as earlier ones left it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remaining {
    /// Run time, by the untrusted clock.
    pub(crate) time: Duration,
    /// Bytes of outputs and streams.
    pub(crate) output: u64,
    /// Bytes of scratch space.
    pub(crate) scratch: u64,
}

impl Remaining {
    fn all_of(limits: &Limits) -> Self {
        Self {
            time: Duration::from_millis(limits.time.millis()),
            output: limits.output.bytes(),
            scratch: limits.scratch.bytes(),
        }
    }

    fn less(self, time: Duration, used: Used) -> Self {
        Self {
            time: self.time.saturating_sub(time),
            output: self.output.saturating_sub(used.output),
            scratch: self.scratch.saturating_sub(used.scratch),
        }
    }
}

/// A step that did not succeed.
struct StepFailed {
    step: usize,
    failure: Failure,
}

impl Execution {
    fn new(storage: Arc<Storage>, order: Arc<Order>) -> Self {
        let remaining = Remaining::all_of(&order.job.limits);
        let none = |step: &AdmittedStep| {
            let instances = step.instances as usize;
            let observed = StepObserved {
                instances: vec![Default::default(); instances],
                ..Default::default()
            };
            (StepUsage(vec![Default::default(); instances]), observed)
        };
        let figures = order.job.steps.iter().map(none).collect();
        Self {
            uploader: Uploader::new(Arc::clone(&storage)),
            storage,
            order,
            cache: Arc::new(BlockCache::new(INPUT_CACHE)),
            intermediate: BTreeMap::new(),
            released: Vec::new(),
            figures,
            detail: FailureDetail::default(),
            remaining,
        }
    }

    async fn steps(mut self) -> (Self, Status) {
        let order = Arc::clone(&self.order);
        for (index, step) in order.job.steps.iter().enumerate() {
            let before = self.cache.fetched();
            let ended = self.step(index, step).await;
            let after = self.cache.fetched();
            let observed = &mut self.figures[index].1;
            observed.fetched_segments = after.segments - before.segments;
            observed.fetched_bytes = after.bytes - before.bytes;
            if let Err(StepFailed { step, failure }) = ended {
                // What earlier steps left is not released; streams of the failed one are.
                self.released
                    .retain(|(of, output, _)| *of == step && output.is_stream());
                self.detail.output = step::output_of(&failure);
                let reason = failure.kind().to_owned();
                return (
                    self,
                    Status::Failed {
                        step: step as u32,
                        reason,
                    },
                );
            }
        }
        (self, Status::Succeeded)
    }

    async fn step(&mut self, index: usize, step: &AdmittedStep) -> Result<(), StepFailed> {
        let failed = |failure| StepFailed {
            step: index,
            failure,
        };
        let order = Arc::clone(&self.order);
        let inputs = self.inputs(step).await.map_err(failed)?;
        let run = step::run(&self.storage, &order, step, inputs, self.remaining);
        let outcome = run.await.map_err(failed)?;
        let usages = || outcome.instances.iter().map(|instance| &instance.usage);
        let took = usages().map(|usage| usage.untrusted_wall_time).max();
        let limit = self.remaining.output;
        self.remaining = self.remaining.less(took.unwrap_or_default(), outcome.used);
        let (used, observed) = &mut self.figures[index];
        (used.0, observed.instances) = usages().map(step::figures).unzip();
        let mut room = self.remaining.output;
        let left = match &outcome.result {
            Ok(()) => step::gather(step, &outcome, &mut room, limit),
            Err(failure) => Err(failure.clone()),
        };
        let (left, failure) = match left {
            Ok(left) => (left, None),
            Err(failure) => (Vec::new(), Some(failure)),
        };
        let said = step::said(&outcome, failure.as_ref(), &mut room);
        self.remaining.output = room;
        let sealed = step::seal(&self.uploader, step, &outcome, left, &said).await;
        match (sealed, failure) {
            (Ok(sealed), None) => self.keep(index, sealed),
            (Ok(sealed), Some(failure)) => {
                self.keep(index, sealed);
                return Err(failed(failure));
            }
            (Err(_), Some(failure)) | (Err(failure), None) => return Err(failed(failure)),
        }
        Ok(())
    }

    fn keep(&mut self, step: usize, sealed: Vec<(Output, SealedOutput)>) {
        for (output, object) in sealed {
            let sealed_length = object.manifest.layout(0).sealed_length();
            self.figures[step].1.stored_bytes += sealed_length;
            if output.is_released() {
                self.released.push((step, output, object));
            } else {
                self.intermediate.insert(output.name, object);
            }
        }
    }

    /// Opens the inputs of a step: manifests are fetched and checked against the objects the job
    /// names, keys against the manifests' commitments.
    async fn inputs(&self, step: &AdmittedStep) -> Result<StepInputs, Failure> {
        let mut inputs = StepInputs::default();
        for input in &step.inputs {
            let (storage, cache, name) = (&self.storage, &self.cache, &input.name);
            let fetched;
            let (object, manifest, key, exact) = match &input.source {
                Source::Dataset { name: dataset, .. } => {
                    let (object, key) = self.order.keys.get(dataset).ok_or_else(|| {
                        Failure::Internal("a job was admitted without a key".to_owned())
                    })?;
                    fetched = step::fetch_manifest(storage, dataset, object, name).await?;
                    (*object, &fetched, key, None)
                }
                Source::Step { output } => {
                    let left = self.intermediate.get(output).ok_or_else(|| {
                        Failure::Internal(format!("no earlier step left {output}"))
                    })?;
                    (left.object, &left.manifest, &left.key, Some(left.length))
                }
            };
            let files = ObjectFiles::open(storage, cache, object, manifest, key, exact).await;
            let files = files.map_err(|error| step::input_failure(name, &error))?;
            inputs.add(name, manifest, files);
        }
        Ok(inputs)
    }

    /// Wraps the outputs' keys, signs and seals the receipt: the job has ended.
    fn receipt(self, status: Status, evidence: Evidence) -> SealedReceipt {
        let order = &self.order;
        let session = &order.session;
        let outputs = self.released.iter().map(|(step, output, object)| {
            let name = output.name.as_str();
            let secret = OutputSecret {
                key: object.key.clone(),
                length: object.length,
                sha256: object.sha256,
            };
            let (session, job) = (&session.digest, &order.job.digest);
            let seal = |to: &Arc<Card>| secret.seal(session, job, name, to, &mut random::rng());
            ReceiptOutput {
                name: name.to_owned(),
                step: *step as u32,
                object: object.object,
                recipients: output.recipients().iter().map(seal).collect(),
            }
        });
        let outputs = outputs.collect();
        let failure = (status != Status::Succeeded).then(|| {
            let (job, submitter) = (&order.job.digest, &order.job.submitter);
            let rng = &mut random::rng();
            self.detail.seal(&session.digest, job, submitter, rng)
        });
        let statement = Statement::new(Receipt::new(ReceiptParts {
            record: session.record.clone(),
            nonce: order.nonce,
            evidence,
            endorsements: order.endorsements.clone(),
            policy: session.policy_bytes.clone(),
            approvals: order.approvals.clone(),
            submitter: *order.job.submitter.digest(),
            job: order.job.digest,
            job_name: order.job.name.clone(),
            number: order.number,
            inputs: self.receipt_inputs(),
            status,
            failure,
            steps: self.receipt_steps(),
            outputs,
        }));
        let envelope = statement.sign(&session.signing_key);
        let readers: Vec<&Card> = order.job.readers.iter().map(Arc::as_ref).collect();
        SealedReceipt::seal(&envelope, &session.digest, &readers, &mut random::rng())
    }

    /// The figures of every step, sealed to those whom they concern.
    fn receipt_steps(&self) -> Vec<ReceiptStep> {
        let job = &self.order.job;
        let steps = job.steps.iter().zip(&self.figures).enumerate();
        let steps = steps.map(|(index, (step, (usage, observed)))| {
            let of = StepOf {
                session: &self.order.session.digest,
                job: &job.digest,
                step: index as u32,
            };
            let named = step.output(USAGE).map_or(&[][..], Output::recipients);
            ReceiptStep {
                component: step.component.name.clone(),
                usage: named
                    .iter()
                    .map(|card| usage.seal(of, card, &mut random::rng()))
                    .collect(),
                observed: job
                    .owners
                    .iter()
                    .map(|card| observed.seal(of, card, &mut random::rng()))
                    .collect(),
            }
        });
        steps.collect()
    }

    fn receipt_inputs(&self) -> Vec<ReceiptInput> {
        let policy = &self.order.session.policy;
        let mut inputs: Vec<ReceiptInput> = self
            .order
            .keys
            .iter()
            .filter_map(|(dataset, (object, _))| {
                let owner = policy.owner_of(dataset)?.name().clone();
                Some(ReceiptInput {
                    dataset: dataset.clone(),
                    owner,
                    object: *object,
                })
            })
            .collect();
        inputs.sort_by(|a, b| a.dataset.cmp(&b.dataset));
        inputs
    }
}

//! Running one admitted job, from its inputs' manifests to its sealed receipt.

mod description;
pub mod inputs;
mod outbox;
mod outputs;
mod progress;
mod receipt;
mod remaining;
mod spill;
mod step;
mod uploader;

use std::{collections::BTreeMap, sync::Arc};

use mc2_protocol::{
    Name,
    documents::{
        job::Source,
        receipt::{Evidence, Status},
    },
    policy::{AdmittedStep, Output},
};
use mc2_sandbox::Failure;

use crate::{session::Order, storage::Storage};
use inputs::{BlockCache, ObjectFiles};
pub(crate) use outbox::{Outbox, Reservation};
use outputs::SealedOutput;
use receipt::Report;
pub(crate) use receipt::receipt_bound;
use remaining::Remaining;
use step::StepInputs;
use uploader::Uploader;

/// Decrypted input a job keeps at hand, in bytes.
const INPUT_CACHE: usize = 20 * 1024 * 1024;

/// Runs a job to its end and leaves its receipt to be stored, whatever happens in between.
pub(crate) async fn run(
    outbox: Arc<Outbox>,
    storage: Arc<Storage>,
    order: Box<Order>,
    evidence: Evidence,
    room: Reservation,
) {
    let (session, number) = (order.terms.digest, order.number);
    // The host would learn so from the first event anyway.
    let announcing = tokio::spawn(async move { outbox.announce(session, number).await });
    let order: Arc<Order> = order.into();
    let execution = Execution::new(storage, Arc::clone(&order));
    let ended = tokio::spawn(execution.steps()).await;
    let (report, status) = ended.unwrap_or_else(|_| {
        // A panic in the runtime itself ends this job and no other, and is a failure like any
        // other: what was sealed so far is forgotten with its keys.
        let reason = Failure::Internal(String::new()).kind().to_owned();
        (Report::new(&order.job), Status::Failed { step: 0, reason })
    });
    // The receipt is news enough.
    announcing.abort();
    let success = status == Status::Succeeded;
    let sealed = report.seal(&order, status, evidence);
    room.keep(session, number, success, sealed.to_bytes().into());
}

/// A job while it runs.
struct Execution {
    storage: Arc<Storage>,
    uploader: Arc<Uploader>,
    order: Arc<Order>,
    cache: Arc<BlockCache>,
    /// Outputs that later steps may read.
    intermediate: BTreeMap<Name, SealedOutput>,
    report: Report,
    remaining: Remaining,
}

impl Execution {
    fn new(storage: Arc<Storage>, order: Arc<Order>) -> Self {
        Self {
            uploader: Uploader::new(Arc::clone(&storage)),
            storage,
            cache: Arc::new(BlockCache::new(INPUT_CACHE)),
            intermediate: BTreeMap::new(),
            report: Report::new(&order.job),
            remaining: Remaining::all_of(&order.job.limits),
            order,
        }
    }

    async fn steps(mut self) -> (Report, Status) {
        let order = Arc::clone(&self.order);
        for (index, step) in order.job.steps.iter().enumerate() {
            let before = self.cache.fetched();
            let ended = self.step(index, step).await;
            let after = self.cache.fetched();
            let Report {
                released,
                figures,
                detail,
            } = &mut self.report;
            let observed = &mut figures[index].1;
            observed.fetched_segments = after.segments - before.segments;
            observed.fetched_bytes = after.bytes - before.bytes;
            if let Err(failure) = ended {
                // What earlier steps left is not released; of the failed one are the streams that
                // were kept.
                released.retain(|(of, output, _)| *of == index && output.is_stream());
                // Which output it leaves out is the guest's own choice of words, too.
                if order.job.errors.are_full() {
                    detail.output = step::output_of(&failure);
                }
                let (step, reason) = (index as u32, failure.kind().to_owned());
                return (self.report, Status::Failed { step, reason });
            }
        }
        (self.report, Status::Succeeded)
    }

    async fn step(&mut self, index: usize, step: &AdmittedStep) -> Result<(), Failure> {
        let inputs = self.inputs(step).await?;
        let (order, keys) = (&self.order, &self.order.guest_keys[index]);
        let outcome = step::run(&self.storage, order, step, keys, inputs, self.remaining).await?;
        let usages = || outcome.instances.iter().map(|instance| &instance.usage);
        let took = usages().map(|usage| usage.untrusted_wall_time).max();
        let limit = self.remaining.output;
        self.remaining = self.remaining.less(took.unwrap_or_default(), outcome.used);
        let (used, observed) = &mut self.report.figures[index];
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
        let errors = &self.order.job.errors;
        let told = step::told(step, errors, &outcome, failure.as_ref(), &mut room);
        self.remaining.output = room;
        let sealed = step::seal(&self.uploader, step, &outcome, left, &told).await;
        match (sealed, failure) {
            (Ok(sealed), failure) => {
                self.keep(index, sealed);
                failure.map_or(Ok(()), Err)
            }
            (Err(_), Some(failure)) | (Err(failure), None) => Err(failure),
        }
    }

    fn keep(&mut self, step: usize, sealed: Vec<(Output, SealedOutput)>) {
        for (output, object) in sealed {
            let sealed_length = object.manifest.layout(0).sealed_length();
            self.report.figures[step].1.stored_bytes += sealed_length;
            if output.is_released() {
                self.report.released.push((step, output, object));
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
            let (key, manifest, exact) = match &input.source {
                Source::Dataset { name: dataset, .. } => {
                    let mut keys = self.order.keys.iter();
                    let key = keys.find(|key| key.dataset == *dataset).ok_or_else(|| {
                        Failure::Internal("a job was admitted without a key".to_owned())
                    })?;
                    fetched = step::fetch_manifest(storage, key, name).await?;
                    (key, &fetched, None)
                }
                Source::Step { output } => {
                    let left = self.intermediate.get(output).ok_or_else(|| {
                        Failure::Internal(format!("no earlier step left {output}"))
                    })?;
                    (&left.key, &left.manifest, Some(left.length))
                }
            };
            let files = ObjectFiles::open(storage, cache, key, manifest, exact).await;
            let files = files.map_err(|error| step::input_failure(name, &error))?;
            inputs.add(name, manifest, files);
        }
        Ok(inputs)
    }
}

//! Running one admitted job, from its inputs' manifests to its sealed receipt.

mod description;
mod files;
pub mod inputs;
mod outbox;
mod outputs;
mod progress;
mod receipt;
mod remaining;
mod spill;
mod start;
mod step;
mod uploader;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mc2_protocol::{
    Manifest, Name,
    documents::{job::Source, message::Release, receipt::Status},
    policy::{AdmittedStep, Output, To, Visible},
    sealed::manifest::MediaType,
};
use mc2_sandbox::Failure;
use tokio::time::{Instant, timeout};

use crate::{Attested, session::Order, storage::Storage};
use files::{Content, Files, StepInputs};
use inputs::{BlockCache, ObjectFiles, WholeFiles};
pub(crate) use outbox::{Outbox, Reservation};
use outputs::SealedOutput;
use receipt::Report;
pub(crate) use receipt::receipt_bound;
use remaining::Remaining;
#[cfg(test)]
pub(crate) use start::PATIENCE;
pub(crate) use start::{await_start, not_started};
use step::Left;
use uploader::Uploader;

/// Decrypted input a job keeps at hand, in bytes.
const INPUT_CACHE: usize = 20 * 1024 * 1024;

/// How long a job runs before the host is told of it again.
const ANNOUNCED_AFTER: Duration = Duration::from_secs(1);

/// Runs a job to its end and leaves its receipt to be stored, whatever happens in between.
pub(crate) async fn run(
    outbox: Arc<Outbox>,
    storage: Arc<Storage>,
    order: Box<Order>,
    attested: Attested,
    room: Reservation,
) {
    let (session, number) = (order.terms.digest, order.number);
    // The host was told with the answer to the submission, unless that did not reach it. What it was
    // asked about a start is over only once it hears that the job runs.
    let told = order.job.answers.is_empty();
    let announcing = match order.terms.policy.visible() {
        // The host would learn so from the first event anyway.
        Visible::Access => Some(tokio::spawn(async move {
            if told {
                tokio::time::sleep(ANNOUNCED_AFTER).await;
            }
            outbox.announce(session, number).await
        })),
        // Nothing that is asked of it may depend on how fast the guest is.
        Visible::Volume => {
            outbox.announce_once(session, number).await;
            None
        }
    };
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
    if let Some(announcing) = announcing {
        announcing.abort();
    }
    let success = status == Status::Succeeded;
    let sealed = report.seal(&order, status, attested);
    room.keep(session, number, success, sealed.to_bytes().into());
}

/// A job while it runs.
struct Execution {
    storage: Arc<Storage>,
    uploader: Arc<Uploader>,
    order: Arc<Order>,
    cache: Arc<BlockCache>,
    /// Outputs that later steps may read.
    intermediate: BTreeMap<Name, Intermediate>,
    report: Report,
    remaining: Remaining,
}

/// An output that later steps may read.
enum Intermediate {
    /// With the host, sealed.
    Sealed(Box<SealedOutput>),
    /// In enclave memory.
    Kept(Content, MediaType),
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
        let inputs = self.inputs_in_time(step).await?;
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
        let (kept, left) = self.kept(left);
        let errors = &self.order.job.errors;
        let told = step::told(step, errors, &outcome, failure.as_ref(), &mut room);
        self.remaining.output = room;
        let sealed = step::seal(&self.uploader, step, &outcome, left, &told).await;
        match (sealed, failure) {
            (Ok(sealed), failure) => {
                self.keep(index, sealed);
                self.intermediate.extend(kept);
                failure.map_or(Ok(()), Err)
            }
            (Err(_), Some(failure)) | (Err(failure), None) => Err(failure),
        }
    }

    /// Takes out what stays in enclave memory for later steps, which is memory that those do not
    /// have.
    fn kept<'r>(&mut self, left: Left<'r>) -> (Vec<(Name, Intermediate)>, Left<'r>) {
        if self.order.terms.policy.visible() == Visible::Access {
            return (Vec::new(), left);
        }
        let (kept, left): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(rule, _)| rule.to == To::Step);
        let weight = kept.iter().map(|(_, content)| content.weight()).sum();
        self.remaining.memory = self.remaining.memory.saturating_sub(weight);
        let kept = kept.into_iter();
        let kept = kept.map(|(rule, content)| {
            let kept = Intermediate::Kept(content, rule.media_type.clone());
            (rule.name.clone(), kept)
        });
        (kept.collect(), left)
    }

    fn keep(&mut self, step: usize, sealed: Vec<(Output, SealedOutput)>) {
        for (output, object) in sealed {
            let sealed_length = object.manifest.layout(0).sealed_length();
            self.report.figures[step].1.stored_bytes += sealed_length;
            if output.is_released() {
                self.report.released.push((step, output, object));
            } else {
                let object = Intermediate::Sealed(Box::new(object));
                self.intermediate.insert(output.name, object);
            }
        }
    }

    /// The inputs of a step, within the time that the job has left and unless it is cancelled.
    async fn inputs_in_time(&mut self, step: &AdmittedStep) -> Result<StepInputs, Failure> {
        let start = Instant::now();
        let within = timeout(self.remaining.time, self.inputs(step));
        let opened = self.order.cancellation.unless_cancelled(within).await;
        let inputs = match opened {
            None => Err(Failure::Cancelled),
            Some(Err(_)) => Err(Failure::TimeLimit {
                milliseconds: self.order.job.limits.time.millis(),
            }),
            Some(Ok(inputs)) => inputs,
        };
        self.remaining.time = self.remaining.time.saturating_sub(start.elapsed());
        inputs
    }

    /// Opens the inputs of a step: manifests are fetched and checked against the objects the job
    /// names, keys against the manifests' commitments. Under `visible = "volume"` the objects are
    /// fetched whole, one after the other.
    async fn inputs(&self, step: &AdmittedStep) -> Result<StepInputs, Failure> {
        let visible = self.order.terms.policy.visible();
        let mut inputs = StepInputs::default();
        if visible == Visible::Volume {
            inputs.memory = self.weigh(step).await?;
        }
        for input in &step.inputs {
            let name = &input.name;
            let found = self.find(name, &input.source).await?;
            let (key, manifest, exact) = match &found {
                Found::Stored(Release { key, length, .. }, manifest) => {
                    (key, manifest.as_ref(), *length)
                }
                Found::Left(left) => (&left.key, &left.manifest, Some(left.length)),
                Found::Kept(content, media_type) => {
                    inputs.add(name, media_type, Files::kept(content));
                    continue;
                }
            };
            let (storage, cache) = (&self.storage, &self.cache);
            let files = match visible {
                Visible::Access => ObjectFiles::open(storage, cache, key, manifest, exact)
                    .await
                    .map(Files::from),
                Visible::Volume => WholeFiles::fetch(storage, cache, key, manifest, exact)
                    .await
                    .map(Files::from),
            };
            let files = files.map_err(|error| step::input_failure(name, &error))?;
            inputs.add(name, manifest.media_type(), files);
        }
        Ok(inputs)
    }

    /// Finds where an input is; of a dataset or what is in custody the manifest is fetched.
    async fn find(&self, name: &Name, source: &Source) -> Result<Found<'_>, Failure> {
        match source {
            Source::Dataset { name: dataset, .. }
            | Source::Custody {
                output: dataset, ..
            } => {
                let mut keys = self.order.keys.iter();
                let released = keys.find(|one| one.key.dataset == *dataset);
                let release = released.ok_or_else(|| {
                    Failure::Internal("a job was admitted without a key".to_owned())
                })?;
                let manifest = step::fetch_manifest(&self.storage, &release.key, name).await?;
                Ok(Found::Stored(release, Box::new(manifest)))
            }
            Source::Step { output } => match self.intermediate.get(output) {
                Some(Intermediate::Sealed(left)) => Ok(Found::Left(left)),
                Some(Intermediate::Kept(content, media_type)) => {
                    Ok(Found::Kept(content, media_type))
                }
                None => {
                    let reason = format!("no earlier step left {output}");
                    Err(Failure::Internal(reason))
                }
            },
        }
    }

    /// The memory that the inputs of a step take where they are fetched whole. All of them are
    /// fetched or, where they do not fit, none: what an earlier step left decides whether they fit,
    /// and would tell the host more than that if it decided how many.
    async fn weigh(&self, step: &AdmittedStep) -> Result<u64, Failure> {
        let mut weight = 0u64;
        for input in &step.inputs {
            // The manifest is fetched again with its object: all of a step's may be large together.
            let found = self.find(&input.name, &input.source).await?;
            weight = weight.saturating_add(found.weight());
        }
        if weight >= self.remaining.memory {
            let limit = self.order.job.limits.memory.bytes();
            return Err(Failure::MemoryLimit { limit });
        }
        Ok(weight)
    }
}

/// Where an input of a step is.
enum Found<'e> {
    /// With the host, under a key that was released.
    Stored(&'e Release, Box<Manifest>),
    /// With the host, where an earlier step left it.
    Left(&'e SealedOutput),
    /// In enclave memory, where an earlier step left it.
    Kept(&'e Content, &'e MediaType),
}

impl Found<'_> {
    /// The enclave memory that fetching it whole takes, in bytes.
    fn weight(&self) -> u64 {
        match self {
            Self::Stored(_, manifest) => WholeFiles::weight(manifest),
            Self::Left(left) => WholeFiles::weight(&left.manifest),
            Self::Kept(..) => 0,
        }
    }
}

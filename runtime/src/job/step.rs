//! One step of a job: what the sandbox is given, and what becomes of what it leaves.

use std::sync::Arc;

use mc2_protocol::{
    DataKey, Manifest, Name,
    documents::figures::{InstanceObserved, InstanceUsage},
    policy::{AdmittedStep, Errors, MAX_INSTANCES, Output as OutputRule, To, Visible},
    sealed::{
        manifest::{self, ManifestError},
        paths::{PathEntry, PathTable},
    },
};
use mc2_sandbox::{
    Failure, GuestKey, Limits, Output, OutputFile, PageStore, RunSpec, TogetherOutcome, Usage,
};
use mc2_wire::routes::manifest_path;

use super::{
    description::describe,
    files::{Content, StepInputs},
    inputs::InputError,
    outputs::{Form, OutputError, OutputWriter, SealedOutput},
    progress,
    remaining::Remaining,
    spill::SpillArea,
    uploader::Uploader,
};
use crate::{session::Order, storage::Storage};

/// Scratch and output pages a step keeps in enclave memory, in bytes.
const PAGE_CACHE: u64 = 16 * 1024 * 1024;
// Whatever a policy may ask for, the sandbox runs.
const _: () = assert!(MAX_INSTANCES as usize <= mc2_sandbox::PEERS);

/// Fetches the manifest of the object that `key` is for, and checks that it is a version of the
/// dataset.
pub(crate) async fn fetch_manifest(
    storage: &Storage,
    key: &DataKey,
    input: &Name,
) -> Result<Manifest, Failure> {
    let DataKey {
        dataset, object, ..
    } = key;
    let bytes = storage
        .get(&manifest_path(object), manifest::MAX_LEN)
        .await
        .map_err(|error| unavailable(input, &error))?;
    let manifest = Manifest::parse_object(object, &bytes)
        .map_err(|error: ManifestError| corrupt(input, &error))?;
    if manifest.dataset() != dataset {
        let reason = format!(
            "it is a version of {}, not of {dataset}",
            manifest.dataset()
        );
        return Err(corrupt(input, &reason));
    }
    Ok(manifest)
}

/// Runs the step in fresh instances. Under `visible = "volume"` none of its pages leaves the enclave.
///
/// # Errors
/// The run could not be set up: what is in memory already leaves it no room, say.
pub(crate) async fn run(
    storage: &Arc<Storage>,
    order: &Order,
    step: &AdmittedStep,
    keys: &[GuestKey],
    inputs: StepInputs,
    remaining: Remaining,
) -> Result<TogetherOutcome, Failure> {
    let terms = &order.terms;
    let limits = &order.job.limits;
    let memory = remaining.memory.checked_sub(inputs.memory);
    let memory = memory.ok_or(Failure::MemoryLimit {
        limit: limits.memory.bytes(),
    })?;
    let remaining = Remaining {
        memory,
        ..remaining
    };
    // What does not leave the enclave counts as memory.
    let pages = || -> Option<Arc<dyn PageStore>> {
        match terms.policy.visible() {
            Visible::Access => Some(Arc::new(SpillArea::new(Arc::clone(storage)))),
            Visible::Volume => None,
        }
    };
    let (progress, events) = mc2_sandbox::progress_channel();
    let forwarding = tokio::spawn(progress::forward(
        Arc::clone(storage),
        Arc::clone(terms),
        order.number,
        progress::watchers(&terms.policy, step),
        order.job.errors.are_full(),
        events,
    ));
    let component = terms
        .components
        .get(&step.component.name)
        // The session measured every component of its policy, and the step names one of them.
        .unwrap_or_else(|| unreachable!("an admitted step names a measured component"));
    let spec = |instance| RunSpec {
        arguments: step.arguments.clone(),
        environment: Vec::new(),
        job: describe(&order.job, step, instance, &inputs.descriptions, remaining).into(),
        keys: keys.to_vec(),
        inputs: inputs.tree.clone(),
        stdin: inputs.stdin.clone(),
        outputs: step
            .outputs
            .iter()
            .filter(|output| output.is_file())
            .map(declared)
            .collect(),
        limits: Limits {
            memory,
            time: remaining.time,
            output: remaining.output,
            scratch: remaining.scratch,
            page_cache: PAGE_CACHE / u64::from(step.instances),
            fuel: order.job.metering.then_some(u64::MAX),
        },
        pages: pages(),
        stdout: None,
        stderr: None,
        // One of them speaks for all.
        progress: (instance == 0).then(|| progress.clone()),
        cancellation: order.cancellation.clone(),
    };
    let specs = (0..step.instances).map(spec).collect();
    let outcome = mc2_sandbox::run_together(component, specs).await;
    forwarding.abort();
    outcome
}

/// What a run left under `/out` that somebody is to have, by the policy's rule for each.
pub(crate) type Left<'r> = Vec<(&'r OutputRule, Content)>;

/// Gathers what a run that succeeded left for those whom the policy names, and for later steps.
/// The tables of folders count as output, for which there is so much `room` left of `limit` bytes.
///
/// # Errors
/// An output is missing or was left twice, or the tables have no room.
pub(crate) fn gather<'r>(
    step: &'r AdmittedStep,
    outcome: &TogetherOutcome,
    room: &mut u64,
    limit: u64,
) -> Result<Left<'r>, Failure> {
    let wanted = step
        .outputs
        .iter()
        .filter(|rule| rule.is_file() && (rule.is_released() || rule.to == To::Step));
    let content = |rule: &'r OutputRule| {
        let name = rule.name.as_str();
        let content = match outcome.output(name)? {
            None => return Err(Failure::MissingOutput(name.to_owned())),
            Some(Output::File(file)) => Content::File(file),
            Some(Output::Folder(files)) => {
                let (entries, files) = files
                    .into_iter()
                    .map(|(path, file)| {
                        let length = file.size();
                        (PathEntry { path, length }, file)
                    })
                    .unzip();
                let table = PathTable::new(entries);
                // The sandbox gives no name that a table refuses; more or longer ones are too much.
                let table = table.map_err(|_| Failure::OutputLimit { limit })?;
                *room = room
                    .checked_sub(table.encoded_len() as u64)
                    .ok_or(Failure::OutputLimit { limit })?;
                Content::Folder(table, files)
            }
        };
        Ok((rule, content))
    };
    wanted.map(content).collect()
}

/// What a run lets out in the guest's own words.
pub(crate) struct Told {
    /// What it said of a failure, where anything of it may pass.
    error: Option<Vec<u8>>,
    /// Whether what it printed passes.
    printed: bool,
    /// Whether a stream is cut where it is longer than it may be: a run that has failed cannot fail
    /// of that.
    cut: bool,
}

/// What a run lets out in the guest's own words: all of them where it succeeded, and where it
/// failed as much as the policy's `errors` lets pass. Of the room for outputs it takes what it adds
/// to them.
pub(crate) fn told(
    step: &AdmittedStep,
    errors: &Errors,
    outcome: &TogetherOutcome,
    failure: Option<&Failure>,
    room: &mut u64,
) -> Told {
    let text = outcome.error_text();
    let is_input = |name: &str| step.inputs.iter().any(|input| input.name.as_str() == name);
    match (failure, errors) {
        (None, _) | (Some(_), Errors::Full) => Told {
            error: Some(said(text, failure, room)),
            printed: true,
            cut: failure.is_some(),
        },
        (Some(_), Errors::Codes(_)) => Told {
            error: Some(errors.passes(text, is_input).into_owned()),
            printed: false,
            cut: true,
        },
        (Some(_), Errors::None) => Told {
            error: None,
            printed: false,
            cut: true,
        },
    }
}

/// What those learn of a failure whom the policy names under `error`: the guest's own words, and
/// the name of an undeclared output, which the guest chose and nobody else is told. It counts as
/// output too, for which there is so much `room`.
fn said(text: &[u8], failure: Option<&Failure>, room: &mut u64) -> Vec<u8> {
    let mut text = text.to_vec();
    if let Some(Failure::UndeclaredOutput(name)) = failure {
        let start = if text.is_empty() || text.ends_with(b"\n") {
            ""
        } else {
            "\n"
        };
        let more = format!("{start}/out/{name:?} is no output that the policy declares\n");
        if let Some(left) = room.checked_sub(more.len() as u64) {
            *room = left;
            text.extend_from_slice(more.as_bytes());
        }
    }
    text
}

/// Which of the policy's outputs a failure is about.
pub(crate) fn output_of(failure: &Failure) -> Option<Name> {
    match failure {
        // These name outputs of the policy: what is under `/out` besides fails in another way.
        Failure::MissingOutput(name) | Failure::RepeatedOutput(name) => name.parse().ok(),
        _ => None,
    }
}

impl Told {
    /// What of the stream `name` passes, and its length before it is cut.
    fn stream<'t>(&'t self, name: &str, outcome: &'t TogetherOutcome) -> Option<Stream<'t>> {
        match name {
            "stdout" if self.printed => {
                Some(Stream::Printed(outcome.stdout().into_iter().collect()))
            }
            "stderr" if self.printed => Some(Stream::Printed(outcome.stderr().collect())),
            "error" => self.error.as_deref().map(Stream::Said),
            // Progress was told while the step ran.
            _ => None,
        }
    }
}

/// What passes of a stream.
enum Stream<'t> {
    Printed(Vec<&'t OutputFile>),
    Said(&'t [u8]),
}

impl Stream<'_> {
    fn length(&self) -> u64 {
        match self {
            Self::Printed(parts) => parts.iter().map(|part| part.size()).sum(),
            Self::Said(text) => text.len() as u64,
        }
    }
}

/// Seals what a run left, and of the streams that reach somebody what it `told`. All of it fits
/// before anything of it is sent.
pub(crate) async fn seal(
    uploader: &Arc<Uploader>,
    step: &AdmittedStep,
    outcome: &TogetherOutcome,
    left: Left<'_>,
    told: &Told,
) -> Result<Vec<(OutputRule, SealedOutput)>, Failure> {
    let released = step
        .outputs
        .iter()
        .filter(|rule| rule.is_stream() && rule.is_released());
    let streams: Vec<_> = released
        .filter_map(|rule| Some((rule, told.stream(rule.name.as_str(), outcome)?)))
        .collect();
    let lengths = left.iter().map(|(_, content)| content.length());
    let told_lengths = streams.iter().map(|(_, stream)| stream.length());
    let most = step.padding.most();
    if lengths
        .chain(told_lengths.filter(|_| !told.cut))
        .any(|length| length > most)
    {
        return Err(Failure::OutputLimit { limit: most });
    }
    let mut sealed = Vec::new();
    let writer = |rule: &OutputRule, form| {
        OutputWriter::new(Arc::clone(uploader), rule.name.clone(), form, step.padding)
    };
    for (rule, content) in left {
        let form = match content {
            Content::File(_) => Form::File,
            Content::Folder(..) => Form::Packed,
        };
        let mut writer = writer(rule, form);
        let written = match &content {
            Content::File(file) => write(&mut writer, [file], most).await,
            Content::Folder(table, files) => match writer.write(&table.encode()).await {
                Ok(()) => write(&mut writer, files, most).await,
                Err(error) => Err(output_failure(error)),
            },
        };
        sealed.push((rule.clone(), finish(rule, writer, written).await?));
    }
    for (rule, stream) in streams {
        let mut writer = writer(rule, Form::File);
        let written = match stream {
            Stream::Printed(parts) => write(&mut writer, parts, most).await,
            Stream::Said(text) => {
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                let text = &text[..text.len().min(most)];
                writer.write(text).await.map_err(output_failure)
            }
        };
        sealed.push((rule.clone(), finish(rule, writer, written).await?));
    }
    sealed.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(sealed)
}

async fn finish(
    rule: &OutputRule,
    writer: OutputWriter,
    written: Result<(), Failure>,
) -> Result<SealedOutput, Failure> {
    if let Err(failure) = written {
        writer.discard().await;
        return Err(failure);
    }
    let object = writer.commit(rule.media_type.clone()).await;
    object.map_err(output_failure)
}

/// Writes what `parts` hold, one after the other, and of that no more than `most` bytes.
async fn write<'f>(
    writer: &mut OutputWriter,
    parts: impl IntoIterator<Item = &'f OutputFile>,
    most: u64,
) -> Result<(), Failure> {
    let mut room = most;
    for part in parts {
        let mut offset = 0;
        while offset < part.size() && room > 0 {
            let length = usize::try_from(room).unwrap_or(usize::MAX);
            let bytes = part.read_at(offset, length).await?;
            offset += bytes.len() as u64;
            room -= bytes.len() as u64;
            writer.write(&bytes).await.map_err(output_failure)?;
        }
    }
    Ok(())
}

fn declared(output: &OutputRule) -> String {
    let slash = if output.folder { "/" } else { "" };
    format!("{}{slash}", output.name)
}

fn output_failure(error: OutputError) -> Failure {
    match error {
        // The guest's doing, and not the host's as all others are.
        OutputError::Padding { limit } => Failure::OutputLimit { limit },
        other => Failure::OutputUnavailable(other.to_string()),
    }
}

/// Why an input could not be opened.
pub(crate) fn input_failure(input: &Name, error: &InputError) -> Failure {
    match error {
        InputError::Storage(_) | InputError::TooManySegments => unavailable(input, error),
        other => corrupt(input, other),
    }
}

fn unavailable(input: &Name, error: &impl ToString) -> Failure {
    Failure::InputUnavailable {
        name: input.to_string(),
        reason: error.to_string(),
    }
}

fn corrupt(input: &Name, reason: &impl ToString) -> Failure {
    Failure::InputCorrupt {
        name: input.to_string(),
        reason: reason.to_string(),
    }
}

/// What an instance used by its own doing, and what the host saw of it.
pub(crate) fn figures(usage: &Usage) -> (InstanceUsage, InstanceObserved) {
    let own = InstanceUsage {
        memory_peak: usage.memory_peak,
        input_bytes: usage.input_bytes,
        output_bytes: usage.output_bytes,
        fuel: usage.fuel,
    };
    let observed = InstanceObserved {
        spilled_bytes: usage.spilled_bytes,
        untrusted_wall_ms: usage.untrusted_wall_time.as_millis() as u64,
    };
    (own, observed)
}

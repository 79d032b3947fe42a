//! One step of a job: what the sandbox is given, and what becomes of what it leaves.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mc2_description::InputDescription;
use mc2_protocol::{
    DataKey, Manifest, Name,
    documents::figures::{InstanceObserved, InstanceUsage},
    policy::{AdmittedStep, Errors, MAX_INSTANCES, Output as OutputRule, To},
    sealed::{
        manifest::{self, ManifestError, MediaType},
        paths::{PathEntry, PathTable},
    },
};
use mc2_sandbox::{
    Failure, GuestKey, InputFile, InputTree, Limits, Output, OutputFile, RunSpec, TogetherOutcome,
    Usage,
};
use mc2_wire::routes::manifest_path;

use super::{
    description::describe,
    inputs::{InputError, ObjectFiles, Window},
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

/// The input that is the guest's standard input too.
const STDIN: &str = "stdin";

/// What a step finds under `/in`.
#[derive(Default)]
pub(crate) struct StepInputs {
    tree: InputTree,
    stdin: Option<Arc<dyn InputFile>>,
    descriptions: Vec<InputDescription>,
}

impl StepInputs {
    /// Adds the files of an object as `/in/NAME`.
    pub(crate) fn add(&mut self, name: &Name, manifest: &Manifest, files: ObjectFiles) {
        self.descriptions.push(InputDescription {
            name: name.to_string(),
            media_type: manifest.media_type().as_str().to_owned(),
            length: files.length(),
            folder: manifest.is_folder(),
        });
        match files {
            ObjectFiles::File(file) => {
                let file: Arc<dyn InputFile> = Arc::new(file);
                if name.as_str() == STDIN {
                    self.stdin = Some(Arc::clone(&file));
                }
                self.tree.add_file(name.as_str(), file);
            }
            ObjectFiles::Folder(files) => {
                let files = files
                    .into_iter()
                    .map(|(path, file)| (path, Arc::new(file) as Arc<dyn InputFile>));
                self.tree.add_folder(name.as_str(), files);
            }
        }
    }
}

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

/// Runs the step in fresh instances.
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
            memory: limits.memory.bytes(),
            time: remaining.time,
            output: remaining.output,
            scratch: remaining.scratch,
            page_cache: PAGE_CACHE / u64::from(step.instances),
            fuel: order.job.metering.then_some(u64::MAX),
        },
        pages: Some(Arc::new(SpillArea::new(Arc::clone(storage)))),
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

/// What a run left under `/out` that is to be sealed, by the policy's rule for each.
pub(crate) type Left<'r> = Vec<(&'r OutputRule, Content)>;

/// One output as it is to be sealed.
pub(crate) enum Content {
    /// A file.
    File(OutputFile),
    /// A folder: the table of its paths, and the files in the table's order.
    Folder(PathTable, Vec<OutputFile>),
}

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
        },
        (Some(_), Errors::Codes(_)) => Told {
            error: Some(errors.passes(text, is_input).into_owned()),
            printed: false,
        },
        (Some(_), Errors::None) => Told {
            error: None,
            printed: false,
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

/// Seals what a run left, and of the streams that reach somebody what it `told`.
pub(crate) async fn seal(
    uploader: &Arc<Uploader>,
    step: &AdmittedStep,
    outcome: &TogetherOutcome,
    left: Left<'_>,
    told: &Told,
) -> Result<Vec<(OutputRule, SealedOutput)>, Failure> {
    let mut sealed = Vec::new();
    for (rule, content) in left {
        let form = match content {
            Content::File(_) => Form::File,
            Content::Folder(..) => Form::Packed,
        };
        let mut writer =
            OutputWriter::new(Arc::clone(uploader), rule.name.clone(), form, step.padding);
        let written = match &content {
            Content::File(file) => write(&mut writer, [file]).await,
            Content::Folder(table, files) => match writer.write(&table.encode()).await {
                Ok(()) => write(&mut writer, files).await,
                Err(error) => Err(output_failure(error)),
            },
        };
        sealed.push((rule.clone(), finish(writer, written).await?));
    }
    for rule in &step.outputs {
        if !rule.is_stream() || !rule.is_released() {
            continue;
        }
        let (printed, error) = (told.printed, told.error.as_deref());
        let passes = match rule.name.as_str() {
            "stdout" | "stderr" => printed,
            "error" => error.is_some(),
            // Progress was told while the step ran.
            _ => false,
        };
        if !passes {
            continue;
        }
        let mut writer = OutputWriter::new(
            Arc::clone(uploader),
            rule.name.clone(),
            Form::File,
            step.padding,
        );
        let written = match rule.name.as_str() {
            "stdout" => write(&mut writer, outcome.stdout()).await,
            "stderr" => write(&mut writer, outcome.stderr()).await,
            _ => {
                let text = error.unwrap_or_default();
                writer.write(text).await.map_err(output_failure)
            }
        };
        sealed.push((rule.clone(), finish(writer, written).await?));
    }
    sealed.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Ok(sealed)
}

async fn finish(
    writer: OutputWriter,
    written: Result<(), Failure>,
) -> Result<SealedOutput, Failure> {
    if let Err(failure) = written {
        writer.discard().await;
        return Err(failure);
    }
    let object = writer.commit(MediaType::octet_stream()).await;
    object.map_err(output_failure)
}

/// Writes what `parts` hold, one after the other.
async fn write<'f>(
    writer: &mut OutputWriter,
    parts: impl IntoIterator<Item = &'f OutputFile>,
) -> Result<(), Failure> {
    for part in parts {
        let mut offset = 0;
        while offset < part.size() {
            let bytes = part.read_at(offset, usize::MAX).await?;
            offset += bytes.len() as u64;
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

#[async_trait]
impl InputFile for Window {
    fn size(&self) -> u64 {
        self.len()
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        Self::try_read_at(self, offset, len)
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, mc2_sandbox::InputError> {
        Self::read_at(self, offset, len)
            .await
            .map_err(|error| match error {
                InputError::Storage(_) | InputError::TooManySegments => {
                    mc2_sandbox::InputError::Unavailable(error.to_string())
                }
                other => mc2_sandbox::InputError::Corrupt(other.to_string()),
            })
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

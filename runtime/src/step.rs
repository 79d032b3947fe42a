//! One step of a job: what the sandbox is given, and what becomes of what it leaves.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use mc2_protocol::{
    Digest, Manifest, Name, SecretKey,
    manifest::{self, ManifestError, MediaType},
    policy::{AdmittedStep, MAX_INSTANCES, Output as OutputRule},
    receipt::InstanceUsage,
    storage::manifest_path,
};
use mc2_sandbox::{
    Failure, InputFile, InputTree, Limits, Output, OutputFile, RunSpec, TogetherOutcome, Usage,
};

use crate::{
    description::{InputDescription, describe},
    inputs::{BlockCache, InputError, SealedFile, Window},
    jobs::Order,
    outputs::{ObjectWriter, OutputError, SealedOutput},
    progress,
    spill::SpillArea,
    storage::{Storage, StorageError},
};

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
    /// Adds the object `object` as `/in/NAME`, if `key` is the one it was sealed with. `lengths`
    /// says how much of each file is not padding; without them all of it counts.
    pub(crate) fn add(
        &mut self,
        storage: &Arc<Storage>,
        cache: &Arc<BlockCache>,
        name: &Name,
        object: Digest,
        manifest: &Manifest,
        lengths: Option<&[u64]>,
        key: &SecretKey,
    ) -> Result<(), Failure> {
        let length = |index: usize| match lengths {
            Some(lengths) => lengths[index],
            None => manifest.files()[index].length,
        };
        let open = |index| -> Result<Arc<dyn InputFile>, Failure> {
            let (storage, cache) = (Arc::clone(storage), Arc::clone(cache));
            let file = SealedFile::new(storage, cache, object, manifest, index, key)
                .map_err(|error| corrupt(name, &error))?;
            let window = Window::new(Arc::new(file), 0, length(index))
                .ok_or_else(|| corrupt(name, &"a file is shorter than its content"))?;
            Ok(Arc::new(window))
        };
        self.descriptions.push(InputDescription {
            name: name.to_string(),
            media_type: manifest.media_type().as_str().to_owned(),
            length: (0..manifest.files().len()).map(length).sum(),
            folder: manifest.is_folder(),
        });
        if manifest.is_folder() {
            let files: Result<Vec<_>, Failure> = manifest
                .files()
                .iter()
                .enumerate()
                .map(|(index, file)| Ok((file.path.clone(), open(index)?)))
                .collect();
            self.tree.add_folder(name.as_str(), files?);
            return Ok(());
        }
        let file = open(0)?;
        if name.as_str() == STDIN {
            self.stdin = Some(Arc::clone(&file));
        }
        self.tree.add_file(name.as_str(), file);
        Ok(())
    }
}

/// Fetches the manifest that `object` names and checks that it is a version of `dataset`.
pub(crate) async fn fetch_manifest(
    storage: &Storage,
    dataset: &Name,
    object: &Digest,
    input: &Name,
) -> Result<Manifest, Failure> {
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
    inputs: StepInputs,
    time: Duration,
) -> Result<TogetherOutcome, Failure> {
    let session = &order.session;
    let limits = &order.job.limits;
    let (progress, events) = mc2_sandbox::progress_channel();
    let watchers = step
        .outputs
        .iter()
        .find(|output| output.name.as_str() == "progress");
    let watchers = watchers
        .map(|output| output.recipients().to_vec())
        .unwrap_or_default();
    let forwarding = tokio::spawn(progress::forward(
        Arc::clone(storage),
        Arc::clone(session),
        order.number,
        watchers,
        events,
    ));
    let component = session
        .components
        .get(&step.component.name)
        // The session measured every component of its policy, and the step names one of them.
        .unwrap_or_else(|| unreachable!("an admitted step names a measured component"));
    let spec = |instance| RunSpec {
        arguments: step.arguments.clone(),
        environment: Vec::new(),
        job: describe(&order.job, step, instance, &inputs.descriptions).into(),
        keys: Vec::new(),
        inputs: inputs.tree.clone(),
        stdin: inputs.stdin.clone(),
        outputs: step
            .outputs
            .iter()
            .filter(|output| !output.is_stream())
            .map(declared)
            .collect(),
        limits: Limits {
            memory: limits.memory.bytes(),
            time,
            output: limits.output.bytes(),
            scratch: limits.scratch.bytes(),
            page_cache: PAGE_CACHE / u64::from(step.instances),
            fuel: order.job.metering.then_some(u64::MAX),
        },
        pages: Some(Arc::new(SpillArea::new(Arc::clone(storage)))),
        // One of them speaks for all.
        progress: (instance == 0).then(|| progress.clone()),
        cancellation: order.cancellation.clone(),
    };
    let specs = (0..step.instances).map(spec).collect();
    let outcome = mc2_sandbox::run_together(component, specs).await;
    forwarding.abort();
    outcome
}

/// Seals what a run left: everything the policy releases or later steps read where it succeeded,
/// streams alone where it did not.
pub(crate) async fn seal(
    storage: &Arc<Storage>,
    step: &AdmittedStep,
    outcome: &TogetherOutcome,
    succeeded: bool,
) -> Result<Vec<(OutputRule, SealedOutput)>, Failure> {
    let mut sealed = Vec::new();
    for rule in &step.outputs {
        let wanted = if rule.is_stream() {
            rule.is_released() && rule.name.as_str() != "progress"
        } else {
            succeeded && (rule.is_released() || rule.to == mc2_protocol::policy::To::Step)
        };
        if !wanted {
            continue;
        }
        let mut writer = ObjectWriter::new(Arc::clone(storage), rule.name.clone(), step.padding);
        let written = match rule.name.as_str() {
            "stdout" if rule.is_stream() => write(&mut writer, "", outcome.stdout()).await,
            "stderr" if rule.is_stream() => write(&mut writer, "", outcome.stderr()).await,
            "error" if rule.is_stream() => write_bytes(&mut writer, outcome.error_text()).await,
            name => match outcome.output(name) {
                Ok(Some(Output::File(file))) => write(&mut writer, "", [&file]).await,
                Ok(Some(Output::Folder(files))) => write_folder(&mut writer, &files).await,
                Ok(None) => Err(Failure::MissingOutput(name.to_owned())),
                Err(failure) => Err(failure),
            },
        };
        if let Err(failure) = written {
            writer.discard().await;
            return Err(failure);
        }
        let object = writer.commit(rule.folder, MediaType::octet_stream()).await;
        sealed.push((rule.clone(), object.map_err(output_failure)?));
    }
    Ok(sealed)
}

async fn write_folder(
    writer: &mut ObjectWriter,
    files: &[(String, OutputFile)],
) -> Result<(), Failure> {
    for (path, file) in files {
        write(writer, path, [file]).await?;
    }
    Ok(())
}

/// Writes one file of what `parts` hold, one after the other.
async fn write<'f>(
    writer: &mut ObjectWriter,
    path: &str,
    parts: impl IntoIterator<Item = &'f OutputFile>,
) -> Result<(), Failure> {
    let mut target = writer.file(path.to_owned());
    for part in parts {
        let mut offset = 0;
        while offset < part.size() {
            let bytes = part.read_at(offset, usize::MAX).await?;
            offset += bytes.len() as u64;
            target.write(&bytes).await.map_err(output_failure)?;
        }
    }
    target.finish().await.map_err(output_failure)
}

async fn write_bytes(writer: &mut ObjectWriter, bytes: &[u8]) -> Result<(), Failure> {
    let mut target = writer.file(String::new());
    target.write(bytes).await.map_err(output_failure)?;
    target.finish().await.map_err(output_failure)
}

fn declared(output: &OutputRule) -> String {
    let slash = if output.folder { "/" } else { "" };
    format!("{}{slash}", output.name)
}

fn output_failure(error: OutputError) -> Failure {
    Failure::OutputUnavailable(error.to_string())
}

fn unavailable(input: &Name, error: &StorageError) -> Failure {
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
                InputError::Storage(error) => {
                    mc2_sandbox::InputError::Unavailable(error.to_string())
                }
                InputError::Sealed(error) => mc2_sandbox::InputError::Corrupt(error.to_string()),
            })
    }
}

/// An instance's usage as the receipt says it.
pub(crate) fn usage(usage: &Usage) -> InstanceUsage {
    InstanceUsage {
        memory_peak: usage.memory_peak,
        input_bytes: usage.input_bytes,
        output_bytes: usage.output_bytes,
        spilled_bytes: usage.spilled_bytes,
        fuel: usage.fuel,
        untrusted_wall_ms: usage.untrusted_wall_time.as_millis() as u64,
    }
}

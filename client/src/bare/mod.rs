//! A component without an enclave: no evidence, nothing sealed, nothing attested.
//!
//! This is the author's inner loop, the `--bare` of `mc2-run`: the sandbox that the enclave runs, over
//! plain files of this machine, so what works here works there and fails there for the same reason.
//! What it computes is exactly as secret as any other program's output on this machine. Start at
//! [`run_bare`]; [`inputs`], [`outputs`] and [`pages`] are the files, [`cache`] keeps compiled
//! components.

mod cache;
mod error;
mod inputs;
mod options;
mod outputs;
mod pages;
mod print;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use mc2_description::{Description, OutputDescription};
use mc2_protocol::policy::MAX_INSTANCES;
use mc2_sandbox::{
    Cancellation, CodeCache, CompileLimits, CompileMode, ComponentStore, Engine, Failure, Limits,
    MeasuredComponent, OutputFile, ProgressEvent, RunSpec, progress_channel, run_together,
};

use crate::{seal::media, workload::Workload};
use cache::Cache;
pub use error::BareError;
use inputs::Inputs;
pub use options::{BareEvent, BareOptions, BareStdin, BareStdout};
use pages::Pages;
use print::{Nowhere, Sink, Stream};

/// The largest number the job's description may hold: no limit.
const FOREVER: u64 = (1 << 53) - 1;
/// Pages of `/tmp` and `/out` kept in memory, over all instances, in bytes.
const PAGE_CACHE: u64 = 256 << 20;

/// How a run that took place ended.
#[derive(Debug)]
pub struct BareOutcome {
    /// Success of all instances, or the first reason why not: as an enclave's receipt says it.
    /// Outputs are written only with success.
    pub result: Result<(), Failure>,
    /// What the instance that failed first wrote to `/run/mc2/error`.
    pub error: Option<String>,
    /// Standard output where it was captured.
    pub stdout: Vec<u8>,
    /// Standard error where it was captured.
    pub stderr: Vec<u8>,
    /// Time spent reading and compiling the component.
    pub compile_time: Duration,
    /// Time the guest ran.
    pub run_time: Duration,
    /// The most bytes of memories and tables, over all instances.
    pub peak_memory: u64,
}

/// Runs a component with no enclave and moves its outputs to their places.
///
/// The future may be dropped at any time: the guest stops, and nothing is left of what it wrote.
///
/// ```no_run
/// use mc2_client::bare::{BareOptions, run_bare};
///
/// # async fn example() -> Result<(), mc2_client::bare::BareError> {
/// let outcome = run_bare(BareOptions {
///     inputs: vec![("text".into(), "README.md".into())],
///     arguments: vec!["text".into()],
///     ..BareOptions::new("target/workloads/wordcount.wasm")
/// })
/// .await?;
/// assert_eq!(outcome.result, Ok(()));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`BareError`] where nothing ran, or a result could not be written. However the guest itself
/// ends is no error: see [`BareOutcome::result`].
pub async fn run_bare(options: BareOptions) -> Result<BareOutcome, BareError> {
    if !(1..=MAX_INSTANCES).contains(&options.instances) {
        return Err(BareError::Invalid(format!(
            "{} instances, expected 1 to {MAX_INSTANCES}",
            options.instances
        )));
    }
    outputs::check(&options.outputs)?;
    let workload = Workload::read(&options.component)?;
    let (named, stdin) = (options.inputs.clone(), options.stdin);
    let inputs = tokio::task::spawn_blocking(move || Inputs::open(&named, stdin))
        .await
        .map_err(|error| BareError::Engine(error.to_string()))??;

    (options.events)(BareEvent::Compiling);
    let started = Instant::now();
    let component = compile(&options, &workload).await?;
    let compile_time = started.elapsed();

    let stdout = Sink::open(&options.stdout, Stream::Stdout)?;
    let stderr = Sink::open(&options.stderr, Stream::Stderr)?;
    (options.events)(BareEvent::Running);
    let (progress, mut events) = progress_channel();
    let started = Instant::now();
    let mut specs = Vec::new();
    for instance in 0..options.instances {
        let mut spec = spec(&options, &workload, &inputs, instance)?;
        spec.stderr = stderr.shown();
        // The first one speaks for all.
        if instance == 0 {
            spec.stdout = stdout.shown();
            spec.progress = Some(progress.clone());
        } else {
            spec.stdout = Some(Arc::new(Nowhere));
        }
        specs.push(spec);
    }
    drop(progress);
    let tell = |event: ProgressEvent| {
        (options.events)(BareEvent::Progress(&event.text));
    };
    let outcome = {
        let run = run_together(&component, specs);
        tokio::pin!(run);
        loop {
            tokio::select! {
                outcome = &mut run => break outcome,
                Some(event) = events.recv() => tell(event),
            }
        }
    };
    while let Ok(event) = events.try_recv() {
        tell(event);
    }
    let outcome = outcome.map_err(|failure| BareError::Engine(failure.to_string()))?;
    let run_time = started.elapsed();

    let result = match outcome.result.clone() {
        Ok(()) => outputs::release(&outcome, &options.outputs).await?,
        Err(failure) => Err(failure),
    };
    let error = String::from_utf8_lossy(outcome.error_text())
        .trim_end()
        .to_owned();
    let usage = outcome.instances.iter().map(|one| one.usage.memory_peak);
    Ok(BareOutcome {
        result,
        error: (!error.is_empty()).then_some(error),
        stdout: captured(&options.stdout, outcome.stdout()).await?,
        stderr: captured(&options.stderr, outcome.stderr()).await?,
        compile_time,
        run_time,
        peak_memory: usage.sum(),
    })
}

/// The folder compiled components are kept in for this user: `mc2/bare` below `XDG_CACHE_HOME` or
/// `~/.cache`.
pub fn default_cache() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("mc2").join("bare"))
}

async fn compile(
    options: &BareOptions,
    workload: &Workload,
) -> Result<Arc<MeasuredComponent>, BareError> {
    let cache = options.cache.as_deref().and_then(|folder| {
        Cache::open(folder)
            .inspect_err(|error| {
                tracing::warn!("not keeping compiled code in {}: {error}", folder.display());
            })
            .ok()
    });
    let limits = CompileLimits {
        time: Duration::MAX,
        ..CompileLimits::default()
    };
    let store = ComponentStore::new(
        Engine::new(options.profile)?,
        CompileMode::InProcess,
        limits,
        cache.map(|cache| Box::new(cache) as Box<dyn CodeCache>),
    )
    .map_err(|error| BareError::Engine(error.to_string()))?;
    store
        .measure(workload.wasm.to_vec(), None, &Cancellation::new())
        .await
        .map_err(|source| BareError::Refused {
            path: options.component.clone(),
            source,
        })
}

/// What one instance is given.
fn spec(
    options: &BareOptions,
    workload: &Workload,
    inputs: &Inputs,
    instance: u32,
) -> Result<RunSpec, BareError> {
    let pages = Pages::new()
        .map_err(|error| BareError::Engine(format!("no file for scratch pages: {error}")))?;
    let job = description(options, workload, inputs, instance);
    Ok(RunSpec {
        arguments: options.arguments.clone(),
        inputs: inputs.tree.clone(),
        stdin: inputs.stdin.clone(),
        outputs: options
            .outputs
            .iter()
            .map(|(name, _)| name.clone())
            .collect(),
        job: job.to_json().into(),
        keys: options.keys.clone(),
        limits: Limits {
            memory: options.memory,
            time: options.timeout.unwrap_or(Duration::MAX),
            output: options.output.unwrap_or(u64::MAX),
            scratch: options.scratch.unwrap_or(u64::MAX),
            page_cache: PAGE_CACHE / u64::from(options.instances),
            fuel: None,
        },
        pages: Some(Arc::new(pages)),
        ..RunSpec::new()
    })
}

fn description(
    options: &BareOptions,
    workload: &Workload,
    inputs: &Inputs,
    instance: u32,
) -> Description {
    let outputs = options.outputs.iter().map(|(name, path)| {
        let folder = name.ends_with('/');
        OutputDescription {
            name: name.trim_end_matches('/').to_owned(),
            media_type: media::wanted(path, folder).into(),
            folder,
        }
    });
    let time = options.timeout.map_or(FOREVER, |time| {
        u64::try_from(time.as_millis()).unwrap_or(FOREVER)
    });
    Description {
        version: Description::VERSION,
        name: workload.name.to_string(),
        component: workload.name.to_string(),
        arguments: options.arguments.clone(),
        instance,
        instances: options.instances,
        inputs: inputs.descriptions.clone(),
        outputs: outputs.collect(),
        limits: Some(mc2_description::Limits {
            memory: options.memory,
            time_ms: time.min(FOREVER),
            output: options.output.unwrap_or(FOREVER),
            scratch: options.scratch.unwrap_or(FOREVER),
        }),
    }
}

/// All of a standard stream's parts, where they were kept.
async fn captured<'f>(
    to: &BareStdout,
    parts: impl IntoIterator<Item = &'f OutputFile>,
) -> Result<Vec<u8>, BareError> {
    let mut all = Vec::new();
    if matches!(to, BareStdout::Capture) {
        for part in parts {
            let bytes = part.read_all(u64::MAX).await;
            all.extend(bytes.map_err(|failure| BareError::Engine(failure.to_string()))?);
        }
    }
    Ok(all)
}

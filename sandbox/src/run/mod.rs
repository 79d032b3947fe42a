//! One run of one component: a fresh store, a fresh instance, one outcome. Several instances of
//! one component are [`together`].

mod together;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::mpsc;
use wasmtime::component::ResourceTableError;
use wasmtime::{Store, Trap};

use crate::cancel::Cancellation;
use crate::component::MeasuredComponent;
use crate::failure::{Exited, Failure, Stop};
use crate::files::{
    Account, BadName, ErrorText, File, GuestKey, Input, InputFile, InputTree, OutputFile,
    OutputTree, PageStore, Print, Printed, Progress, ProgressEvent, Space, Text, Vfs,
};
use crate::limits::{Budgets, CALL_FUEL, HANDLES, Limiter, Limits};
use crate::peers::Seat;
use crate::wasi::{Guest, Notes};

pub use together::{TogetherOutcome, Used, run_together};

/// Everything a guest is given.
pub struct RunSpec {
    /// The command line after the program's name.
    pub arguments: Vec<String>,
    /// The environment; nothing is added to it.
    pub environment: Vec<(String, String)>,
    /// `/in`.
    pub inputs: InputTree,
    /// Standard input, empty where there is none.
    pub stdin: Option<Arc<dyn InputFile>>,
    /// The names the guest may create in `/out`; one that ends in `/` is a folder.
    pub outputs: Vec<String>,
    /// `/run/mc2/job.json`.
    pub job: Bytes,
    /// `/run/mc2/keys`.
    pub keys: Vec<GuestKey>,
    /// What it may use.
    pub limits: Limits,
    /// Where file pages go that do not fit in memory. Without one nothing leaves
    /// the enclave, and every page of `/tmp`, `/out` and the streams counts as memory.
    pub pages: Option<Arc<dyn PageStore>>,
    /// Who sees standard output while it is written; it is kept where there is nobody.
    pub stdout: Option<Arc<dyn Print>>,
    /// The same of standard error.
    pub stderr: Option<Arc<dyn Print>>,
    /// Where progress is told while it happens.
    pub progress: Option<mpsc::Sender<ProgressEvent>>,
    /// Ends the run early.
    pub cancellation: Cancellation,
}

impl RunSpec {
    /// A run with nothing in it: no arguments, files or outputs, default limits.
    pub fn new() -> Self {
        Self {
            arguments: Vec::new(),
            environment: Vec::new(),
            inputs: InputTree::new(),
            stdin: None,
            outputs: Vec::new(),
            job: Bytes::from_static(b"{}"),
            keys: Vec::new(),
            limits: Limits::default(),
            pages: None,
            stdout: None,
            stderr: None,
            progress: None,
            cancellation: Cancellation::new(),
        }
    }
}

impl Default for RunSpec {
    fn default() -> Self {
        Self::new()
    }
}

/// What a run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The most bytes of memories and tables at one time.
    pub memory_peak: u64,
    /// Time from start to end, by the host's clock and so not to be trusted.
    pub untrusted_wall_time: Duration,
    /// Fuel consumed, on a metered engine.
    pub fuel: Option<u64>,
    /// Bytes the guest read from inputs, again where it read them again.
    pub input_bytes: u64,
    /// Bytes of outputs, streams and messages at the end.
    pub output_bytes: u64,
    /// The most bytes of `/tmp` at one time, in whole pages.
    pub scratch_peak: u64,
    /// Bytes of file pages sealed and handed to the host.
    pub spilled_bytes: u64,
}

/// How a run ended. Where `result` is a failure the outputs are for nobody but
/// whom the policy lets see a failed run's messages.
#[derive(Debug)]
pub struct RunOutcome {
    /// Success, or the one reason why not.
    pub result: Result<(), Failure>,
    /// What the guest wrote to standard output.
    pub stdout: OutputFile,
    /// What the guest wrote to standard error.
    pub stderr: OutputFile,
    /// Its progress, one event a line.
    pub progress: Bytes,
    /// What the guest wrote to `/run/mc2/error`, 64 KiB at most.
    pub error_text: Bytes,
    /// The declared outputs it wrote.
    pub outputs: OutputTree,
    /// What it used.
    pub usage: Usage,
}

/// Runs a component in a store and an instance made for this run alone.
///
/// Whatever the guest does is in the outcome's `result`. Dropping the future ends
/// the guest as well.
///
/// # Errors
///
/// A [`Failure::Internal`] where the run cannot be set up at all: an input or
/// output name that cannot be a file's. [`Failure::MemoryLimit`] where what the
/// instance takes beside memories and tables has no room.
pub async fn run(component: &MeasuredComponent, spec: RunSpec) -> Result<RunOutcome, Failure> {
    let budgets = Budgets::new(&spec.limits);
    let _inputs = budgets.hold_memory(spec.inputs.weight())?;
    run_seated(component, spec, &budgets, None).await
}

/// As [`run`](run()), on budgets that others may share, at a place among peers where there
/// are any.
pub(crate) async fn run_seated(
    component: &MeasuredComponent,
    spec: RunSpec,
    budgets: &Budgets,
    seat: Option<Seat>,
) -> Result<RunOutcome, Failure> {
    let RunSpec {
        arguments,
        environment,
        inputs,
        stdin,
        outputs,
        job,
        keys,
        limits,
        pages,
        stdout,
        stderr,
        progress,
        cancellation,
    } = spec;
    let start = Instant::now();
    let _instances = budgets.hold_memory(component.footprint())?;
    let read = Arc::new(AtomicU64::new(0));
    let space = Space::new(budgets, limits.page_cache, pages);
    let progress = Arc::new(Progress::new(Arc::clone(&space), progress));
    let error = Arc::new(ErrorText::new(Arc::clone(&space)));
    let stream = |to: Option<Arc<dyn Print>>| -> Arc<dyn File> {
        match to {
            Some(to) => Arc::new(Printed::new(Arc::clone(&space), to)),
            None => Arc::new(space.create(Account::Output)),
        }
    };
    let (stdout, stderr) = (stream(stdout), stream(stderr));
    let run_folder: [(String, Arc<dyn File>); 3] = [
        ("job.json".to_owned(), Arc::new(Text(job))),
        ("progress".to_owned(), progress.clone()),
        ("error".to_owned(), error.clone()),
    ];
    let run_folder = run_folder
        .into_iter()
        .chain(seat.iter().flat_map(Seat::files))
        .chain(keys.into_iter().map(GuestKey::file));
    let vfs =
        Vfs::new(inputs, &outputs, run_folder, Arc::clone(&space), &read).map_err(|error| {
            match error {
                BadName::NoMemory => Failure::MemoryLimit {
                    limit: budgets.memory.limit(),
                },
                other => Failure::Internal(other.to_string()),
            }
        })?;
    let notes = Notes::default();
    let guest = Guest {
        table: Guest::table(),
        limiter: Limiter::new(budgets.memory.clone()),
        vfs,
        notes: notes.clone(),
        pending: Guest::pending(),
        polls: seat.as_ref().map(Seat::polls),
        arguments: std::iter::once("workload".to_owned())
            .chain(arguments)
            .collect(),
        environment,
        stdin: match stdin {
            Some(file) => Arc::new(Input::new("stdin", file, &read)),
            None => Arc::new(Text(Bytes::new())),
        },
        stdout: stdout.clone(),
        stderr: stderr.clone(),
        start,
        start_seconds: SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |time| time.as_secs()),
    };
    let mut store = store(component, guest, &limits)?;
    let call = tokio::time::timeout(limits.time, call(component, &mut store));
    let ended = cancellation.unless_cancelled(call).await;
    let ended = match ended {
        None => Err(Failure::Cancelled),
        Some(Ok(Err(error))) if is_success(&error) => Ok(()),
        Some(Ok(ended)) => ended.map_err(|error| reason(&error, &store, &notes)),
        Some(Err(_)) => Err(Failure::TimeLimit {
            milliseconds: u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX),
        }),
    };
    let result = match notes.hard_failure() {
        Some(failure) => Err(failure),
        None => ended,
    };
    if let Some(seat) = seat {
        seat.end(&result);
    }
    let fuel = component.engine().is_metered().then(|| {
        let given = limits.fuel.unwrap_or(u64::MAX);
        given - store.get_fuel().unwrap_or(given)
    });
    let outputs = store.data().vfs.outputs(&outputs);
    let space_usage = space.usage();
    let usage = Usage {
        memory_peak: store.data().limiter.peak(),
        untrusted_wall_time: start.elapsed(),
        fuel,
        input_bytes: read.load(Ordering::Relaxed),
        output_bytes: space_usage.output_bytes,
        scratch_peak: space_usage.scratch_peak,
        spilled_bytes: space_usage.spilled_bytes,
    };
    Ok(RunOutcome {
        result,
        stdout: OutputFile::new(stdout),
        stderr: OutputFile::new(stderr),
        progress: progress.log(),
        error_text: error.text(),
        outputs,
        usage,
    })
}

fn store(
    component: &MeasuredComponent,
    guest: Guest,
    limits: &Limits,
) -> Result<Store<Guest>, Failure> {
    let mut store = Store::new(component.engine().wasmtime(), guest);
    store.limiter(|guest| &mut guest.limiter);
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store.set_hostcall_fuel(CALL_FUEL);
    store.set_max_component_handles(HANDLES);
    if component.engine().is_metered() {
        store
            .set_fuel(limits.fuel.unwrap_or(u64::MAX))
            .map_err(|error| Failure::Internal(format!("{error:#}")))?;
    }
    Ok(store)
}

/// Instantiates and calls `wasi:cli/run`.
async fn call(component: &MeasuredComponent, store: &mut Store<Guest>) -> wasmtime::Result<()> {
    let instance = component.pre().instantiate_async(&mut *store).await?;
    let run =
        instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, component.run_export())?;
    let (result,) = run.call_async(&mut *store, ()).await?;
    result.map_err(|()| wasmtime::Error::new(Exited(1)))
}

/// `exit(0)` comes up as an error like any other exit.
fn is_success(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref::<Exited>(), Some(Exited(0)))
}

/// What ended the guest, from the error Wasmtime reports and what was noted
/// before it.
fn reason(error: &wasmtime::Error, store: &Store<Guest>, notes: &Notes) -> Failure {
    if let Some(Stop(failure)) = error.downcast_ref::<Stop>() {
        return failure.clone();
    }
    // A limit the guest ran into explains its end better than how it ended.
    let limit = || {
        store
            .data()
            .limiter
            .failure()
            .or_else(|| notes.soft_failure())
    };
    if let Some(Exited(code)) = error.downcast_ref::<Exited>() {
        return limit().unwrap_or(Failure::Exit(*code));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => return Failure::StackOverflow,
        Some(Trap::OutOfFuel) => return Failure::FuelLimit,
        _ => {}
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return Failure::HandleLimit {
            what: "resources",
            limit: HANDLES as u64,
        };
    }
    limit().unwrap_or_else(|| Failure::Trap(format!("{:#}", error.root_cause())))
}

#[cfg(test)]
pub(crate) mod tests;

//! A component on plain Wasmtime: no enclave, no evidence, nothing sealed.
//!
//! This is the author's inner loop, the `--bare` of `mc2-run`. The guest sees the same folders as
//! in an enclave (`/in`, `/out`, `/tmp`, `/run/mc2`), so what works here works there; what it
//! computes is exactly as secret as any other program's output on this machine. Start at
//! [`run_bare`]; [`stage`] builds the folders and [`cache`] keeps compiled components.

mod cache;
mod engine;
mod peers;
mod stage;
mod together;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

use engine::{Compiled, Guest, Memory, Shared};
use peers::Streams;
use stage::Stage;
use together::First;

/// The most a captured standard stream may hold, in bytes.
const CAPTURE: usize = 1 << 30;

/// What to run and with what.
pub struct BareOptions {
    /// The component's file.
    pub component: PathBuf,
    /// Name and path of each input; a path may be a folder. The input `stdin` is also the guest's
    /// standard input.
    pub inputs: Vec<(String, PathBuf)>,
    /// Name and path of each output; a name that ends in `/` is a folder.
    pub outputs: Vec<(String, PathBuf)>,
    /// The command line after the program's name.
    pub arguments: Vec<String>,
    /// How many instances run together, at least 1.
    pub instances: u32,
    /// Standard input where there is no input called `stdin`.
    pub stdin: BareStdin,
    /// Where the first instance's standard output goes; the others' goes nowhere.
    pub stdout: BareStdout,
    /// Where all instances' standard error goes.
    pub stderr: BareStdout,
    /// The most linear memory the instances may have together, in bytes, over all their memories.
    pub memory: u64,
    /// How long the guest may run; compiling is not counted.
    pub timeout: Option<Duration>,
    /// Where compiled components are kept; nothing is kept where this is `None`. See
    /// [`default_cache`].
    pub cache: Option<PathBuf>,
    /// Told what happens while it happens.
    pub events: Box<dyn Fn(BareEvent<'_>) + Send + Sync>,
}

/// A guest's standard input.
pub enum BareStdin {
    /// Nothing to read.
    Empty,
    /// The caller's own standard input.
    Inherit,
}

/// Where a guest's standard stream goes.
pub enum BareStdout {
    /// The caller's own stream.
    Inherit,
    /// Into [`BareOutcome`], 1 GiB at most.
    Capture,
    /// A file, created or emptied.
    File(PathBuf),
}

/// Something that happens during a run.
#[derive(Debug)]
pub enum BareEvent<'a> {
    /// Compiling has begun; it takes a minute for a large component.
    Compiling,
    /// The guest has started.
    Running,
    /// A line the guest wrote to `/run/mc2/progress`.
    Progress(&'a str),
}

/// How a run that took place ended.
#[derive(Debug)]
pub struct BareOutcome {
    /// Whether all instances reported success. Outputs are written only then.
    pub success: bool,
    /// What the first instance that failed wrote to `/run/mc2/error`.
    pub error: Option<String>,
    /// Standard output where it was captured.
    pub stdout: Vec<u8>,
    /// Standard error where it was captured.
    pub stderr: Vec<u8>,
    /// Time spent reading and compiling the component.
    pub compile_time: Duration,
    /// Time the guest ran.
    pub run_time: Duration,
    /// The most linear memory the instances had together, in bytes.
    pub peak_memory: u64,
}

/// Why a run did not take place or did not end by itself.
#[derive(Debug, thiserror::Error)]
pub enum BareError {
    /// An input or output that cannot be given to a guest.
    #[error("{0}")]
    Invalid(String),
    /// A file that could not be read, linked or written.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done, up to the path.
        doing: &'static str,
        /// The file it was done to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no component.
    #[error("{} is not a component: {reason}", path.display())]
    NotAComponent {
        /// The file given as component.
        path: PathBuf,
        /// What it is, and how it becomes a component.
        reason: String,
    },
    /// The component needs something that no sandbox of this product has.
    #[error("the component cannot be started: {0}")]
    Unlinkable(String),
    /// The guest trapped.
    #[error("the component trapped: {0}")]
    Trap(String),
    /// The guest asked for more memory than it may have.
    #[error(
        "the component needs more memory than the {limit} bytes it may have; give it more with \
         --memory"
    )]
    Memory {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The guest ran for too long.
    #[error("the component did not end within {} s", limit.as_secs_f64())]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// Several instances wrote the same output.
    #[error(
        "more than one instance of the component wrote /out/{name}; let one of them write it, or \
         give each its own file in a folder"
    )]
    RepeatedOutput {
        /// The output, or the file in it.
        name: String,
    },
    /// The guest succeeded without writing a declared output.
    #[error("the component succeeded but did not write the output {name:?}")]
    MissingOutput {
        /// The output's name.
        name: String,
    },
    /// The guest wrote a file that no output declares.
    #[error(
        "the component wrote /out/{name}, which is not a declared output; declare it with \
         --out {name}=PATH"
    )]
    UndeclaredOutput {
        /// The file's name in `/out`.
        name: String,
    },
    /// Wasmtime could not be set up.
    #[error("cannot set up Wasmtime: {0}")]
    Engine(String),
}

/// Runs a component with no enclave and moves its outputs to their places.
///
/// The future may be dropped at any time: the guest stops and its folders are removed.
///
/// # Errors
///
/// Whatever keeps the guest from ending by itself, see [`BareError`]. A guest that ends and says
/// it failed is no error: see [`BareOutcome::success`].
pub async fn run_bare(options: BareOptions) -> Result<BareOutcome, BareError> {
    let stage = Arc::new(Stage::build(&options)?);

    (options.events)(BareEvent::Compiling);
    let started = Instant::now();
    let (path, folder) = (options.component.clone(), options.cache.clone());
    let compiled = tokio::task::spawn_blocking(move || Compiled::load(&path, folder.as_deref()))
        .await
        .map_err(|error| BareError::Engine(error.to_string()))??;
    let compile_time = started.elapsed();

    let shared = Shared {
        streams: Arc::new(Streams::make(options.instances, |one| stage.control(one))?),
        memory: Memory::new(options.memory),
    };
    let stdout = Sink::open(&options.stdout)?;
    let mut stderr = vec![Sink::open(&options.stderr)?];
    let mut guests = Vec::new();
    for instance in 0..options.instances {
        if instance > 0 {
            stderr.push(stderr[0].another()?);
        }
        let stdout = if instance == 0 {
            &stdout
        } else {
            &Sink::Nothing
        };
        let sinks = [stdout, &stderr[instance as usize]];
        let place = (&*stage, instance);
        guests.push(Guest::new(&compiled, &options, place, &shared, sinks)?);
    }

    (options.events)(BareEvent::Running);
    let started = Instant::now();
    let ended = {
        let run = run_all(guests, options.timeout, &shared.streams, &stage);
        tokio::pin!(run);
        let mut progress = stage.progress();
        loop {
            tokio::select! {
                ended = &mut run => {
                    progress.pass_on(&options.events);
                    break ended;
                }
                () = tokio::time::sleep(Duration::from_millis(100)) => {
                    progress.pass_on(&options.events);
                }
            }
        }
    };
    let run_time = started.elapsed();
    let (success, failed) = match ended? {
        None => (true, 0),
        Some(First { instance, ended }) => (ended?, instance),
    };

    let outcome = BareOutcome {
        success,
        error: stage.error_text(failed),
        stdout: stdout.captured(),
        stderr: stderr.iter().flat_map(Sink::captured).collect(),
        compile_time,
        run_time,
        peak_memory: shared.memory.peak(),
    };
    if success {
        stage.release_outputs(&options.outputs)?;
    }
    Ok(outcome)
}

/// Runs one guest on this task, several on threads; says how the first one ended that did not
/// succeed.
async fn run_all(
    mut guests: Vec<Guest>,
    timeout: Option<Duration>,
    streams: &Arc<Streams>,
    stage: &Arc<Stage>,
) -> Result<Option<First>, BareError> {
    let [guest] = guests.as_mut_slice() else {
        return together::run(guests, timeout, streams, stage).await;
    };
    let ended = guest.run(timeout).await;
    let failed = !matches!(ended, Ok(true));
    Ok(failed.then_some(First { instance: 0, ended }))
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

/// An opened [`BareStdout`], or nothing at all.
enum Sink {
    Nothing,
    Inherit,
    Capture(MemoryOutputPipe),
    File(std::fs::File),
}

impl Sink {
    fn open(to: &BareStdout) -> Result<Self, BareError> {
        Ok(match to {
            BareStdout::Inherit => Self::Inherit,
            BareStdout::Capture => Self::Capture(MemoryOutputPipe::new(CAPTURE)),
            BareStdout::File(path) => {
                Self::File(std::fs::File::create(path).map_err(io_error("cannot write", path))?)
            }
        })
    }

    fn captured(&self) -> Vec<u8> {
        match self {
            Self::Capture(pipe) => pipe.contents().to_vec(),
            Self::Nothing | Self::Inherit | Self::File(_) => Vec::new(),
        }
    }

    /// The same for another instance, which is captured apart.
    fn another(&self) -> Result<Self, BareError> {
        Ok(match self {
            Self::Nothing => Self::Nothing,
            Self::Inherit => Self::Inherit,
            Self::Capture(_) => Self::Capture(MemoryOutputPipe::new(CAPTURE)),
            Self::File(file) => Self::File(
                file.try_clone()
                    .map_err(|error| BareError::Engine(error.to_string()))?,
            ),
        })
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BareError {
    let path = path.to_owned();
    move |source| BareError::Io {
        doing,
        path,
        source,
    }
}

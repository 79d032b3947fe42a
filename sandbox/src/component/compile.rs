//! Compiling a component, in a child process that can be killed.
//!
//! The child is this very program, started anew with [`COMPILE_CHILD`] as its
//! first argument, without environment, under a memory limit it sets on itself
//! before it reads a byte. It has seen no key and no plaintext, so all it can do
//! wrong is fail. A TEE without processes compiles in its own; the parser's pass
//! is then the only cap.

use std::io::{Read, Write};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cancel::Cancellation;
use crate::engine::{self, Engine, EngineProfile};
use crate::limits::Caps;

/// The first argument that makes a program of ours the compiling child. Its
/// `main` then calls [`compile_child_main`] and does nothing else.
pub const COMPILE_CHILD: &str = "compile-child";

/// Native code is this many times the size of its component at most.
const CODE_FACTOR: u64 = 16;

/// What a child may say about its failure.
const REASON_BYTES: u64 = 4096;

/// Where compilation happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileMode {
    /// In a child process under [`CompileLimits`].
    Child,
    /// In this process, where the TEE has no others. Only time is limited, and
    /// what exceeds it goes on in the background until it ends.
    InProcess,
}

/// What one compilation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Bytes of address space of the child.
    pub memory: u64,
    /// Time from start to end.
    pub time: Duration,
}

impl Default for CompileLimits {
    /// 8 GiB, ten minutes: the SQL engine takes 3 GB and 90 s in profile `sgx`.
    fn default() -> Self {
        Self {
            memory: 8 << 30,
            time: Duration::from_secs(600),
        }
    }
}

/// A component did not compile.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component is invalid, or uses what is switched off.
    #[error("the component does not compile: {0}")]
    Invalid(String),
    /// It took too long.
    #[error("compiling the component took longer than {} s", .0.as_secs())]
    TimeLimit(Duration),
    /// The child ended without an answer.
    #[error("the compiling process ended with {status}; it may use {memory} bytes of memory")]
    Died {
        /// Exit status or signal.
        status: String,
        /// The limit it ran under.
        memory: u64,
    },
    /// The child could not be started or spoken to.
    #[error("the compiling process could not be run")]
    Child(#[source] std::io::Error),
    /// Somebody cancelled.
    #[error("compiling the component was cancelled")]
    Cancelled,
}

/// Compiles `component` for `engine` and gives Wasmtime's serialised form of it.
pub(super) async fn compile(
    engine: &Engine,
    component: Bytes,
    mode: CompileMode,
    limits: CompileLimits,
    cancellation: &Cancellation,
) -> Result<Vec<u8>, CompileError> {
    let work = async {
        match mode {
            CompileMode::Child => in_child(engine, component, limits).await,
            CompileMode::InProcess => in_process(engine, component).await,
        }
    };
    tokio::select! {
        biased;
        () = cancellation.cancelled() => Err(CompileError::Cancelled),
        result = tokio::time::timeout(limits.time, work) => {
            result.unwrap_or(Err(CompileError::TimeLimit(limits.time)))
        }
    }
}

async fn in_process(engine: &Engine, component: Bytes) -> Result<Vec<u8>, CompileError> {
    let engine = engine.wasmtime().clone();
    tokio::task::spawn_blocking(move || engine.precompile_component(&component))
        .await
        .map_err(|_| CompileError::Invalid("the compiler panicked".to_owned()))?
        .map_err(|error| CompileError::Invalid(format!("{error:#}")))
}

async fn in_child(
    engine: &Engine,
    component: Bytes,
    limits: CompileLimits,
) -> Result<Vec<u8>, CompileError> {
    let mut child = tokio::process::Command::new("/proc/self/exe")
        .arg(COMPILE_CHILD)
        .arg(engine.profile().name())
        .arg(if engine.is_metered() {
            "metered"
        } else {
            "plain"
        })
        .arg(limits.memory.to_string())
        .arg(limits.time.as_secs().to_string())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(CompileError::Child)?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(CompileError::Child(std::io::Error::other(
            "the child has no pipes",
        )));
    };
    let cap = (component.len() as u64).saturating_mul(CODE_FACTOR) + (16 << 20);
    let mut code = Vec::new();
    let mut reason = Vec::new();
    let mut stdout = stdout.take(cap);
    let mut stderr = stderr.take(REASON_BYTES);
    let (written, read, said) = tokio::join!(
        async {
            let result = stdin.write_all(&component).await;
            drop(stdin);
            result
        },
        stdout.read_to_end(&mut code),
        stderr.read_to_end(&mut reason),
    );
    read.and(said).map_err(CompileError::Child)?;
    drop((stdout, stderr));
    let status = child.wait().await.map_err(CompileError::Child)?;
    match status.code() {
        Some(0) => {
            written.map_err(CompileError::Child)?;
            Ok(code)
        }
        Some(INVALID) => Err(CompileError::Invalid(
            String::from_utf8_lossy(&reason).trim().to_owned(),
        )),
        _ => Err(CompileError::Died {
            status: status.to_string(),
            memory: limits.memory,
        }),
    }
}

/// The child's exit code for a component that does not compile.
const INVALID: i32 = 65;

/// The whole of the compiling child: arguments after [`COMPILE_CHILD`] from the
/// command line, the component from stdin, the code to stdout.
pub fn compile_child_main() -> ExitCode {
    match child(std::env::args().skip(2).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::from(INVALID as u8)
        }
    }
}

fn child(arguments: Vec<String>) -> Result<(), String> {
    let [profile, metering, memory, seconds] = arguments.as_slice() else {
        return Err("this command is internal to the runtime".to_owned());
    };
    let profile: EngineProfile = profile.parse().map_err(|_| "unknown profile")?;
    let memory: u64 = memory.parse().map_err(|_| "bad memory limit")?;
    let seconds: u64 = seconds.parse().map_err(|_| "bad time limit")?;
    confine(memory, seconds).map_err(|error| format!("setting the limits failed: {error}"))?;

    let mut component = Vec::new();
    std::io::stdin()
        .lock()
        .take(Caps::DEFAULT.component_bytes + 1)
        .read_to_end(&mut component)
        .map_err(|error| format!("reading the component failed: {error}"))?;
    let code = engine::compiler(profile, metering == "metered")
        .map_err(|error| error.to_string())?
        .precompile_component(&component)
        .map_err(|error| format!("{error:#}"))?;
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(&code)
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("writing the code failed: {error}"))
}

/// Limits this process, and ends it with its parent.
fn confine(memory: u64, seconds: u64) -> rustix::io::Result<()> {
    let limit = |resource, value| {
        let value = Some(value);
        rustix::process::setrlimit(
            resource,
            Rlimit {
                current: value,
                maximum: value,
            },
        )
    };
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    limit(Resource::Core, 0)?;
    limit(Resource::As, memory)?;
    // CPU time of all threads; the parent's clock is the one that decides.
    limit(Resource::Cpu, seconds.saturating_mul(64).max(1))
}

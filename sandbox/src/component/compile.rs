//! Compiling a component, in a child process that can be killed.
//!
//! The child is this very program, started anew with [`COMPILE_CHILD`] as its
//! first argument, without environment. It serves one component and confines
//! itself before it reads a byte: it has no key, no plaintext, no file and no
//! network, and its memory and time are limited. What it answers is kept under
//! the digest of what its parent sent, whatever it says; that answer is native
//! code, so the compiler is trusted with the sandbox of that one component. A TEE
//! without processes compiles in its own; the parser's pass is then the only cap.

use std::io::{Read, Write};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::confine::confine;
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
    /// The kernel does not confine the child, so that nothing was compiled.
    #[error(
        "the compiling process could not be confined: {0}; it needs Linux 5.9 with seccomp filters"
    )]
    Unconfined(String),
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
        Some(INVALID) => Err(CompileError::Invalid(words(&reason))),
        Some(UNCONFINED) => Err(CompileError::Unconfined(words(&reason))),
        _ => Err(CompileError::Died {
            status: status.to_string(),
            memory: limits.memory,
        }),
    }
}

fn words(reason: &[u8]) -> String {
    String::from_utf8_lossy(reason).trim().to_owned()
}

/// The child's exit code for a component that does not compile.
const INVALID: i32 = 65;
/// Its exit code where it could not be confined.
const UNCONFINED: i32 = 66;

/// The whole of the compiling child: arguments after [`COMPILE_CHILD`] from the
/// command line, the component from stdin, the code to stdout.
pub fn compile_child_main() -> ExitCode {
    let (reason, code) = match child(std::env::args().skip(2).collect()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failed::Invalid(reason)) => (reason, INVALID),
        Err(Failed::Unconfined(error)) => (error.to_string(), UNCONFINED),
    };
    eprintln!("{reason}");
    ExitCode::from(code as u8)
}

enum Failed {
    Invalid(String),
    Unconfined(std::io::Error),
}

impl From<&str> for Failed {
    fn from(reason: &str) -> Self {
        Self::Invalid(reason.to_owned())
    }
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Self::Invalid(reason)
    }
}

fn child(arguments: Vec<String>) -> Result<(), Failed> {
    let [profile, metering, memory, seconds] = arguments.as_slice() else {
        return Err("this command is internal to the runtime".into());
    };
    let profile: EngineProfile = profile.parse().map_err(|_| "unknown profile")?;
    let memory: u64 = memory.parse().map_err(|_| "bad memory limit")?;
    let seconds: u64 = seconds.parse().map_err(|_| "bad time limit")?;
    confine(memory, seconds).map_err(Failed::Unconfined)?;

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
        .map_err(|error| format!("writing the code failed: {error}").into())
}

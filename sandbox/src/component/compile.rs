//! Compiling a component, in a child process that can be killed.
//!
//! The child is another program, which is measured beside this one and started
//! with [`COMPILE_CHILD`] as its first argument, without environment. It serves
//! one component and confines itself before it reads a byte: it has no key, no
//! plaintext, no file and no network, and its memory and time are limited. What
//! it answers is kept under the digest of what its parent sent, whatever it says;
//! that answer is native code, so the compiler is trusted with the sandbox of that
//! one component. A TEE without processes compiles in its own; the parser's pass
//! is then the only cap.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join3;

use crate::cancel::Cancellation;
use crate::engine::Engine;

/// The compiling child's first argument. Its `main` calls `compile_child_main` and
/// does nothing else.
pub const COMPILE_CHILD: &str = "compile-child";

/// Native code is this many times the size of its component at most.
const CODE_FACTOR: u64 = 16;

/// What a child may say about its failure.
const REASON_BYTES: u64 = 4096;

/// Where compilation happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileMode {
    /// In a child process under [`CompileLimits`].
    Child {
        /// The program, `mc2-compile`.
        program: PathBuf,
    },
    /// In this process, where the TEE has no others. Only time is limited, and
    /// what exceeds it goes on in the background until it ends.
    #[cfg(feature = "compile")]
    InProcess,
}

impl CompileMode {
    /// Its name in the engine's configuration.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Child { .. } => "child",
            #[cfg(feature = "compile")]
            Self::InProcess => "in-process",
        }
    }
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
    #[error("the compiling program, which belongs beside the runtime, could not be run")]
    Child(#[source] io::Error),
    /// Somebody cancelled.
    #[error("compiling the component was cancelled")]
    Cancelled,
}

/// Compiles `component` for `engine` and gives Wasmtime's serialised form of it.
pub(super) async fn compile(
    engine: &Engine,
    component: Bytes,
    mode: &CompileMode,
    limits: CompileLimits,
    cancellation: &Cancellation,
) -> Result<Vec<u8>, CompileError> {
    let work = async {
        match mode {
            CompileMode::Child { program } => in_child(program, engine, component, limits).await,
            #[cfg(feature = "compile")]
            CompileMode::InProcess => in_process(engine, component).await,
        }
    };
    let work = tokio::time::timeout(limits.time, work);
    match cancellation.unless_cancelled(work).await {
        None => Err(CompileError::Cancelled),
        Some(result) => result.unwrap_or(Err(CompileError::TimeLimit(limits.time))),
    }
}

#[cfg(feature = "compile")]
async fn in_process(engine: &Engine, component: Bytes) -> Result<Vec<u8>, CompileError> {
    let engine = engine.wasmtime().clone();
    tokio::task::spawn_blocking(move || engine.precompile_component(&component))
        .await
        .map_err(|_| CompileError::Invalid("the compiler panicked".to_owned()))?
        .map_err(|error| CompileError::Invalid(format!("{error:#}")))
}

async fn in_child(
    program: &Path,
    engine: &Engine,
    component: Bytes,
    limits: CompileLimits,
) -> Result<Vec<u8>, CompileError> {
    let mut child = Command::new(program)
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
        .spawn()
        .map_err(CompileError::Child)?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut child = KilledOnDrop(Some(child));
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(CompileError::Child(io::Error::other(
            "the child has no pipes",
        )));
    };
    let cap = (component.len() as u64).saturating_mul(CODE_FACTOR) + (16 << 20);
    let (written, code, reason) = join3(
        apart(move || stdin.write_all(&component)),
        apart(move || read_at_most(stdout, cap)),
        apart(move || read_at_most(stderr, REASON_BYTES)),
    )
    .await;
    let (code, reason) = (
        code.map_err(CompileError::Child)?,
        reason.map_err(CompileError::Child)?,
    );
    // It has closed its outputs, so that it ends at once or is stopped by its limits.
    let status = loop {
        match child.ended().map_err(CompileError::Child)? {
            Some(status) => break status,
            None => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    };
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

/// Works with one of the child's pipes on a thread where waiting harms nobody.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn read_at_most(pipe: impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    pipe.take(bytes).read_to_end(&mut read)?;
    Ok(read)
}

/// A child that does not outlive whoever waits for it. Its pipes close with it, which ends the
/// threads that work with them.
struct KilledOnDrop(Option<Child>);

impl KilledOnDrop {
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        // Only dropping takes it.
        self.0.as_mut().map_or(Ok(None), Child::try_wait)
    }
}

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else {
            return;
        };
        // It has ended already, or it ends now; a large one takes its time, which nobody waits for.
        let _ = child.kill();
        if !matches!(child.try_wait(), Ok(Some(_))) {
            let _ = thread::Builder::new().spawn(move || child.wait());
        }
    }
}

fn words(reason: &[u8]) -> String {
    String::from_utf8_lossy(reason).trim().to_owned()
}

/// The child's exit code for a component that does not compile.
pub(super) const INVALID: i32 = 65;
/// Its exit code where it could not be confined.
pub(super) const UNCONFINED: i32 = 66;

//! Measured components: the only thing that can be run, made in one place.
//!
//! A component is read once into an owned buffer; that buffer is hashed, looked
//! at, compiled and then dropped. Nothing reads the bytes a second time, so what
//! runs is what was measured.

mod cache;
#[cfg(feature = "compile")]
mod child;
mod compile;
#[cfg(feature = "compile")]
mod confine;
mod footprint;
mod inspect;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, Semaphore};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use crate::cancel::Cancellation;
use crate::engine::Engine;
use crate::hex::hex;
use crate::limits::{Budget, Caps, Held};
use crate::wasi::{self, Guest};

pub use cache::{CodeCache, CodeName};
#[cfg(feature = "compile")]
pub use child::compile_child_main;
pub use compile::{COMPILE_CHILD, CompileError, CompileLimits, CompileMode};
pub use inspect::Refusal;

/// Components held at once; a policy names a handful.
const COMPONENTS: usize = 64;
/// Bytes of compiled code of all of them: the SQL engine's are 170 MB, 330 MB in profile `sgx`.
const CODE: u64 = 2 << 30;

/// A component did not become runnable.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// These are other bytes than those asked for.
    #[error("the component's SHA-256 is {found}, expected {expected}")]
    Digest {
        /// What was asked for, in hexadecimal.
        expected: String,
        /// What the bytes hash to, in hexadecimal.
        found: String,
    },
    /// The bytes are no component the sandbox accepts.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It did not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Its imports or exports have other types than WASI 0.2's.
    #[error("the component does not fit the sandbox: {0}")]
    Link(String),
    /// Its bytes could not be had.
    #[error("fetching the component failed: {0}")]
    Fetch(String),
    /// More components than the runtime holds.
    #[error(
        "this runtime already holds {COMPONENTS} components, or {CODE} bytes of their code; \
         another process has room for more"
    )]
    TooMany,
    /// A fault of the runtime itself.
    #[error("measuring the component failed: {0}")]
    Internal(String),
}

/// Where a component's native code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOrigin {
    /// Compiled just now, in this long.
    Compiled(Duration),
    /// Opened from the sealed cache.
    Cache,
}

/// A component whose exact bytes were hashed, then compiled. There is no other
/// way to make one than [`ComponentStore`].
pub struct MeasuredComponent {
    digest: [u8; 32],
    size: u64,
    /// Bytes of its instances beside memories and tables.
    footprint: u64,
    origin: CodeOrigin,
    engine: Engine,
    pre: InstancePre<Guest>,
    run: ComponentExportIndex,
    _code: Held,
}

impl std::fmt::Debug for MeasuredComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MeasuredComponent({})", hex(&self.digest))
    }
}

impl MeasuredComponent {
    /// SHA-256 of the exact `.wasm` bytes.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Length of the `.wasm` in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes its instances take beside memories and tables.
    pub(crate) fn footprint(&self) -> u64 {
        self.footprint
    }

    /// Where its code came from.
    pub fn origin(&self) -> CodeOrigin {
        self.origin
    }

    /// The engine it is compiled for and runs on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn pre(&self) -> &InstancePre<Guest> {
        &self.pre
    }

    pub(crate) fn run_export(&self) -> &ComponentExportIndex {
        &self.run
    }
}

/// What is known of a component before its code is linked.
struct Measured {
    digest: [u8; 32],
    size: u64,
    footprint: u64,
    origin: CodeOrigin,
}

type Entry = Arc<OnceCell<Arc<MeasuredComponent>>>;

/// All measured components of one engine, by digest. A second use of a component
/// hashes and compiles nothing, and two requests at once compile once.
pub struct ComponentStore {
    engine: Engine,
    mode: CompileMode,
    limits: CompileLimits,
    cache: Option<Box<dyn CodeCache>>,
    linker: Linker<Guest>,
    entries: Mutex<HashMap<[u8; 32], Entry>>,
    /// One component at a time is fetched, looked at and compiled: that takes gigabytes and every
    /// core.
    making: Semaphore,
    code: Budget,
}

impl ComponentStore {
    /// An empty store for `engine`.
    ///
    /// # Errors
    ///
    /// [`MeasureError::Internal`] where the sandbox's own interfaces do not link.
    pub fn new(
        engine: Engine,
        mode: CompileMode,
        limits: CompileLimits,
        cache: Option<Box<dyn CodeCache>>,
    ) -> Result<Self, MeasureError> {
        let linker =
            wasi::linker(&engine).map_err(|error| MeasureError::Internal(format!("{error:#}")))?;
        Ok(Self {
            engine,
            mode,
            limits,
            cache,
            linker,
            entries: Mutex::default(),
            making: Semaphore::new(1),
            code: Budget::new(CODE),
        })
    }

    /// The engine its components run on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// SHA-256 of [`Engine::description`] and of where components are compiled.
    pub fn config_digest(&self) -> [u8; 32] {
        let compiler = format!("compiler = {}\n", self.mode.name());
        Sha256::digest(self.engine.description() + &compiler).into()
    }

    /// A component already measured.
    pub fn get(&self, digest: &[u8; 32]) -> Option<Arc<MeasuredComponent>> {
        let entry = self.entries().get(digest).cloned()?;
        entry.get().cloned()
    }

    /// Measures these bytes. Where `expected` is given, other bytes are refused.
    ///
    /// # Errors
    ///
    /// [`MeasureError`], which says what the bytes are and what to do.
    pub async fn measure(
        &self,
        bytes: Vec<u8>,
        expected: Option<[u8; 32]>,
        cancellation: &Cancellation,
    ) -> Result<Arc<MeasuredComponent>, MeasureError> {
        let (bytes, digest) = hash(bytes).await?;
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(MeasureError::Digest {
                expected: hex(&expected),
                found: hex(&digest),
            });
        }
        self.entry(digest, cancellation, async { Ok((bytes, digest)) })
            .await
    }

    /// The component of this digest: the one already here, or the one made of the
    /// bytes `fetch` gives, which is called only where it is needed.
    ///
    /// # Errors
    ///
    /// [`MeasureError`]; what `fetch` says becomes [`MeasureError::Fetch`].
    pub async fn obtain<F>(
        &self,
        digest: [u8; 32],
        cancellation: &Cancellation,
        fetch: F,
    ) -> Result<Arc<MeasuredComponent>, MeasureError>
    where
        F: Future<Output = Result<Vec<u8>, String>>,
    {
        self.entry(digest, cancellation, async {
            hash(fetch.await.map_err(MeasureError::Fetch)?).await
        })
        .await
    }

    async fn entry<F>(
        &self,
        digest: [u8; 32],
        cancellation: &Cancellation,
        bytes: F,
    ) -> Result<Arc<MeasuredComponent>, MeasureError>
    where
        F: Future<Output = Result<(Bytes, [u8; 32]), MeasureError>>,
    {
        let entry = {
            let mut entries = self.entries();
            if !entries.contains_key(&digest) {
                entries.retain(|_, entry| entry.initialized() || Arc::strong_count(entry) > 1);
                if entries.len() >= COMPONENTS {
                    return Err(MeasureError::TooMany);
                }
            }
            Arc::clone(entries.entry(digest).or_default())
        };
        let component = entry
            .get_or_try_init(|| async {
                let _making = self
                    .making
                    .acquire()
                    .await
                    .map_err(|error| MeasureError::Internal(error.to_string()))?;
                let (bytes, found) = bytes.await?;
                if found != digest {
                    return Err(MeasureError::Digest {
                        expected: hex(&digest),
                        found: hex(&found),
                    });
                }
                self.make(bytes, digest, cancellation).await.map(Arc::new)
            })
            .await?;
        Ok(Arc::clone(component))
    }

    async fn make(
        &self,
        bytes: Bytes,
        digest: [u8; 32],
        cancellation: &Cancellation,
    ) -> Result<MeasuredComponent, MeasureError> {
        inspect::check_kind(&bytes)?;
        let size = bytes.len() as u64;
        let name = CodeName::new(&self.engine, &digest);
        let measured = |footprint, origin| Measured {
            digest,
            size,
            footprint,
            origin,
        };
        if let Some(cache) = &self.cache
            && let Some(Some(code)) = cancellation.unless_cancelled(cache.get(&name)).await
            && let Ok(footprint) = footprint::of(&bytes)
            && let Ok(component) = self.load(&code)
            && let Ok(measured) =
                self.link(&component, &code, measured(footprint, CodeOrigin::Cache))
        {
            return Ok(measured);
        }
        let start = Instant::now();
        let to_check = bytes.clone();
        let look = move || {
            inspect::check(&to_check, &Caps::DEFAULT)?;
            footprint::of(&to_check)
        };
        let footprint = tokio::task::spawn_blocking(look)
            .await
            .map_err(|_| MeasureError::Internal("the parser panicked".to_owned()))??;
        let code =
            compile::compile(&self.engine, bytes, &self.mode, self.limits, cancellation).await?;
        let component = self
            .load(&code)
            .map_err(|error| MeasureError::Internal(format!("{error:#}")))?;
        let origin = CodeOrigin::Compiled(start.elapsed());
        let measured = self.link(&component, &code, measured(footprint, origin))?;
        if let Some(cache) = &self.cache {
            cache.put(&name, code).await;
        }
        Ok(measured)
    }

    /// Turns compiled code into something that can be called.
    fn load(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` trusts its bytes to be what `precompile_component`
        // of the same engine wrote. They come from one of two places: the compiling
        // child, which is measured beside this program and spoke only to us through a
        // pipe (or this process itself); or a `CodeCache`, which promises to give only
        // what it was given right here below for the same component, version and
        // configuration. Bytes from anywhere else never reach this line, and Wasmtime
        // refuses those of another version or configuration by itself.
        #[allow(unsafe_code)]
        unsafe {
            Component::deserialize(self.engine.wasmtime(), code)
        }
    }

    fn link(
        &self,
        component: &Component,
        code: &[u8],
        measured: Measured,
    ) -> Result<MeasuredComponent, MeasureError> {
        let held = self.code.hold(code.len() as u64);
        let held = held.ok_or(MeasureError::TooMany)?;
        let engine = self.engine.wasmtime();
        let link_error = |error: wasmtime::Error| MeasureError::Link(format!("{error:#}"));
        let ty = component.component_type();
        let interface = ty
            .exports(engine)
            .map(|(name, _)| name)
            .find(|name| name.starts_with("wasi:cli/run@0.2."))
            .ok_or(Refusal::NotACommand)?;
        let run = component
            .get_export_index(None, interface)
            .and_then(|interface| component.get_export_index(Some(&interface), "run"))
            .ok_or(Refusal::NotACommand)?;
        let pre = self.linker.instantiate_pre(component).map_err(link_error)?;
        let Measured {
            digest,
            size,
            footprint,
            origin,
        } = measured;
        Ok(MeasuredComponent {
            digest,
            size,
            footprint,
            origin,
            engine: self.engine.clone(),
            pre,
            run,
            _code: held,
        })
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Entry>> {
        // A panic cannot leave the map half changed: each change is one call.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn hash(bytes: Vec<u8>) -> Result<(Bytes, [u8; 32]), MeasureError> {
    let bytes = Bytes::from(bytes);
    let to_hash = bytes.clone();
    let digest = tokio::task::spawn_blocking(move || Sha256::digest(&to_hash).into())
        .await
        .map_err(|_| MeasureError::Internal("hashing panicked".to_owned()))?;
    Ok((bytes, digest))
}

//! Wasmtime for a bare run: compiling, linking, limits.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use wasmtime::{
    Config, Engine, ResourceLimiter, Store,
    component::{Component, Linker, ResourceTable},
};
use wasmtime_wasi::{
    FsPerms, I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
    cli::{InputFile, OutputFile},
    p2::bindings::Command,
};

use super::{
    BareError, BareOptions, BareStdin, Sink, cache::Cache, io_error, peers, peers::Streams,
    stage::Stage,
};

/// Native stack of a guest, in bytes: as in an enclave, so that no recursion works here alone.
const STACK: usize = 8 << 20;
/// How often a guest lets others run, so that it can be stopped.
const TICK: Duration = Duration::from_millis(10);

/// A compiled component and its engine.
pub(super) struct Compiled {
    engine: Engine,
    component: Component,
    name: String,
    _ticker: Arc<Ticker>,
}

impl Compiled {
    /// Reads and compiles a component, or takes it from the cache.
    pub(super) fn load(path: &Path, cache: Option<&Path>) -> Result<Self, BareError> {
        let bytes = std::fs::read(path).map_err(io_error("cannot read", path))?;
        check_is_component(path, &bytes)?;
        let engine = engine()?;
        let cache = cache.and_then(|folder| match Cache::open(folder) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::warn!("not keeping compiled code in {}: {error}", folder.display());
                None
            }
        });
        let key = key(&engine, &bytes);
        let component = match cached(&engine, cache.as_ref(), &key) {
            Some(component) => component,
            None => {
                let component =
                    Component::new(&engine, &bytes).map_err(|error| BareError::NotAComponent {
                        path: path.into(),
                        reason: format!("{error:#}"),
                    })?;
                keep(&component, cache.as_ref(), &key);
                component
            }
        };
        let name = path.file_name().map_or_else(
            || "component".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
        let ticker = Ticker::start(&engine)?;
        Ok(Self {
            engine,
            component,
            name,
            _ticker: ticker,
        })
    }
}

/// What the instances of a run share.
pub(super) struct Shared {
    pub(super) streams: Arc<Streams>,
    pub(super) memory: Arc<Memory>,
}

/// The sum of all instances' memories, held to one limit.
#[derive(Debug)]
pub(super) struct Memory {
    limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
}

impl Memory {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
        })
    }

    /// The most there was at one time, in bytes.
    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let more = |used: u64| {
            let total = used.checked_add(bytes)?;
            (total <= self.limit).then_some(total)
        };
        let order = Ordering::Relaxed;
        match self.used.fetch_update(order, order, more) {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, order);
                true
            }
            Err(_) => false,
        }
    }

    fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// An instance ready to run once.
pub(super) struct Guest {
    store: Store<State>,
    linker: Linker<State>,
    component: Component,
}

impl Guest {
    /// Links the component against WASI and gives it its folders and nothing else.
    pub(super) fn new(
        compiled: &Compiled,
        options: &BareOptions,
        (stage, instance): (&Stage, u32),
        shared: &Shared,
        [stdout, stderr]: [&Sink; 2],
    ) -> Result<Self, BareError> {
        let unready = |error: wasmtime::Error| BareError::Engine(format!("{error:#}"));

        let mut wasi = WasiCtxBuilder::new();
        // The guest has this thread to itself, and file calls are short.
        wasi.allow_blocking_current_thread(true);
        wasi.arg(&compiled.name).args(&options.arguments);
        for (folder, guest, permissions) in [
            (stage.input(), "/in", FsPerms::ReadOnly),
            (stage.output(instance), "/out", FsPerms::ReadWrite),
            (stage.scratch(instance), "/tmp", FsPerms::ReadWrite),
            (stage.control(instance), "/run/mc2", FsPerms::ReadWrite),
        ] {
            wasi.preopened_dir(folder, guest, permissions)
                .map_err(unready)?;
        }
        match stage.stdin() {
            Some(path) => {
                let file = std::fs::File::open(&path).map_err(io_error("cannot read", &path))?;
                wasi.stdin(InputFile::new(file));
            }
            None => match options.stdin {
                // It can be read once.
                BareStdin::Inherit if instance == 0 => {
                    wasi.inherit_stdin();
                }
                BareStdin::Inherit | BareStdin::Empty => {}
            },
        }
        match stdout {
            Sink::Nothing => &mut wasi,
            Sink::Inherit => wasi.inherit_stdout(),
            Sink::Capture(pipe) => wasi.stdout(pipe.clone()),
            Sink::File(file) => wasi.stdout(OutputFile::new(clone(file)?)),
        };
        match stderr {
            Sink::Nothing => &mut wasi,
            Sink::Inherit => wasi.inherit_stderr(),
            Sink::Capture(pipe) => wasi.stderr(pipe.clone()),
            Sink::File(file) => wasi.stderr(OutputFile::new(clone(file)?)),
        };

        let state = State {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            limits: Limits {
                memory: Arc::clone(&shared.memory),
                used: 0,
                refused: false,
            },
            streams: Arc::clone(&shared.streams),
        };
        let mut store = Store::new(&compiled.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let mut linker = Linker::new(&compiled.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(unready)?;
        peers::replace_calls(&mut linker).map_err(unready)?;
        Ok(Self {
            store,
            linker,
            component: compiled.component.clone(),
        })
    }

    /// Runs the guest to its end; says whether it succeeded.
    pub(super) async fn run(&mut self, timeout: Option<Duration>) -> Result<bool, BareError> {
        let limit = timeout.unwrap_or(Duration::MAX);
        let ended = tokio::time::timeout(limit, self.call())
            .await
            .map_err(|_elapsed| BareError::Timeout { limit })?;
        let limits = &self.store.data().limits;
        match ended {
            Ok(success) => Ok(success),
            Err(BareError::Trap(_) | BareError::Unlinkable(_)) if limits.refused => {
                Err(BareError::Memory {
                    limit: limits.memory.limit,
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn call(&mut self) -> Result<bool, BareError> {
        let command = Command::instantiate_async(&mut self.store, &self.component, &self.linker)
            .await
            .map_err(|error| BareError::Unlinkable(format!("{error:#}")))?;
        match command.wasi_cli_run().call_run(&mut self.store).await {
            Ok(result) => Ok(result.is_ok()),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(exit) => Ok(exit.0 == 0),
                None => Err(BareError::Trap(format!("{:#}", error.root_cause()))),
            },
        }
    }
}

/// What a store holds.
pub(super) struct State {
    wasi: WasiCtx,
    pub(super) table: ResourceTable,
    limits: Limits,
    pub(super) streams: Arc<Streams>,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// What an instance may have of what all share.
struct Limits {
    memory: Arc<Memory>,
    used: u64,
    refused: bool,
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.memory.give(self.used);
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        if maximum.is_some_and(|maximum| desired > maximum) || !self.memory.take(more) {
            self.refused = true;
            return Ok(false);
        }
        self.used += more;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= maximum.unwrap_or(usize::MAX).min(1_000_000))
    }
}

/// A thread that moves an engine's epoch for as long as somebody holds it.
struct Ticker;

impl Ticker {
    fn start(engine: &Engine) -> Result<Arc<Self>, BareError> {
        let ticker = Arc::new(Self);
        let (held, engine): (Weak<Self>, Engine) = (Arc::downgrade(&ticker), engine.clone());
        std::thread::Builder::new()
            .name("bare-epoch".to_owned())
            .spawn(move || {
                while held.strong_count() > 0 {
                    std::thread::sleep(TICK);
                    engine.increment_epoch();
                }
            })
            .map_err(|error| BareError::Engine(error.to_string()))?;
        Ok(ticker)
    }
}

fn engine() -> Result<Engine, BareError> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .async_stack_size(STACK + (1 << 20));
    Engine::new(&config).map_err(|error| BareError::Engine(format!("{error:#}")))
}

fn check_is_component(path: &Path, bytes: &[u8]) -> Result<(), BareError> {
    let reason = match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            "it is a core module; build it for the target wasm32-wasip2, or make it a component \
             with `wasm-tools component new` and a WASI adapter"
        }
        [0x7f, b'E', b'L', b'F', ..] => {
            "it is native code (a .cwasm or a program); give the .wasm it was made from"
        }
        _ => "it does not start as a WebAssembly binary does",
    };
    Err(BareError::NotAComponent {
        path: PathBuf::from(path),
        reason: reason.to_owned(),
    })
}

/// Names the component's bytes and all of the engine that shapes its native code.
fn key(engine: &Engine, bytes: &[u8]) -> String {
    use std::hash::{Hash as _, Hasher as _};
    struct Feed(Sha256);
    impl std::hash::Hasher for Feed {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut feed = Feed(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut feed);
    feed.write(&Sha256::digest(bytes));
    hex::encode(feed.0.finalize())
}

#[allow(unsafe_code)]
fn cached(engine: &Engine, cache: Option<&Cache>, key: &str) -> Option<Component> {
    let path = cache?.find(key)?;
    // SAFETY: the file must be what `Component::serialize` wrote. Only this user can have written
    // it (`Cache` checks owner and mode of folder and file), it was renamed into place whole, and
    // whoever can write as this user can replace this program as well.
    unsafe { Component::deserialize_file(engine, path) }.ok()
}

fn keep(component: &Component, cache: Option<&Cache>, key: &str) {
    let Some(cache) = cache else { return };
    let kept = component
        .serialize()
        .map_err(|error| format!("{error:#}"))
        .and_then(|code| cache.keep(key, &code).map_err(|error| error.to_string()));
    if let Err(error) = kept {
        tracing::warn!("compiled code could not be kept: {error}");
    }
}

fn clone(file: &std::fs::File) -> Result<std::fs::File, BareError> {
    file.try_clone()
        .map_err(|error| BareError::Engine(error.to_string()))
}

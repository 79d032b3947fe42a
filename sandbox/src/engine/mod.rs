//! The engine: Wasmtime, configured once for each profile and never by chance.
//!
//! Every knob that changes what a guest can do, or what code it is compiled to,
//! is set here by name and printed by [`Engine::description`], whose digest goes
//! into the measured session record.

mod memory;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::{Config, WasmFeatures};

use crate::limits::{self, Caps};
use memory::HugePageMemories;

/// How often an epoch ends, and so the longest a guest computes without
/// letting others on its thread go on.
const EPOCH: Duration = Duration::from_millis(10);

/// The guest's native stack. SQL planners recurse deeply; what overflows it is
/// a stack overflow of the guest and nothing else.
const WASM_STACK: usize = 8 << 20;

/// What host calls may use beyond the guest's own stack.
const HOST_STACK: usize = 1 << 20;

/// Bytes of address space reserved for a linear memory: all a 32-bit one can have.
const VM_RESERVATION: u64 = 4 << 30;

/// Unmapped bytes after a memory, so that an offset needs no bounds check.
const VM_GUARD: u64 = 32 << 20;

/// Bytes reserved for a linear memory where large reservations are refused.
const SGX_RESERVATION: u64 = 256 << 20;

/// Bytes reserved anew each time a memory outgrows [`SGX_RESERVATION`].
const SGX_GROWTH: u64 = 512 << 20;

/// What the surroundings of the runtime allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineProfile {
    /// A virtual machine or plain Linux: signals, guards, 4 GiB reservations.
    Vm,
    /// Gramine or Occlum: no signal-based traps, no guards, small reservations.
    Sgx,
}

impl EngineProfile {
    /// Its name in the session record and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Sgx => "sgx",
        }
    }
}

impl fmt::Display for EngineProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not an engine profile's.
#[derive(Debug, thiserror::Error)]
#[error("there is no engine profile `{0}`: expected `vm` or `sgx`")]
pub struct UnknownProfile(String);

impl FromStr for EngineProfile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        match name {
            "vm" => Ok(Self::Vm),
            "sgx" => Ok(Self::Sgx),
            other => Err(UnknownProfile(other.to_owned())),
        }
    }
}

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Wasmtime refuses the configuration on this machine.
    #[error("the WebAssembly engine refuses profile `{profile}` on this machine: {reason}")]
    Config {
        /// The profile asked for.
        profile: EngineProfile,
        /// Wasmtime's own words.
        reason: String,
    },
    /// The thread that ends epochs could not be started.
    #[error("starting the engine's epoch thread failed")]
    Ticker(#[source] std::io::Error),
}

/// Compiles and runs components, all under one configuration.
///
/// Cloning is cheap and gives the same engine. Its epoch thread ends with the
/// last clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    wasmtime: wasmtime::Engine,
    profile: EngineProfile,
    metered: bool,
    _ticker: Ticker,
}

impl Engine {
    /// An engine without metering: what jobs run on unless their policy asks.
    ///
    /// # Errors
    ///
    /// [`EngineError`] where Wasmtime does not support this machine.
    pub fn new(profile: EngineProfile) -> Result<Self, EngineError> {
        Self::build(profile, false)
    }

    /// An engine that counts fuel, which costs speed and compiles other code.
    ///
    /// # Errors
    ///
    /// [`EngineError`] where Wasmtime does not support this machine.
    pub fn metered(profile: EngineProfile) -> Result<Self, EngineError> {
        Self::build(profile, true)
    }

    fn build(profile: EngineProfile, metered: bool) -> Result<Self, EngineError> {
        let wasmtime = bare(profile, metered)?;
        let ticker = Ticker::start(&wasmtime).map_err(EngineError::Ticker)?;
        Ok(Self {
            inner: Arc::new(Inner {
                wasmtime,
                profile,
                metered,
                _ticker: ticker,
            }),
        })
    }

    /// The profile it was made with.
    pub fn profile(&self) -> EngineProfile {
        self.inner.profile
    }

    /// Whether it counts fuel.
    pub fn is_metered(&self) -> bool {
        self.inner.metered
    }

    /// The engine's name and version, as it stands in sealed cache entries.
    pub fn version() -> &'static str {
        "wasmtime 48.0.8"
    }

    /// Every knob of this engine and every fixed cap of the sandbox, one a line,
    /// the same text on every machine.
    pub fn description(&self) -> String {
        description(self.inner.profile, self.inner.metered)
    }

    /// SHA-256 of [`Engine::description`].
    pub fn config_digest(&self) -> [u8; 32] {
        Sha256::digest(self.description()).into()
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner.wasmtime
    }
}

/// Wasmtime alone, with no thread beside it: all that compiling needs.
pub(crate) fn bare(profile: EngineProfile, metered: bool) -> Result<wasmtime::Engine, EngineError> {
    wasmtime::Engine::new(&config(profile, metered)).map_err(|error| EngineError::Config {
        profile,
        reason: format!("{error:#}"),
    })
}

/// The proposals a guest may use; all others are switched off.
const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL);

fn config(profile: EngineProfile, metered: bool) -> Config {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        .relaxed_simd_deterministic(true)
        .epoch_interruption(true)
        .consume_fuel(metered)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(WASM_STACK + HOST_STACK)
        .concurrency_support(false)
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false);
    #[cfg(feature = "compile")]
    config
        .cranelift_opt_level(wasmtime::OptLevel::Speed)
        .parallel_compilation(true);
    match profile {
        EngineProfile::Vm => config
            .signals_based_traps(true)
            .memory_reservation(VM_RESERVATION)
            .memory_guard_size(VM_GUARD)
            .memory_may_move(false)
            // Memories of our own making cannot start as copy-on-write images.
            .memory_init_cow(false)
            .with_host_memory(Arc::new(HugePageMemories)),
        EngineProfile::Sgx => config
            .signals_based_traps(false)
            .memory_reservation(SGX_RESERVATION)
            .memory_reservation_for_growth(SGX_GROWTH)
            .memory_guard_size(0)
            .guard_before_linear_memory(false)
            .memory_may_move(true)
            .memory_init_cow(false),
    };
    config
}

fn description(profile: EngineProfile, metered: bool) -> String {
    let memory = match profile {
        EngineProfile::Vm => format!(
            "signals = true\nreservation = {VM_RESERVATION}\nguard = {VM_GUARD}\nmay-move = false\nhuge-pages = true\n"
        ),
        EngineProfile::Sgx => format!(
            "signals = false\nreservation = {SGX_RESERVATION}\ngrowth = {SGX_GROWTH}\nguard = 0\nmay-move = true\nhuge-pages = false\n"
        ),
    };
    format!(
        "engine = {}\nprofile = {profile}\nmetered = {metered}\n\
         features = mutable-global saturating-float-to-int sign-extension reference-types \
         multi-value bulk-memory bulk-memory-opt call-indirect-overlong simd relaxed-simd floats extended-const component-model\n\
         relaxed-simd = deterministic\nepochs = true\nepoch-ms = {}\nwasm-stack = {WASM_STACK}\n\
         async-stack = {}\noptimise = speed\nconcurrency = false\n{memory}{}{}",
        Engine::version(),
        EPOCH.as_millis(),
        WASM_STACK + HOST_STACK,
        Caps::DEFAULT.description(),
        limits::description(),
    )
}

/// Ends an epoch every [`EPOCH`] until it is dropped.
struct Ticker {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let engine = engine.clone();
        let thread = thread::Builder::new()
            .name("epochs".to_owned())
            .stack_size(64 << 10)
            .spawn(move || {
                while stopped.recv_timeout(EPOCH) == Err(mpsc::RecvTimeoutError::Timeout) {
                    engine.increment_epoch();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only sleeps and increments: it cannot have panicked, and if it did
            // there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_named_is_the_one_built() {
        let lock = std::fs::read_to_string("../Cargo.lock").unwrap();
        let version = Engine::version().strip_prefix("wasmtime ").unwrap();
        let entry = format!("name = \"wasmtime\"\nversion = \"{version}\"\n");
        assert!(
            lock.contains(&entry),
            "Cargo.lock has another wasmtime than {version}"
        );
    }

    #[test]
    fn profiles_have_names_that_parse_back() {
        for profile in [EngineProfile::Vm, EngineProfile::Sgx] {
            assert_eq!(
                profile.to_string().parse::<EngineProfile>().unwrap(),
                profile
            );
        }
        assert!("VM".parse::<EngineProfile>().is_err());
    }

    #[test]
    fn every_configuration_has_a_digest_of_its_own() {
        let digests = [
            Engine::new(EngineProfile::Vm).unwrap().config_digest(),
            Engine::new(EngineProfile::Sgx).unwrap().config_digest(),
            Engine::metered(EngineProfile::Vm).unwrap().config_digest(),
            Engine::metered(EngineProfile::Sgx).unwrap().config_digest(),
        ];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest));
        }
        assert_eq!(
            digests[0],
            Engine::new(EngineProfile::Vm).unwrap().config_digest()
        );
    }
}

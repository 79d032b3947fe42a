//! The command line that all runtime binaries share, and the start of one in an enclave.
//!
//! A runtime takes no environment and no argument but where its host is and, each of them in the
//! session record, the engine profile, the policy's digest where the tenant is fixed, and whether
//! compiled code is kept.

use std::{error::Error, ffi::OsString, io, process::ExitCode, str::FromStr};

use mc2_protocol::{Digest, documents::record::CompilationCache};
use mc2_sandbox::{
    CodeCache, CompileLimits, CompileMode, ComponentStore, Engine, EngineError, EngineProfile,
    MeasureError,
};
use mc2_wire::Address;
use rustix::{
    io::Errno,
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
};

use crate::{
    Devices, Runtime, RuntimeConfig,
    cache::{HostEntries, SealedCache},
    control, detect,
};

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Where the host listens.
    pub host: Address,
    /// How the engine is configured.
    pub profile: EngineProfile,
    /// The only policy this process will serve.
    pub policy_digest: Option<Digest>,
    /// Whether compiled code is kept with the host beyond the boot.
    pub lasting_cache: bool,
}

/// A command line that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// Something that no runtime takes.
    #[error("{0:?} is not an argument of this runtime")]
    Unknown(OsString),
    /// An argument without its value, or with one of another form.
    #[error("{name} needs a value: {expected}")]
    Value {
        /// The argument.
        name: &'static str,
        /// What its value is.
        expected: String,
    },
    /// An argument that must be there.
    #[error("{0} is missing")]
    Missing(&'static str),
}

/// What the arguments are, for people.
pub const USAGE: &str = "\
usage: mc2-runtime --host ADDRESS --engine-profile vm|sgx [--policy-digest SHA256]
                   [--compilation-cache memory|lasting]
  ADDRESS  unix:PATH, tcp:IP:PORT or vsock:CID:PORT, where mc2-host listens for runtimes
  lasting  compiled code stays with the host, sealed under a key that only this runtime gets: SGX
           and SEV-SNP only; memory, where it is not stated, keeps none";

impl Arguments {
    /// Reads a command line without the program's name.
    ///
    /// # Errors
    /// [`ArgumentError`].
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ArgumentError> {
        let mut host = None;
        let mut profile = None;
        let mut policy_digest = None;
        let mut cache = Cache::Memory;
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--host") => {
                    host = Some(value(
                        "--host",
                        "unix:PATH, tcp:IP:PORT or vsock:CID:PORT",
                        &mut arguments,
                    )?);
                }
                Some("--engine-profile") => {
                    profile = Some(value("--engine-profile", "vm or sgx", &mut arguments)?);
                }
                Some("--policy-digest") => {
                    let expected = "64 lower-case hexadecimal digits";
                    policy_digest = Some(value("--policy-digest", expected, &mut arguments)?);
                }
                Some("--compilation-cache") => {
                    cache = value("--compilation-cache", "memory or lasting", &mut arguments)?;
                }
                _ => return Err(ArgumentError::Unknown(argument)),
            }
        }
        Ok(Self {
            host: host.ok_or(ArgumentError::Missing("--host"))?,
            profile: profile.ok_or(ArgumentError::Missing("--engine-profile"))?,
            policy_digest,
            lasting_cache: matches!(cache, Cache::Lasting),
        })
    }
}

/// Where compiled code is kept.
enum Cache {
    Memory,
    Lasting,
}

impl FromStr for Cache {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "memory" => Ok(Self::Memory),
            "lasting" => Ok(Self::Lasting),
            _ => Err(()),
        }
    }
}

fn value<T: FromStr>(
    name: &'static str,
    expected: &str,
    arguments: &mut impl Iterator<Item = OsString>,
) -> Result<T, ArgumentError> {
    arguments
        .next()
        .and_then(|value| value.to_str().and_then(|value| value.parse().ok()))
        .ok_or_else(|| ArgumentError::Value {
            name,
            expected: expected.to_owned(),
        })
}

/// A cache of native code for policies without metering, and one for those with it.
pub type Caches = (Option<Box<dyn CodeCache>>, Option<Box<dyn CodeCache>>);

/// Serves the host from the enclave that has these devices, until the host is gone. Compiled code is
/// kept in `caches`, or with the host where the arguments say so.
///
/// # Errors
/// There is no TEE, it does not do what it should, or the host could not be reached.
pub fn run(devices: &Devices, arguments: Arguments, caches: Caches) -> Result<(), Box<dyn Error>> {
    forbid_core_dumps()?;
    let mut attester = detect(devices).map_err(|none| {
        format!(
            "mc2-runtime: {none}\n\
             To try MC2 without an enclave use mc2-runtime-sim, which is NOT SECURE."
        )
    })?;
    if let Some(policy) = &arguments.policy_digest {
        attester.fix_tenant(policy)?;
    }
    let ((cache, metered_cache), compilation_cache) = if arguments.lasting_cache {
        let key = attester.lasting_key()?;
        let sealed = || -> Option<Box<dyn CodeCache>> {
            let entries = HostEntries::of(arguments.host.clone());
            Some(Box::new(SealedCache::new(key.clone(), entries)))
        };
        ((sealed(), sealed()), CompilationCache::Lasting)
    } else {
        (caches, CompilationCache::Memory)
    };
    let (components, metered) = component_stores(arguments.profile, cache, metered_cache)?;
    serve(RuntimeConfig {
        name: "mc2-runtime",
        host: arguments.host,
        policy_digest: arguments.policy_digest,
        compilation_cache,
        components,
        metered,
        attester,
    })?;
    Ok(())
}

/// Keeps what this process holds out of core dumps and out of the reach of its user's other
/// processes. An enclave's memory is out of reach anyway; the files its own kernel writes are not.
///
/// # Errors
/// The system refuses.
pub fn forbid_core_dumps() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    known(set_dumpable_behavior(DumpableBehavior::NotDumpable))
}

/// Lets a system be that does not know the request, as Linux always does. In an SGX enclave Gramine
/// has no such call (`ENOSYS`), and Occlum knows others of its requests only (`EINVAL`): neither
/// writes cores of the enclave, nor lets one of its processes look into another.
fn known(asked: rustix::io::Result<()>) -> io::Result<()> {
    match asked {
        Err(Errno::NOSYS | Errno::INVAL) => Ok(()),
        asked => Ok(asked?),
    }
}

/// Why there are no engines.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The sandbox's interfaces do not link.
    #[error(transparent)]
    Link(#[from] MeasureError),
}

/// The stores of a process: for policies without and with metering, each with its own cache.
///
/// # Errors
/// [`StoreError`].
pub fn component_stores(
    profile: EngineProfile,
    cache: Option<Box<dyn CodeCache>>,
    metered_cache: Option<Box<dyn CodeCache>>,
) -> Result<(ComponentStore, ComponentStore), StoreError> {
    let store = |engine, cache| {
        ComponentStore::new(engine, compile_mode(), CompileLimits::default(), cache)
    };
    Ok((
        store(Engine::new(profile)?, cache)?,
        store(Engine::metered(profile)?, metered_cache)?,
    ))
}

/// In the program `mc2-compile` beside this one, which is measured with it.
#[cfg(not(feature = "compile"))]
fn compile_mode() -> CompileMode {
    let own = std::env::current_exe().unwrap_or_default();
    CompileMode::Child {
        program: own.with_file_name("mc2-compile"),
    }
}

/// In this process: for TEEs that have no others.
#[cfg(feature = "compile")]
fn compile_mode() -> CompileMode {
    CompileMode::InProcess
}

/// Serves the host until it is gone, on threads of its own.
///
/// # Errors
/// The host could not be reached, at first or again.
pub fn serve(config: RuntimeConfig) -> io::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(control::serve(Runtime::new(config)))
}

/// Ends a start that failed, with everything a person needs to know on stderr.
pub fn fail(error: &dyn Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    eprintln!("{text}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, ArgumentError> {
        Arguments::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_runtime_takes_four_arguments_and_no_other() {
        let digest = Digest::of(b"policy");
        let line = format!("--host tcp:127.0.0.1:1 --engine-profile vm --policy-digest {digest}");
        let arguments = parse(&line).unwrap();
        assert_eq!(arguments.policy_digest, Some(digest));
        assert!(!arguments.lasting_cache);
        let cache = |word: &str| parse(&format!("{line} --compilation-cache {word}"));
        assert!(cache("lasting").unwrap().lasting_cache);
        assert!(!cache("memory").unwrap().lasting_cache);
        assert!(cache("/tmp/cache").is_err());
        assert_eq!(
            parse("--engine-profile vm"),
            Err(ArgumentError::Missing("--host"))
        );
        assert!(matches!(
            parse("--host tcp:127.0.0.1:1 --engine-profile vm --debug"),
            Err(ArgumentError::Unknown(_))
        ));
        assert!(matches!(parse("--host"), Err(ArgumentError::Value { .. })));
        assert!(parse("--host tcp:127.0.0.1:1 --engine-profile fast").is_err());
    }

    #[test]
    fn a_library_os_without_dumpable_processes_does_not_end_the_start() {
        assert!(known(Ok(())).is_ok());
        assert!(known(Err(Errno::NOSYS)).is_ok());
        assert!(known(Err(Errno::INVAL)).is_ok());
        assert!(known(Err(Errno::PERM)).is_err());
    }
}

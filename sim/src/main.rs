//! `mc2-runtime-sim`: the runtime without an enclave. NOT SECURE: whoever runs this process can
//! read everything in it. Its evidence has a type of its own, signed by a key made at each start
//! of it, or of the host that started it, and counts only for a client that pinned that key.

mod attester;
#[cfg(test)]
mod cache_tests;
mod folder;

use std::{ffi::OsString, io::Write as _, path::PathBuf, process::ExitCode};

use attester::SimAttester;
use folder::Folder;
use mc2_protocol::documents::record::CompilationCache;
use mc2_runtime::{
    RuntimeConfig,
    cache::SealedCache,
    init,
    start::{self, Arguments, USAGE, component_stores},
};
use mc2_sandbox::CodeCache;

/// Tells the client that started this process the key to pin: the first line on stdout.
const KEY_LINE: &str = "MC2-SIM-KEY";
/// Has the key made of 32 bytes on standard input: one host's simulators share a key, which stands
/// neither on a command line nor in an environment.
const KEY_ON_STDIN: &str = "--key-on-stdin";

fn main() -> ExitCode {
    if init::is_first() {
        return init::run();
    }
    let (cache_folder, rest) = take_cache_folder(std::env::args_os().skip(1).collect());
    let (key_on_stdin, rest) = take_key_on_stdin(rest);
    let arguments = match Arguments::parse(rest) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!(
                "mc2-runtime-sim: {error}\n{USAGE}\n\
                 The simulator also takes --compilation-cache FOLDER and then {KEY_ON_STDIN}, \
                 before the others. It is NOT SECURE."
            );
            return ExitCode::FAILURE;
        }
    };
    match run(arguments, cache_folder, key_on_stdin) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => start::fail(error.as_ref()),
    }
}

fn run(
    arguments: Arguments,
    cache: Option<PathBuf>,
    key_on_stdin: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    start::forbid_core_dumps()?;
    if arguments.lasting_cache {
        return Err(
            "the simulator keeps compiled code where --compilation-cache FOLDER says, which \
                    comes before all other arguments"
                .into(),
        );
    }
    let attester = if key_on_stdin {
        SimAttester::given(std::io::stdin())?
    } else {
        SimAttester::new()?
    };
    eprintln!("{attester}");
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{KEY_LINE} {}", attester.public_key())?;
    stdout.flush()?;
    drop(stdout);
    let compilation_cache = if cache.is_some() {
        CompilationCache::Simulator
    } else {
        CompilationCache::Memory
    };
    let open = || -> std::io::Result<Option<Box<dyn CodeCache>>> {
        let Some(folder) = cache.as_deref() else {
            return Ok(None);
        };
        let (folder, key) = Folder::open(folder)?;
        Ok(Some(Box::new(SealedCache::new(key, folder))))
    };
    let (components, metered) = component_stores(arguments.profile, open()?, open()?)?;
    let config = RuntimeConfig {
        name: "mc2-runtime-sim",
        host: arguments.host,
        policy_digest: arguments.policy_digest,
        compilation_cache,
        components,
        metered,
        attester: Box::new(attester),
    };
    start::serve(config)?;
    Ok(())
}

/// `--compilation-cache FOLDER`, where it comes first.
fn take_cache_folder(mut arguments: Vec<OsString>) -> (Option<PathBuf>, Vec<OsString>) {
    if arguments.len() < 2 || arguments[0] != "--compilation-cache" {
        return (None, arguments);
    }
    let rest = arguments.split_off(2);
    (arguments.pop().map(PathBuf::from), rest)
}

/// Whether `--key-on-stdin` comes first.
fn take_key_on_stdin(mut arguments: Vec<OsString>) -> (bool, Vec<OsString>) {
    let given = arguments.first().is_some_and(|first| first == KEY_ON_STDIN);
    if given {
        arguments.remove(0);
    }
    (given, arguments)
}

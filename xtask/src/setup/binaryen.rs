//! `wasm-opt`, which makes a large component smaller after its last link.
//!
//! The bytes it writes depend on its version, so released components have the one package of
//! Debian's that the lock file names by its digest. It is unpacked into `CACHE/binaryen-KEY/` and
//! installed nowhere. Where it can't be had, another `wasm-opt` on the search path serves, and
//! without any the component stays as it was linked: it works, but has other bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::debian;
use super::sysroot::{local_folder, local_package};
use crate::digest;
use crate::lock::ToolchainLock;
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, capture, on_path, say};

/// Programs in a package for another machine do not start.
const PACKAGED_FOR: &str = "x86_64";

/// A `wasm-opt`, and what tells its bytes from those of others.
pub(crate) struct WasmOpt {
    pub(crate) program: PathBuf,
    /// As it names itself: a part of the cache key of what it is used on.
    pub(crate) version: String,
}

/// Finds or fetches `wasm-opt`; none where there is none for this machine.
pub(super) fn ensure(machine: &Machine, lock: &ToolchainLock) -> Outcome<Option<WasmOpt>> {
    let key = &digest::bytes(lock.binaryen_sha256.as_bytes())[..16];
    let folder = machine.cache.join(format!("binaryen-{key}"));
    let locked = folder.join("usr/bin/wasm-opt");
    if std::env::consts::ARCH == PACKAGED_FOR
        && !locked.is_file()
        && let Err(failure) = unpack(machine, lock, &folder)
    {
        say(format_args!("{failure}"));
    }
    // A package may not start here, where the C++ library is older than its own.
    if locked.is_file() {
        match version(&locked) {
            Ok(version) => {
                return Ok(Some(WasmOpt {
                    program: locked,
                    version,
                }));
            }
            Err(failure) => say(format_args!("{failure}")),
        }
    }
    let Some(program) = on_path("wasm-opt") else {
        say(
            "no wasm-opt (Debian's package binaryen): the SQL component is built larger and slower to \
             compile, and its bytes are not the released ones",
        );
        return Ok(None);
    };
    let version = version(&program)?;
    say(format_args!(
        "using {} ({version}), not the package that xtask/toolchain.lock names: the bytes of the SQL \
         component may not be the released ones",
        program.display(),
    ));
    Ok(Some(WasmOpt { program, version }))
}

fn unpack(machine: &Machine, lock: &ToolchainLock, folder: &Path) -> Outcome<()> {
    let aside = tempfile::Builder::new()
        .prefix("making-binaryen-")
        .tempdir_in(&machine.cache)
        .doing(format_args!(
            "making a folder in {}",
            machine.cache.display()
        ))?;
    let package = package(lock, aside.path())?;
    let unpacked = aside.path().join("unpacked");
    fs::create_dir_all(&unpacked).doing("making a folder for binaryen")?;
    debian::unpack(&package, &unpacked)?;
    match fs::rename(&unpacked, folder) {
        // Another set-up at the same time was first: its files are the same.
        Err(_) if folder.is_dir() => Ok(()),
        result => result.doing(format_args!("moving binaryen to {}", folder.display())),
    }
}

/// The locked package: from Debian's archive, or from the local folder where that has it.
fn package(lock: &ToolchainLock, folder: &Path) -> Outcome<PathBuf> {
    let failure = match debian::pooled(&lock.binaryen_pool, &lock.binaryen_sha256, folder) {
        Ok(package) => return Ok(package),
        Err(failure) => failure,
    };
    let Some(local) = local_folder() else {
        return Err(failure);
    };
    let package = local_package(&local, "binaryen_")?;
    let found = digest::file(&package)?;
    if found == lock.binaryen_sha256 {
        return Ok(package);
    }
    Err(Failure::new(format!(
        "{failure}; {} has SHA-256 {found}, expected {}",
        package.display(),
        lock.binaryen_sha256,
    )))
}

fn version(program: &Path) -> Outcome<String> {
    let text = capture(Command::new(program).arg("--version"))?;
    Ok(text.trim().to_owned())
}

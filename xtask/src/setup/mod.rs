//! `cargo xtask setup`: what a machine with Rust, a C compiler and Debian's
//! apt lacks. Quick where nothing is to be done.
//!
//! Released components have one route: the standard library built here, from
//! the source and the wasi-libc that `toolchain.lock` names ([`sysroot`]), in
//! a folder of our own. The user's toolchain is left alone, except that
//! workload authors get the target `wasm32-wasip2` in it ([`target`]).

mod apt;
pub(crate) mod binaryen;
pub(crate) mod debian;
pub(crate) mod python;
pub(crate) mod sysroot;
mod target;

use std::path::PathBuf;

use crate::lock::ToolchainLock;
use crate::machine::Machine;
use crate::process::Outcome;

use binaryen::WasmOpt;
use sysroot::Sysroot;

/// What set-up leaves for the other commands.
pub(crate) struct Tools {
    pub(crate) lock: ToolchainLock,
    /// Standard library and wasi-libc for components.
    pub(crate) sysroot: Sysroot,
    /// clang for C inside components, with its version.
    pub(crate) clang: apt::Clang,
    /// What makes a linked component smaller, where there is one.
    pub(crate) wasm_opt: Option<WasmOpt>,
    /// Python with the packages of `xtask/requirements.txt`.
    pub(crate) python: PathBuf,
    /// Python with those of `xtask/requirements-service.txt`.
    pub(crate) python_service: PathBuf,
    /// Python with those of `xtask/requirements-xgboost.txt`, where one is new enough.
    pub(crate) python_xgboost: Option<PathBuf>,
    /// Python with those of `xtask/requirements-notebook.txt`, maturin among them, where one is new
    /// enough.
    pub(crate) python_notebook: Option<PathBuf>,
}

/// The PKCS#11 module of SoftHSM, which tests keep keys in.
///
/// # Errors
/// Its package is missing and cannot be installed.
pub(crate) fn softhsm() -> Outcome<PathBuf> {
    apt::ensure_softhsm()
}

/// What tests emulate the devices of enclaves with: a TPM in software, and FUSE.
///
/// # Errors
/// A package is missing and cannot be installed.
pub(crate) fn emulators() -> Outcome<()> {
    apt::ensure_emulators()
}

/// What Linux is built with, beside the compiler that Rust needs.
///
/// # Errors
/// A package is missing and cannot be installed.
pub(crate) fn kernel_tools() -> Outcome<()> {
    apt::ensure_programs(&[
        ("make", "make"),
        ("flex", "flex"),
        ("bison", "bison"),
        ("bc", "bc"),
        ("patch", "patch"),
        ("xz", "xz-utils"),
    ])?;
    // The kernel's own objtool reads ELF by it.
    apt::ensure_file("/usr/include/gelf.h", "libelf-dev")
}

/// A machine to boot an image in, by software alone.
///
/// # Errors
/// Its package is missing and cannot be installed.
pub(crate) fn emulator() -> Outcome<()> {
    apt::ensure_programs(&[("qemu-system-x86_64", "qemu-system-x86")])
}

/// Installs what is missing and says so; silent where nothing is.
pub(crate) fn run(machine: &Machine) -> Outcome<Tools> {
    let lock = ToolchainLock::read(machine)?;
    let installed = apt::ensure()?;
    let sysroot = sysroot::ensure(machine, &lock)?;
    target::ensure(machine, &sysroot)?;
    let wasm_opt = binaryen::ensure(machine, &lock)?;
    let python = python::ensure(machine, &installed.python)?;
    let python_service = python::ensure_service(machine, &installed.python)?;
    let python_xgboost = python::ensure_xgboost(machine)?;
    let python_notebook = python::ensure_notebook(machine)?;
    Ok(Tools {
        lock,
        sysroot,
        clang: installed.clang,
        wasm_opt,
        python,
        python_service,
        python_xgboost,
        python_notebook,
    })
}

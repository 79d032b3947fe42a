//! `xtask/toolchain.lock`: the tools that released components are made with.

use std::fs;

use serde_json::Value;

use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome};

/// The lock file, read and checked against the compiler in use.
pub(crate) struct ToolchainLock {
    /// The file's exact text, a part of every cache key.
    pub(crate) text: String,
    /// Release of rustc and of its library's source, `1.95.0`.
    pub(crate) rustc: String,
    /// The package of that source in Debian's pool.
    pub(crate) library_pool: String,
    /// Digest of the `library/` tree.
    pub(crate) library: String,
    /// wasi-libc's upstream version as Debian writes it.
    pub(crate) wasi_libc_version: String,
    /// The package of wasi-libc in Debian's pool.
    pub(crate) wasi_libc_pool: String,
    /// Digest of wasi-libc's headers and libraries for wasm32-wasip2.
    pub(crate) wasi_libc: String,
    /// clang's version, `19.1.7`.
    pub(crate) clang: String,
    /// The package of Binaryen in Debian's pool, for x86-64.
    pub(crate) binaryen_pool: String,
    /// Digest of that package.
    pub(crate) binaryen_sha256: String,
    /// Digest of the standard library built from these, where known for this host.
    pub(crate) std: Option<String>,
}

impl ToolchainLock {
    pub(crate) fn read(machine: &Machine) -> Outcome<Self> {
        let path = machine.root.join("xtask/toolchain.lock");
        let text = fs::read_to_string(&path).doing(format_args!("reading {}", path.display()))?;
        let value: Value =
            serde_json::from_str(&text).doing(format_args!("reading {}", path.display()))?;
        let field = |pointer: &str| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| Failure::new(format!("{} has no text at {pointer}", path.display())))
        };
        let lock = Self {
            rustc: field("/rustc")?,
            library_pool: field("/rust_src/pool")?,
            library: field("/rust_src/library_sha256")?,
            wasi_libc_version: field("/wasi_libc/version")?,
            wasi_libc_pool: field("/wasi_libc/pool")?,
            wasi_libc: field("/wasi_libc/sha256")?,
            clang: field("/clang")?,
            binaryen_pool: field("/binaryen/pool")?,
            binaryen_sha256: field("/binaryen/sha256")?,
            std: field(&format!("/std_sha256/{}", machine.rustc_says("host")?)).ok(),
            text,
        };
        let release = machine.rustc_says("release")?;
        if release != lock.rustc {
            return Err(Failure::new(format!(
                "rustc is {release}, this repository is built with {}: `rustup toolchain install {}`",
                lock.rustc, lock.rustc,
            )));
        }
        Ok(lock)
    }
}

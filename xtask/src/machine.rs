//! Where things are on this machine.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{Doing, Failure, Outcome, capture};

/// Paths and tools every command needs.
pub(crate) struct Machine {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// What is kept between checkouts: `$XDG_CACHE_HOME/mc2` or `~/.cache/mc2`.
    pub(crate) cache: PathBuf,
    /// Cargo's folder for the registry.
    pub(crate) cargo_home: PathBuf,
    /// The toolchain's own folder, as `rustc --print sysroot` gives it.
    pub(crate) sysroot: PathBuf,
    /// What `rustc -vV` says, whole.
    pub(crate) rustc_version: String,
}

impl Machine {
    /// Finds the checkout and the toolchain its `rust-toolchain.toml` names.
    pub(crate) fn detect() -> Outcome<Self> {
        let root = checkout()?;
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
        let sysroot = capture(
            Command::new(&rustc)
                .args(["--print", "sysroot"])
                .current_dir(&root),
        )?;
        let rustc_version = capture(Command::new(&rustc).arg("-vV").current_dir(&root))?;
        let home = env::var_os("HOME").map(PathBuf::from);
        let below_home = |name: &str| {
            home.as_ref()
                .map(|home| home.join(name))
                .ok_or("HOME is not set; set it and try again")
        };
        let cache = match env::var_os("XDG_CACHE_HOME") {
            Some(folder) if Path::new(&folder).is_absolute() => PathBuf::from(folder),
            _ => below_home(".cache")?,
        }
        .join("mc2");
        let cargo_home = match env::var_os("CARGO_HOME") {
            Some(folder) => PathBuf::from(folder),
            None => below_home(".cargo")?,
        };
        fs::create_dir_all(&cache).doing(format_args!("making {}", cache.display()))?;
        Ok(Self {
            root,
            cache,
            cargo_home,
            sysroot: PathBuf::from(sysroot.trim_end()),
            rustc_version,
        })
    }

    /// Cargo of the toolchain itself, so that no wrapper decides about it.
    pub(crate) fn cargo(&self) -> Command {
        let own = self.sysroot.join("bin/cargo");
        let mut command = Command::new(if own.exists() {
            own
        } else {
            PathBuf::from("cargo")
        });
        command.current_dir(&self.root);
        // Cargo tells `xtask` about itself through these; its children are other packages.
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(|name| {
                name.starts_with("CARGO_PKG_")
                    || name.starts_with("CARGO_MANIFEST_")
                    || name.starts_with("CARGO_BIN_")
                    || name == "LD_LIBRARY_PATH"
            }) {
                command.env_remove(name);
            }
        }
        command
    }

    /// The toolchain's compiler.
    pub(crate) fn rustc(&self) -> PathBuf {
        self.sysroot.join("bin/rustc")
    }

    /// A line of `rustc -vV`, for instance `release` or `host`.
    pub(crate) fn rustc_says(&self, key: &str) -> Outcome<&str> {
        self.rustc_version
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
            .ok_or_else(|| Failure::new(format!("`rustc -vV` has no line {key}")))
    }

    /// What `cargo metadata` knows of the workspace's own packages.
    pub(crate) fn metadata(&self) -> Outcome<Value> {
        let text = capture(
            self.cargo()
                .args(["metadata", "--format-version=1", "--no-deps"]),
        )?;
        serde_json::from_str(&text).doing("reading cargo metadata")
    }

    /// Cargo's target folder, wherever the environment or its configuration puts it.
    pub(crate) fn target_dir(&self) -> Outcome<PathBuf> {
        let metadata = self.metadata()?;
        let folder = metadata["target_directory"].as_str();
        Ok(PathBuf::from(
            folder.ok_or("cargo metadata has no target_directory")?,
        ))
    }

    /// Where `cargo xtask build` leaves the binaries.
    pub(crate) fn binaries(&self) -> Outcome<PathBuf> {
        Ok(self.target_dir()?.join("release"))
    }

    /// Where `cargo xtask build` leaves a second copy of the binaries, which no test run builds anew.
    pub(crate) fn released(&self) -> Outcome<PathBuf> {
        Ok(self.target_dir()?.join("released"))
    }

    /// Where `cargo xtask build` leaves the components, as `NAME.wasm`.
    pub(crate) fn workloads(&self) -> Outcome<PathBuf> {
        Ok(self.target_dir()?.join("workloads"))
    }
}

/// Cargo names the folder of the package it runs; asked at run time, because
/// one target folder may serve several checkouts.
fn checkout() -> Outcome<PathBuf> {
    let from_cargo = env::var_os("CARGO_MANIFEST_DIR")
        .and_then(|folder| Path::new(&folder).parent().map(Path::to_owned));
    let here = env::current_dir().doing("finding the current folder")?;
    from_cargo
        .iter()
        .map(PathBuf::as_path)
        .chain(here.ancestors())
        .find(|folder| folder.join("xtask/toolchain.lock").is_file())
        .map(Path::to_owned)
        .ok_or_else(|| Failure::new("run `cargo xtask` inside a checkout of this repository"))
}

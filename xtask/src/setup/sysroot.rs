//! The standard library for components, built from locked source.
//!
//! Folder: `CACHE/sysroot-KEY/`, with the parts of a sysroot that rustc looks
//! for (`lib/rustlib/wasm32-wasip2/lib`) and wasi-libc as Debian packs it
//! (`wasi-libc/usr/…`). The same source gives the same bytes in any folder;
//! the lock file says which.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::debian::{self, Mirrors, Wanted};
use super::target::RUSTUP_LIMIT;
use crate::digest;
use crate::lock::ToolchainLock;
use crate::machine::Machine;
use crate::process::{
    Doing, Failure, Outcome, clean_environment, on_path, run, say, succeeds_within,
};

/// A local folder with `rust-src-VERSION-library.tar.xz`, `wasi-libc_*.deb` and `binaryen_*.deb`,
/// for where the mirror has them no longer or can't be reached.
pub(crate) const LOCAL_TOOLCHAIN: &str = "MC2_TOOLCHAIN_DIR";

/// Part of the key: raise it when this module builds something else.
const RECIPE: &str = "1";
const LIBRARIES: &str = "lib/rustlib/wasm32-wasip2/lib";
const SELF_CONTAINED: [&str; 3] = ["crt1-command.o", "crt1-reactor.o", "libc.a"];
const WASI_LIBC: [&str; 2] = ["usr/include/wasm32-wasip2", "usr/lib/wasm32-wasip2"];

/// A finished private sysroot.
pub(crate) struct Sysroot {
    pub(crate) path: PathBuf,
}

impl Sysroot {
    /// rlibs of the standard library and `self-contained/`.
    pub(crate) fn libraries(&self) -> PathBuf {
        self.path.join(LIBRARIES)
    }

    /// What tells this sysroot from others; a part of every cache key.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// Finds or builds the sysroot for this compiler and lock file.
///
/// Where the locked sources can't be had any more, another release of them does: components then
/// work, but are not the released bytes, which is said at every use.
pub(super) fn ensure(machine: &Machine, lock: &ToolchainLock) -> Outcome<Sysroot> {
    let parts = [
        RECIPE,
        &lock.library,
        &lock.wasi_libc,
        &machine.rustc_version,
    ]
    .join("\n");
    let key = &digest::bytes(parts.as_bytes())[..16];
    let released = machine.cache.join(format!("sysroot-{key}"));
    if released.is_dir() {
        return Ok(Sysroot { path: released });
    }
    let other = machine.cache.join(format!("sysroot-{key}-other"));
    if other.is_dir() {
        say(format_args!(
            "components are made with {}, so they are not the released bytes (remove it to try again)",
            other.display()
        ));
        return Ok(Sysroot { path: other });
    }
    // Made aside and moved, so that a folder of this name is a whole one.
    let aside = tempfile::Builder::new()
        .prefix("making-sysroot-")
        .tempdir_in(&machine.cache)
        .doing(format_args!(
            "making a folder in {}",
            machine.cache.display()
        ))?;
    let path = if build(machine, lock, aside.path())? {
        released
    } else {
        other
    };
    match fs::rename(aside.path().join("sysroot"), &path) {
        // Another set-up at the same time was first: its sysroot is the same.
        Err(_) if path.is_dir() => {}
        result => result.doing(format_args!(
            "moving the finished sysroot to {}",
            path.display()
        ))?,
    }
    Ok(Sysroot { path })
}

/// Builds `folder/sysroot`; tells whether it is the one that released components have.
fn build(machine: &Machine, lock: &ToolchainLock, folder: &Path) -> Outcome<bool> {
    let sysroot = folder.join("sysroot");
    let wasi_libc = sysroot.join("wasi-libc");
    // Cargo names the crates of the library relative to the compiler's own
    // sysroot, so the source must lie in one for their symbols to be the same anywhere.
    let source = sysroot.join("lib/rustlib/src/rust");
    for made in [&wasi_libc, &source, &folder.join("download")] {
        fs::create_dir_all(made).doing(format_args!("making {}", made.display()))?;
    }
    say(format_args!(
        "getting rust-src {} and wasi-libc from the Debian mirror",
        lock.rustc
    ));
    let mirrors = Mirrors::read(&folder.join("download"));
    obtain_library(machine, lock, &mirrors, folder, &source)?;
    obtain_wasi_libc(lock, &mirrors, &wasi_libc)?;
    let mut released = [
        (
            "rust-src's library",
            &lock.library,
            digest::tree(&source, &["library"])?,
        ),
        (
            "wasi-libc",
            &lock.wasi_libc,
            digest::tree(&wasi_libc, &WASI_LIBC)?,
        ),
    ]
    .iter()
    .fold(true, |all, (what, expected, found)| {
        is_locked(what, expected, found) && all
    });

    say("building the standard library for components (a minute, once)");
    let target = compile(machine, folder, &sysroot, &source)?;
    let libraries = sysroot.join(LIBRARIES);
    install(&target, &wasi_libc, &libraries)?;
    let found = digest::tree(&libraries, &["."])?;
    match &lock.std {
        Some(expected) if released => {
            released = is_locked("the standard library built here", expected, &found);
        }
        Some(_) => {}
        None => say(format_args!(
            "the lock file has no standard library for this host; built {found}"
        )),
    }
    fs::remove_dir_all(sysroot.join("lib/rustlib/src")).doing("removing the library's source")?;
    Ok(released)
}

fn is_locked(what: &str, expected: &str, found: &str) -> bool {
    if expected != found {
        say(format_args!(
            "{what} is not what xtask/toolchain.lock names.\n  expected {expected}\n  found    {found}\n\
             Components made with it work, but are not the released bytes",
        ));
    }
    expected == found
}

/// Puts `library/` below `source`: Debian's package, a local folder's archive, or rustup's.
fn obtain_library(
    machine: &Machine,
    lock: &ToolchainLock,
    mirrors: &Outcome<Mirrors>,
    folder: &Path,
    source: &Path,
) -> Outcome<()> {
    let version = format!("{}+", lock.rustc);
    let wanted = Wanted {
        name: "rust-src",
        version: &version,
        pool: &lock.library_pool,
    };
    let failure = match downloaded(mirrors, &wanted) {
        Ok(package) => {
            let unpacked = folder.join("rust-src");
            fs::create_dir_all(&unpacked).doing("making a folder for rust-src")?;
            debian::unpack(&package, &unpacked)?;
            let tree = unpacked.join(format!("usr/src/rustc-{}/library", lock.rustc));
            fs::rename(&tree, source.join("library"))
                .doing(format_args!("moving {}", tree.display()))?;
            // Debian adds copies of the library's dependencies; cargo gets its own.
            let vendor = source.join("library/vendor");
            if vendor.exists() {
                fs::remove_dir_all(&vendor).doing(format_args!("removing {}", vendor.display()))?;
            }
            return Ok(());
        }
        Err(failure) => failure,
    };
    if let Some(local) = local_folder() {
        say(format_args!("{failure}; using {}", local.display()));
        let archive = local.join(format!("rust-src-{}-library.tar.xz", lock.rustc));
        return debian::unpack_tar_xz(&archive, source);
    }
    say(format_args!("{failure}; asking rustup for it"));
    let mut rustup = Command::new("rustup");
    rustup
        .args(["component", "add", "rust-src"])
        .current_dir(&machine.root);
    let library = machine.sysroot.join("lib/rustlib/src/rust/library");
    if on_path("rustup").is_some() && succeeds_within(&mut rustup, RUSTUP_LIMIT) && library.is_dir()
    {
        return run(Command::new("cp").arg("-r").arg(library).arg(source));
    }
    Err(no_source(lock, &failure))
}

/// Puts wasi-libc's files below `goal`: in the version of the lock file, or in one near it. An
/// older one is preferred: of those of 2026-04 it is known that a handle's reads and writes do not
/// share their position, which `tests/tests/files.rs` finds out.
fn obtain_wasi_libc(lock: &ToolchainLock, mirrors: &Outcome<Mirrors>, goal: &Path) -> Outcome<()> {
    let wanted = Wanted {
        name: "wasi-libc",
        version: &lock.wasi_libc_version,
        pool: &lock.wasi_libc_pool,
    };
    let failure = match downloaded(mirrors, &wanted) {
        Ok(package) => return debian::unpack(&package, goal),
        Err(failure) => failure,
    };
    if let Some(local) = local_folder() {
        say(format_args!("{failure}; using {}", local.display()));
        return debian::unpack(&local_package(&local, "wasi-libc_")?, goal);
    }
    say(format_args!("{failure}; looking for another version"));
    let package = mirrors
        .as_ref()
        .map_err(|failure| Failure::new(failure.to_string()))
        .and_then(|mirrors| mirrors.download_near(&wanted))
        .map_err(|failure| no_source(lock, &failure))?;
    debian::unpack(&package, goal)
}

fn downloaded(mirrors: &Outcome<Mirrors>, wanted: &Wanted<'_>) -> Outcome<PathBuf> {
    match mirrors {
        Ok(mirrors) => mirrors.download(wanted),
        Err(failure) => Err(Failure::new(failure.to_string())),
    }
}

pub(super) fn local_folder() -> Option<PathBuf> {
    std::env::var_os(LOCAL_TOOLCHAIN).map(PathBuf::from)
}

fn no_source(lock: &ToolchainLock, failure: &Failure) -> Failure {
    Failure::new(format!(
        "{failure}\nA folder with rust-src-{}-library.tar.xz and wasi-libc_*.deb does as well: \
         name it in {LOCAL_TOOLCHAIN}",
        lock.rustc,
    ))
}

pub(super) fn local_package(folder: &Path, prefix: &str) -> Outcome<PathBuf> {
    fs::read_dir(folder)
        .doing(format_args!("reading {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(prefix) && name.ends_with(".deb")
        })
        .ok_or_else(|| Failure::new(format!("{} has no {prefix}*.deb", folder.display())))
}

/// Builds std with cargo's `build-std`; gives the folder with the rlibs.
fn compile(machine: &Machine, folder: &Path, sysroot: &Path, source: &Path) -> Outcome<PathBuf> {
    // The compiler, made to believe that our folder is its sysroot.
    let host = machine.rustc_says("host")?;
    let host_libraries = Path::new("lib/rustlib").join(host);
    symlink(
        machine.sysroot.join(&host_libraries),
        sysroot.join(&host_libraries),
    )
    .doing("linking the host's libraries")?;
    let rustc = folder.join("rustc");
    let script = format!(
        "#!/bin/sh\nexec '{}' --sysroot '{}' \"$@\"\n",
        machine.rustc().display(),
        sysroot.display(),
    );
    fs::write(&rustc, script).doing("writing the compiler's wrapper")?;
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))
        .doing("making the compiler's wrapper executable")?;

    let empty = folder.join("empty");
    fs::create_dir_all(empty.join("src")).doing("making an empty crate")?;
    fs::write(
        empty.join("Cargo.toml"),
        "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n",
    )
    .doing("making an empty crate")?;
    fs::write(empty.join("src/lib.rs"), "").doing("making an empty crate")?;

    // Of several that match, rustc takes the last; without bitcode no LTO.
    let flags = rustflags(&[
        "-Cembed-bitcode=yes".into(),
        remap(folder, "/mc2/std"),
        remap(&machine.cargo_home, "/cargo"),
        remap(
            source,
            &format!("/rustc/{}", machine.rustc_says("commit-hash")?),
        ),
    ]);
    let target = folder.join("target");
    let mut command = machine.cargo();
    clean_environment(&mut command);
    run(command
        .current_dir(&empty)
        .args([
            "build",
            "--quiet",
            "--release",
            "-Zbuild-std=std,panic_abort",
        ])
        .args(["--target", "wasm32-wasip2"])
        .env("RUSTC", &rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags))?;
    fs::remove_file(sysroot.join(&host_libraries)).doing("unlinking the host's libraries")?;
    Ok(target.join("wasm32-wasip2/release/deps"))
}

fn install(built: &Path, wasi_libc: &Path, libraries: &Path) -> Outcome<()> {
    let self_contained = libraries.join("self-contained");
    fs::create_dir_all(&self_contained).doing("making the libraries' folder")?;
    let mut files = Vec::new();
    digest::list(built, &mut files)?;
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".rlib") && !name.starts_with("libempty-") {
            fs::copy(&file, libraries.join(&*name)).doing(format_args!("copying {name}"))?;
        }
    }
    for name in SELF_CONTAINED {
        let file = wasi_libc.join("usr/lib/wasm32-wasip2").join(name);
        fs::copy(&file, self_contained.join(name)).doing(format_args!("copying {name}"))?;
    }
    Ok(())
}

/// `--remap-path-prefix` as one argument.
pub(crate) fn remap(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

/// The value of `CARGO_ENCODED_RUSTFLAGS`.
pub(crate) fn rustflags(flags: &[OsString]) -> OsString {
    flags.join(&OsString::from("\u{1f}"))
}

//! The same source gives the same component bytes anywhere.
//!
//! A component is built apart from everything else, with the private sysroot
//! of [`crate::setup::sysroot`], an environment without the user's compiler
//! flags, and no path of this machine in its bytes: workspace, cargo home,
//! target folder and sysroot are all remapped, which is checked afterwards.
//!
//! Because the bytes are a function of the source they are kept between
//! checkouts in `CACHE/components/KEY/NAME.wasm`; see [`cache`] for the key.

pub(crate) mod cache;
mod merging;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, clean_environment, run, say};
use crate::setup::Tools;
use crate::setup::sysroot::{remap, rustflags};

const TARGET: &str = "wasm32-wasip2";
/// Also in `.cargo/config.toml`, for plain builds.
const FEATURES: &str = "-Ctarget-feature=+simd128";

/// A package whose binaries are components.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its binaries, each `NAME.wasm`.
    pub(crate) bins: Vec<String>,
    /// `workload` for what is released; the tests' guests are built quickly.
    pub(crate) profile: &'static str,
    /// Takes many minutes.
    pub(crate) slow: bool,
    /// Its similar functions are merged after the last link ([`merging`]): its manifest says so.
    merged: bool,
}

impl Package {
    fn files(&self) -> impl Iterator<Item = String> + '_ {
        self.bins.iter().map(|bin| format!("{bin}.wasm"))
    }
}

/// Every package with binaries below `workloads/`, and the tests' guests.
pub(crate) fn packages(machine: &Machine) -> Outcome<Vec<Package>> {
    let metadata = machine.metadata()?;
    let root = Path::new(metadata["workspace_root"].as_str().unwrap_or_default());
    let empty = Vec::new();
    let mut packages = Vec::new();
    for package in metadata["packages"].as_array().unwrap_or(&empty) {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let profile = match manifest.strip_prefix(root) {
            Ok(path) if path.starts_with("workloads") => "workload",
            Ok(path) if path.starts_with("tests/guests") => "release",
            _ => continue,
        };
        let bins = bins(package);
        if !bins.is_empty() {
            let name = package["name"].as_str().unwrap_or_default().to_owned();
            let slow = name == "sql";
            let merged = package["metadata"]["mc2"]["merge-similar-functions"] == true;
            packages.push(Package {
                name,
                bins,
                profile,
                slow,
                merged,
            });
        }
    }
    packages.sort_by_key(|package| (package.slow, package.name.clone()));
    Ok(packages)
}

fn bins(package: &Value) -> Vec<String> {
    let empty = Vec::new();
    let targets = package["targets"].as_array().unwrap_or(&empty).iter();
    targets
        .filter(|target| {
            target["kind"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"))
        })
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect()
}

/// Leaves the package's components in `workloads`, from the cache where it
/// has them and `no_cache` is not set.
pub(crate) fn build(
    machine: &Machine,
    tools: &Tools,
    package: &Package,
    workloads: &Path,
    no_cache: bool,
) -> Outcome<()> {
    fs::create_dir_all(workloads).doing(format_args!("making {}", workloads.display()))?;
    let source = cache::Source::read(machine, tools, package)?;
    if !no_cache && source.copy_to(workloads)? {
        return Ok(());
    }
    say(format_args!("building component {}", package.name));
    let target_dir = target_dir(machine, package);
    let site = Site {
        workspace: &machine.root,
        cargo_home: &machine.cargo_home,
        sysroot: &tools.sysroot.path,
        target_dir: &target_dir,
        shims: &machine.cache.join("shims"),
    };
    // Until what was built is kept, no other checkout builds there.
    let _turn = take_turn(&target_dir)?;
    forget(machine, tools, package, &site, &source)?;
    let built = compile(machine, tools, package, &site, &[])?;
    source.check_complete(&built)?;
    source.keep(&built)?;
    for file in package.files() {
        copy_whole(&built.join(&file), &workloads.join(&file))?;
    }
    Ok(())
}

/// Kept between builds. Cargo builds one thing at a time in a folder, so what
/// is quick does not share one with what is slow.
pub(crate) fn target_dir(machine: &Machine, package: &Package) -> PathBuf {
    if package.slow {
        machine.cache.join("target-components")
    } else {
        quick_target_dir(machine)
    }
}

/// The folder of what is quick.
pub(crate) fn quick_target_dir(machine: &Machine) -> PathBuf {
    machine.cache.join("target-components-quick")
}

/// Waits until nobody else builds in a folder that checkouts share, and keeps them waiting.
fn take_turn(target_dir: &Path) -> Outcome<fs::File> {
    fs::create_dir_all(target_dir).doing(format_args!("making {}", target_dir.display()))?;
    let path = target_dir.join("turn");
    let doing = format!("locking {}", path.display());
    let file = fs::File::create(&path).doing(&doing)?;
    file.lock().doing(&doing)?;
    Ok(file)
}

/// Has cargo build the workspace's own crates anew.
///
/// Cargo knows a crate of a workspace by its place in it, and a change by a file's time. In a
/// folder that checkouts share it would take for this checkout's what another one built after
/// this one's files were written.
fn forget(
    machine: &Machine,
    tools: &Tools,
    package: &Package,
    site: &Site<'_>,
    source: &cache::Source,
) -> Outcome<()> {
    let mut command = machine.cargo();
    site.prepare(machine, tools, &mut command)?;
    command.args([
        "clean",
        "--quiet",
        "--locked",
        "--target",
        TARGET,
        "--profile",
        package.profile,
    ]);
    for name in &source.own {
        command.args(["--package", name]);
    }
    run(&mut command)
}

/// The folders a build takes place in; none of them may show in the result.
pub(crate) struct Site<'a> {
    pub(crate) workspace: &'a Path,
    pub(crate) cargo_home: &'a Path,
    pub(crate) sysroot: &'a Path,
    pub(crate) target_dir: &'a Path,
    pub(crate) shims: &'a Path,
}

/// Compiles the package's components; gives the folder they are in.
pub(crate) fn compile(
    machine: &Machine,
    tools: &Tools,
    package: &Package,
    site: &Site<'_>,
    more: &[&str],
) -> Outcome<PathBuf> {
    if tools.clang.version != tools.lock.clang {
        say(format_args!(
            "clang is {}, released components have {}: those with C inside will differ from them",
            tools.clang.version, tools.lock.clang,
        ));
    }
    let mut command = machine.cargo();
    site.prepare(machine, tools, &mut command)?;
    run(command
        .args([
            "build",
            "--locked",
            "--target",
            TARGET,
            "--profile",
            package.profile,
        ])
        .args(["--package", &package.name])
        .args(more))?;
    let linked = site.target_dir.join(TARGET).join(package.profile);
    let built = match &tools.wasm_opt {
        Some(tool) if package.merged => {
            // Apart, so that cargo finds what it linked as it left it.
            let merged = linked.join("merged");
            fs::create_dir_all(&merged).doing(format_args!("making {}", merged.display()))?;
            for file in package.files() {
                say(format_args!("merging similar functions of {file}"));
                merging::merge(tool, &linked.join(&file), &merged.join(&file))?;
                let list = Path::new(&file).with_extension("d");
                copy_whole(&linked.join(&list), &merged.join(&list))?;
            }
            merged
        }
        _ => linked,
    };
    for file in package.files() {
        site.check_clean(&built.join(file))?;
    }
    Ok(built)
}

impl Site<'_> {
    /// Sets everything about `command` that decides the bytes.
    pub(crate) fn prepare(
        &self,
        machine: &Machine,
        tools: &Tools,
        command: &mut Command,
    ) -> Outcome<()> {
        let (rustc, clang) = self.write_shims(machine, tools)?;
        let mut sysroot = OsString::from("--sysroot=");
        sysroot.push(self.sysroot);
        let flags = rustflags(&[
            sysroot,
            FEATURES.into(),
            remap(self.target_dir, "/mc2/target"),
            remap(self.sysroot, "/mc2/sysroot"),
            remap(self.cargo_home, "/cargo"),
        ]);
        clean_environment(command);
        command
            .current_dir(self.workspace)
            .env("CARGO_HOME", self.cargo_home)
            .env("CARGO_TARGET_DIR", self.target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .env("RUSTC", rustc)
            .env("MC2_SOURCE", self.workspace)
            .env("MC2_TARGET", self.target_dir)
            .env("CC_wasm32_wasip2", clang)
            .env("AR_wasm32_wasip2", "ar")
            .env("CFLAGS_wasm32_wasip2", "-msimd128");
        Ok(())
    }

    /// The workspace's own folder is remapped by wrappers and not by flags:
    /// cargo builds everything anew where flags change, so another checkout
    /// would share nothing with this one.
    fn write_shims(&self, machine: &Machine, tools: &Tools) -> Outcome<(PathBuf, PathBuf)> {
        fs::create_dir_all(self.shims).doing(format_args!("making {}", self.shims.display()))?;
        let rustc = self.shims.join("rustc");
        write_script(
            &rustc,
            &format!(
                "exec '{}' --remap-path-prefix=\"$MC2_SOURCE=/mc2/source\" \"$@\"",
                machine.rustc().display(),
            ),
        )?;
        let clang = self.shims.join("clang");
        write_script(
            &clang,
            &format!(
                "exec '{}' --sysroot='{}' -ffile-prefix-map=\"$MC2_SOURCE\"=/mc2/source \
                 -ffile-prefix-map=\"$MC2_TARGET\"=/mc2/target -ffile-prefix-map='{}'=/cargo \"$@\"",
                tools.clang.program.display(),
                self.sysroot.join("wasi-libc/usr").display(),
                self.cargo_home.display(),
            ),
        )?;
        Ok((rustc, clang))
    }

    /// Refuses a component with a path of this machine in it.
    fn check_clean(&self, component: &Path) -> Outcome<()> {
        let bytes = fs::read(component).doing(format_args!("reading {}", component.display()))?;
        for folder in [
            self.workspace,
            self.cargo_home,
            self.sysroot,
            self.target_dir,
        ] {
            let path = folder.as_os_str().as_encoded_bytes();
            if contains(&bytes, path) {
                return Err(Failure::new(format!(
                    "{} holds the path {}; components must not depend on where they are built",
                    component.display(),
                    folder.display(),
                )));
            }
        }
        Ok(())
    }
}

/// Whether `part` is somewhere in `bytes`.
pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn write_script(path: &Path, line: &str) -> Outcome<()> {
    let text = format!("#!/bin/sh\n{line}\n");
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    // Moved into place, because another build may be running the old one.
    let aside = path.with_extension(format!("{}", std::process::id()));
    let doing = format!("writing {}", path.display());
    fs::write(&aside, text).doing(&doing)?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)).doing(&doing)?;
    fs::rename(&aside, path).doing(&doing)
}

/// Copies so that nobody sees half a file.
pub(crate) fn copy_whole(from: &Path, to: &Path) -> Outcome<()> {
    let aside = to.with_extension(format!("{}", std::process::id()));
    let doing = format!("copying {} to {}", from.display(), to.display());
    fs::copy(from, &aside).doing(&doing)?;
    fs::rename(&aside, to).doing(&doing)
}

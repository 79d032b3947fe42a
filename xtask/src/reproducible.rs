//! The test that components do not depend on where they are built: once in this checkout, once as a
//! copy elsewhere with another cargo home, another place for the sysroot and another number of jobs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::components::{self, Package, Site};
use crate::digest;
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, capture, run, say};
use crate::setup::Tools;

/// Another place: a copy of the checkout and a cargo home of its own, removed when dropped.
pub(crate) struct Elsewhere {
    folder: TempDir,
    pub(crate) workspace: PathBuf,
    pub(crate) cargo_home: PathBuf,
}

impl Elsewhere {
    /// A copy of what is in this checkout now.
    pub(crate) fn new(machine: &Machine) -> Outcome<Self> {
        let folder = tempfile::Builder::new()
            .prefix("a-longer-name-for-the-other-place-")
            .tempdir_in(&machine.cache)
            .doing("making a folder for the other build")?;
        let elsewhere = Self {
            workspace: folder.path().join("checkout"),
            cargo_home: folder.path().join("cargo"),
            folder,
        };
        copy_checkout(machine, &elsewhere.workspace)?;
        copy_registry(&machine.cargo_home, &elsewhere.cargo_home)?;
        Ok(elsewhere)
    }

    /// A place of this name in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Fails where a file that was built in both places is not the same.
pub(crate) fn compare(
    machine: &Machine,
    name: &str,
    [here, there]: [&Path; 2],
    elsewhere: &Elsewhere,
) -> Outcome<()> {
    let (here, there) = (digest::file(here)?, digest::file(there)?);
    if here != there {
        return Err(Failure::new(format!(
            "{name} depends on where it is built: {here} in {}, {there} in {}",
            machine.root.display(),
            elsewhere.workspace.display(),
        )));
    }
    say(format_args!("{name} is {here} in both places"));
    Ok(())
}

/// Builds `package` elsewhere and compares with what is in `workloads`.
pub(crate) fn check(
    machine: &Machine,
    tools: &Tools,
    package: &Package,
    workloads: &Path,
) -> Outcome<()> {
    say(format_args!(
        "building {} in another folder with another cargo home",
        package.name
    ));
    let elsewhere = Elsewhere::new(machine)?;
    let sysroot = elsewhere.path("sysroot");
    copy_folder(&tools.sysroot.path, &sysroot)?;
    let site = Site {
        workspace: &elsewhere.workspace,
        cargo_home: &elsewhere.cargo_home,
        sysroot: &sysroot,
        target_dir: &elsewhere.path("target"),
        shims: &elsewhere.path("shims"),
    };
    let built = components::compile(machine, tools, package, &site, &["--offline", "--jobs=1"])?;
    for bin in &package.bins {
        let file = format!("{bin}.wasm");
        let (here, there) = (workloads.join(&file), built.join(&file));
        compare(machine, &file, [&here, &there], &elsewhere)?;
    }
    Ok(())
}

/// The files git knows or would take, as they are now.
fn copy_checkout(machine: &Machine, to: &Path) -> Outcome<()> {
    let git = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let names = capture(Command::new("git").arg("-C").arg(&machine.root).args(git))?;
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (machine.root.join(name), to.join(name));
        if !from.is_file() {
            continue;
        }
        let folder = to.parent().ok_or("a file without a folder")?;
        fs::create_dir_all(folder).doing(format_args!("making {}", folder.display()))?;
        fs::copy(&from, &to).doing(format_args!("copying {name}"))?;
    }
    Ok(())
}

/// The packed crates and what cargo knows about them; it unpacks them anew, in
/// the other cargo home.
fn copy_registry(from: &Path, to: &Path) -> Outcome<()> {
    let registry = to.join("registry");
    fs::create_dir_all(&registry).doing(format_args!("making {}", registry.display()))?;
    copy_folder(&from.join("registry/index"), &registry.join("index"))?;
    symlink(from.join("registry/cache"), registry.join("cache")).doing("linking packed crates")?;
    for name in ["config.toml", "config"] {
        if from.join(name).is_file() {
            fs::copy(from.join(name), to.join(name)).doing("copying cargo's configuration")?;
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Outcome<()> {
    // `cp` shares the blocks where the file system can.
    let arguments: [PathBuf; 2] = [from.to_owned(), to.to_owned()];
    run(Command::new("cp")
        .args(["--recursive", "--reflink=auto"])
        .args(arguments))
}

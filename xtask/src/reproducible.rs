//! The test that components do not depend on where they are built: once in
//! this checkout, once as a copy elsewhere with another cargo home, another
//! place for the sysroot and another number of jobs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::components::{self, Package, Site};
use crate::digest;
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, capture, run, say};
use crate::setup::Tools;

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
    let elsewhere = tempfile::Builder::new()
        .prefix("a-longer-name-for-the-other-place-")
        .tempdir_in(&machine.cache)
        .doing("making a folder for the other build")?;
    let place = |name: &str| elsewhere.path().join(name);
    let (workspace, cargo_home, sysroot) = (place("checkout"), place("cargo"), place("sysroot"));
    copy_checkout(machine, &workspace)?;
    copy_registry(&machine.cargo_home, &cargo_home)?;
    copy_folder(&tools.sysroot.path, &sysroot)?;
    let site = Site {
        workspace: &workspace,
        cargo_home: &cargo_home,
        sysroot: &sysroot,
        target_dir: &place("target"),
        shims: &place("shims"),
    };
    let built = components::compile(machine, tools, package, &site, &["--offline", "--jobs=1"])?;
    for bin in &package.bins {
        let file = format!("{bin}.wasm");
        let (here, there) = (
            digest::file(&workloads.join(&file))?,
            digest::file(&built.join(&file))?,
        );
        if here != there {
            return Err(Failure::new(format!(
                "{file} depends on where it is built: {here} in {}, {there} in {}",
                machine.root.display(),
                workspace.display(),
            )));
        }
        say(format_args!("{file} is {here} in both places"));
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

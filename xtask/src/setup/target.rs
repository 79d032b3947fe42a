//! The target `wasm32-wasip2` in the user's own toolchain, for plain
//! `cargo build --target wasm32-wasip2` of a new workload.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::sysroot::Sysroot;
use crate::machine::Machine;
use crate::process::{Doing, Outcome, on_path, say, succeeds_within};

const TARGET: &str = "wasm32-wasip2";
/// Long enough for the download on a slow line.
pub(super) const RUSTUP_LIMIT: Duration = Duration::from_secs(90);

/// `rustup target add` where its server can be reached, else our own build of
/// the same library. Our own commands don't need it, so this never fails them.
pub(super) fn ensure(machine: &Machine, sysroot: &Sysroot) -> Outcome<()> {
    let libraries = machine.sysroot.join("lib/rustlib").join(TARGET).join("lib");
    if has_std(&libraries) {
        return Ok(());
    }
    if on_path("rustup").is_some() {
        say(format_args!("rustup target add {TARGET}"));
        let mut command = Command::new("rustup");
        command
            .args(["target", "add", TARGET])
            .current_dir(&machine.root);
        if succeeds_within(&mut command, RUSTUP_LIMIT) && has_std(&libraries) {
            return Ok(());
        }
        say("rustup could not; installing the standard library built here instead");
    }
    if let Err(failure) = copy(&sysroot.libraries(), &libraries) {
        say(format_args!(
            "{failure}\n  Plain `cargo build --target {TARGET}` will not work with this toolchain \
             (`cargo xtask` does not need it). To change that:\n    sudo mkdir -p {1} && sudo cp -r {0}/. {1}/",
            sysroot.libraries().display(),
            libraries.display(),
        ));
    }
    Ok(())
}

fn has_std(libraries: &Path) -> bool {
    fs::read_dir(libraries).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    })
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    fs::create_dir_all(to).doing(format_args!("making {}", to.display()))?;
    let mut later = Vec::new();
    for entry in fs::read_dir(from)
        .doing(format_args!("reading {}", from.display()))?
        .flatten()
    {
        let (source, goal) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &goal)?;
        } else if entry.file_name().to_string_lossy().starts_with("libstd-") {
            // Last: its presence says that the target is installed.
            later.push((source, goal));
        } else {
            fs::copy(&source, &goal).doing(format_args!("writing {}", goal.display()))?;
        }
    }
    for (source, goal) in later {
        fs::copy(&source, &goal).doing(format_args!("writing {}", goal.display()))?;
    }
    Ok(())
}

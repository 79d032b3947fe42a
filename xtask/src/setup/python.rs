//! A Python environment of our own for the tests that compare with other
//! implementations: `CACHE/venv-KEY`, with `xtask/requirements.txt`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::digest;
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, capture, run, say};

/// Finds or makes the environment; gives its `python`.
pub(super) fn ensure(machine: &Machine, python: &Path) -> Outcome<PathBuf> {
    let requirements = machine.root.join("xtask/requirements.txt");
    let wanted =
        fs::read(&requirements).doing(format_args!("reading {}", requirements.display()))?;
    let which = "import os, sys; print(sys.version, os.path.realpath(sys.executable))";
    let version = capture(Command::new(python).args(["-c", which]))?;
    let key = digest::bytes(&[&wanted, version.as_bytes()].concat());
    let folder = machine.cache.join(format!("venv-{}", &key[..16]));
    // An environment knows its own path, so it is made in place and marked when whole.
    let (program, whole) = (folder.join("bin/python"), folder.join("whole"));
    if whole.exists() && program.exists() {
        return Ok(program);
    }
    say(format_args!(
        "installing Python packages into {}",
        folder.display()
    ));
    run(Command::new(python)
        .args(["-m", "venv", "--clear"])
        .arg(&folder))
    .map_err(|failure| {
        Failure::new(format!(
            "{failure}\nrun `sudo apt-get install --yes python3-venv` and try again"
        ))
    })?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary=:all:",
    ];
    run(Command::new(&program)
        .args(pip)
        .arg("--requirement")
        .arg(&requirements))?;
    fs::write(&whole, "").doing(format_args!("writing {}", whole.display()))?;
    Ok(program)
}

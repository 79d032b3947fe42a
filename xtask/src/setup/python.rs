//! Python environments of our own for the tests that compare with other
//! implementations: `CACHE/venv-KEY`, one with `xtask/requirements.txt`, one
//! with `xtask/requirements-xgboost.txt`, one with
//! `xtask/requirements-service.txt`, one with `xtask/requirements-notebook.txt`,
//! and for the benchmark one with `xtask/requirements-sql.txt`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::digest;
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, capture, on_path, run, say, succeeds};

/// Those with wheels of all packages first.
const FOR_XGBOOST: [&str; 4] = ["python3.13", "python3.12", "python3.14", "python3"];

/// Finds or makes the environment that every machine has; gives its `python`.
pub(super) fn ensure(machine: &Machine, python: &Path) -> Outcome<PathBuf> {
    environment(machine, python, "xtask/requirements.txt")
}

/// The same with Schemathesis, which asks a host for what its OpenAPI document promises.
pub(super) fn ensure_service(machine: &Machine, python: &Path) -> Outcome<PathBuf> {
    environment(machine, python, "xtask/requirements-service.txt")
}

/// The same with XGBoost, where there is a Python it runs on; Debian 12 has none.
pub(super) fn ensure_xgboost(machine: &Machine) -> Outcome<Option<PathBuf>> {
    let Some(python) = newer() else {
        say("no Python of version 3.12 or newer: tests that compare with XGBoost will skip");
        return Ok(None);
    };
    environment(machine, &python, "xtask/requirements-xgboost.txt").map(Some)
}

/// The same with what builds the package `mc2` and with what its tests hold its answers against.
pub(super) fn ensure_notebook(machine: &Machine) -> Outcome<Option<PathBuf>> {
    let Some(python) = newer() else {
        say("no Python of version 3.12 or newer: the tests of the Python package will skip");
        return Ok(None);
    };
    environment(machine, &python, "xtask/requirements-notebook.txt").map(Some)
}

/// The same with the engines that SQL is measured against; made when that is asked for.
pub(crate) fn for_sql(machine: &Machine) -> Outcome<Option<PathBuf>> {
    let Some(python) = newer() else {
        say("no Python of version 3.12 or newer: SQL will not be measured against others");
        return Ok(None);
    };
    environment(machine, &python, "xtask/requirements-sql.txt").map(Some)
}

/// A Python of version 3.12 or newer on the search path, or one of pyenv's.
fn newer() -> Option<PathBuf> {
    // A shim of pyenv is on the path whether or not its version is chosen, so each is tried.
    let test = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))";
    let named = FOR_XGBOOST.iter().filter_map(|name| on_path(name));
    named
        .chain(of_pyenv())
        .find(|program| succeeds(Command::new(program).args(["-c", test])))
}

/// pyenv's Pythons of version 3.12 and newer, the newest first.
fn of_pyenv() -> Vec<PathBuf> {
    let root = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")));
    let versions = root.and_then(|root| fs::read_dir(root.join("versions")).ok());
    let mut found: Vec<(u32, PathBuf)> = versions
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let minor = minor(entry.file_name().to_str()?)?;
            Some((minor, entry.path().join("bin/python3")))
        })
        .filter(|(minor, program)| *minor >= 12 && program.exists())
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, program)| program).collect()
}

/// The 12 of `3.12.1`.
fn minor(version: &str) -> Option<u32> {
    let rest = version.strip_prefix("3.")?;
    rest.split('.').next()?.parse().ok()
}

/// Finds or makes an environment with exactly these packages.
fn environment(machine: &Machine, python: &Path, requirements: &str) -> Outcome<PathBuf> {
    let requirements = machine.root.join(requirements);
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
        "installing the Python packages of {} into {}",
        requirements.display(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_pyenv_are_read() {
        assert_eq!(minor("3.12.1"), Some(12));
        assert_eq!(minor("3.9.18"), Some(9));
        assert_eq!(minor("2.7.18"), None);
        assert_eq!(minor("pypy3.10"), None);
    }
}

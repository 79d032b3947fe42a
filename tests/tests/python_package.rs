//! The Python package `mc2` as its wheel installs it: its own tests by pytest, and its first three lines
//! on every Python there is with nothing else installed.
//!
//! `cargo xtask test` says where the wheel is (`MC2_WHEEL`) and a Python with what the tests compare
//! with (`MC2_PYTHON_NOTEBOOK`); without them the tests say that they skip.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use mc2_tests::{component, program};
use tempfile::TempDir;

/// The Pythons that the wheel is for, as far as they are installed.
const VERSIONS: [&str; 4] = ["3.10", "3.11", "3.12", "3.13"];

#[test]
fn the_packages_own_tests_pass() {
    let Some(installed) = Installed::new() else {
        return;
    };
    let tests = mc2_tests::package().join("../python/tests");
    let mut command = installed.command(&installed.python);
    // Elsewhere than beside the sources, which Python would take for the package.
    command
        .current_dir(installed.home.path())
        .args(["-m", "pytest", "--quiet", "--tb=short"])
        .arg(tests)
        .env("MC2_TEST_WORKLOADS", workloads())
        .env("MC2_TEST_BINARIES", binaries());
    passes(&mut command);
}

#[test]
fn three_lines_give_a_result_on_every_python_with_nothing_else_installed() {
    let Some(installed) = Installed::new() else {
        return;
    };
    let script = mc2_tests::package().join("../python/tests/three_lines.py");
    let mut ran = 0;
    for version in VERSIONS {
        let Some(python) = python(version) else {
            eprintln!("skipped: there is no Python {version}");
            continue;
        };
        let mut command = installed.command(&python);
        // Neither the user's packages nor those of the environment that the tests run in.
        passes(command.args(["-s", "-W", "ignore"]).arg(&script));
        ran += 1;
    }
    assert!(ran > 0, "there is no Python of {VERSIONS:?}");
}

#[test]
fn pip_refuses_the_wheel_where_it_is_not_for_the_platform_or_the_python() {
    let (Some(wheel), Some(python)) = (variable("MC2_WHEEL"), variable("MC2_PYTHON_NOTEBOOK"))
    else {
        return;
    };
    let wheel = PathBuf::from(wheel);
    let name = wheel.file_name().and_then(|name| name.to_str());
    let name = name.expect("a name");
    let [package, version, of_python, abi, platform] =
        *name.trim_end_matches(".whl").split('-').collect::<Vec<_>>()
    else {
        panic!("{name}");
    };
    // For every CPython from 3.10 on; for this processor, and a C library as old as it says.
    assert_eq!((of_python, abi), ("cp310", "abi3"), "{name}");
    assert!(platform.starts_with("manylinux_2_"), "{name}");
    assert!(platform.ends_with(env::consts::ARCH), "{name}");
    let folder = TempDir::with_prefix("mc2-wheel-").expect("a folder");
    for other in [
        format!("{package}-{version}-cp310-abi3-macosx_11_0_arm64.whl"),
        format!("{package}-{version}-cp310-abi3-manylinux_2_17_s390x.whl"),
        format!("{package}-{version}-cp310-abi3-win_amd64.whl"),
        format!("{package}-{version}-cp399-abi3-{platform}.whl"),
    ] {
        let path = folder.path().join(&other);
        std::fs::copy(&wheel, &path).expect("a copy");
        let output = Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--no-index",
                "--no-deps",
                "--target",
            ])
            .arg(folder.path().join("installed"))
            .arg(&path)
            .output()
            .expect("Python starts");
        let said = String::from_utf8_lossy(&output.stderr);
        let told = format!("{other} is not a supported wheel on this platform");
        assert!(!output.status.success() && said.contains(&told), "{said}");
        std::fs::remove_file(&path).expect("the copy is there");
    }
    assert!(!folder.path().join("installed").exists());
}

/// The wheel, unpacked by pip into a folder of its own.
struct Installed {
    python: PathBuf,
    folder: TempDir,
    home: TempDir,
}

impl Installed {
    fn new() -> Option<Self> {
        let (wheel, python) = (variable("MC2_WHEEL")?, variable("MC2_PYTHON_NOTEBOOK")?);
        let folder = TempDir::with_prefix("mc2-wheel-").expect("a folder");
        let mut command = Command::new(&python);
        command
            .args(["-m", "pip", "install", "--quiet", "--no-index", "--no-deps"])
            .args(["--disable-pip-version-check", "--target"])
            .arg(folder.path())
            .arg(wheel);
        passes(&mut command);
        Some(Self {
            python: python.into(),
            folder,
            home: TempDir::with_prefix("mc2-home-").expect("a folder"),
        })
    }

    /// Python with the package, a state folder of its own, and nothing that leads into a checkout.
    fn command(&self, python: &Path) -> Command {
        let mut command = Command::new(python);
        command
            .env("PYTHONPATH", self.folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("MC2_HOME", self.home.path().join("mc2"))
            .env_remove("MC2_RUNTIME")
            .env_remove("MC2_WORKLOADS");
        command
    }
}

/// The folder of the components that the tree builds and the package does not carry.
fn workloads() -> PathBuf {
    let path = component("wordcount");
    path.parent().expect("it is in a folder").to_owned()
}

/// The folder of the host and of its simulator.
fn binaries() -> PathBuf {
    let path = program("mc2-host");
    path.parent().expect("it is in a folder").to_owned()
}

/// A Python of this version on the search path, or one of pyenv's.
fn python(version: &str) -> Option<PathBuf> {
    let named = PathBuf::from(format!("python{version}"));
    let root = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")));
    let versions = root.and_then(|root| std::fs::read_dir(root.join("versions")).ok());
    let of_pyenv = versions.into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name();
        let own = name.to_str()?.strip_prefix(version)?.starts_with('.');
        own.then(|| entry.path().join("bin/python3"))
    });
    let works = |program: &PathBuf| {
        let output = Command::new(program).args(["-c", "import ssl"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    std::iter::once(named).chain(of_pyenv).find(works)
}

#[track_caller]
fn passes(command: &mut Command) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("Python starts");
    assert!(
        status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
}

fn variable(name: &str) -> Option<OsString> {
    let value = env::var_os(name);
    if value.is_none() {
        eprintln!("skipped: {name} is not set; `cargo xtask test` sets it");
    }
    value
}

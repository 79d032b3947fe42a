//! Programs from Debian's packages: clang for C inside components, Python; for tests SoftHSM, a TPM in
//! software and FUSE.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Failure, Outcome, capture, on_path, output, run, say, succeeds};

/// Components are released with the first, which every Debian since bookworm has.
const CLANGS: [&str; 4] = ["clang-19", "clang-22", "clang-21", "clang-20"];
/// Where the module of Debian's softhsm2 is, in this order.
const SOFTHSM: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];
/// Programs that tests emulate the devices of enclaves with, and their packages.
const EMULATORS: [(&str, &str); 2] = [("swtpm", "swtpm"), ("fusermount3", "fuse3")];
const PYTHONS: [&str; 4] = ["python3", "python3.13", "python3.12", "python3.11"];

/// A clang that knows wasm32-wasip2.
pub(crate) struct Clang {
    pub(crate) program: PathBuf,
    /// As `clang --version` has it, `19.1.7`.
    pub(crate) version: String,
}

pub(super) struct Installed {
    pub(super) clang: Clang,
    pub(super) python: PathBuf,
}

/// Finds both programs, installing their packages where they are missing.
pub(super) fn ensure() -> Outcome<Installed> {
    let (mut clang, mut python) = (find_clang()?, find_python());
    let mut packages = Vec::new();
    if clang.is_none() {
        packages.push(offered_clang()?);
    }
    if python.is_none() {
        packages.extend(["python3", "python3-venv"]);
    }
    if !packages.is_empty() {
        install(&packages)?;
        clang = find_clang()?;
        python = find_python();
    }
    Ok(Installed {
        clang: clang.ok_or_else(|| {
            Failure::new(format!(
                "no clang of version 19 or newer on the search path, as {}",
                CLANGS[0]
            ))
        })?,
        python: python.ok_or("no Python of version 3.11 or newer with the module venv")?,
    })
}

/// Finds SoftHSM's module, installing its package where it or its tool is missing.
pub(super) fn ensure_softhsm() -> Outcome<PathBuf> {
    if let Some(module) = find_softhsm() {
        return Ok(module);
    }
    install(&["softhsm2"])?;
    find_softhsm().ok_or_else(|| {
        Failure::new(format!(
            "no SoftHSM: expected softhsm2-util on the search path and its module as {}",
            SOFTHSM[0]
        ))
    })
}

/// Installs what tests emulate the devices of enclaves with, where it is missing.
pub(super) fn ensure_emulators() -> Outcome<()> {
    ensure_programs(&EMULATORS)
}

/// Installs each package whose program is missing.
pub(super) fn ensure_programs(wanted: &[(&str, &'static str)]) -> Outcome<()> {
    let missing = |(program, _): &&(&str, &str)| on_path(program).is_none();
    let packages: Vec<&str> = wanted
        .iter()
        .filter(missing)
        .map(|(_, name)| *name)
        .collect();
    if !packages.is_empty() {
        install(&packages)?;
    }
    match wanted.iter().find(missing) {
        None => Ok(()),
        Some((program, package)) => Err(Failure::new(format!(
            "no {program} on the search path after {package} was installed"
        ))),
    }
}

/// Installs Debian's package where a file that it brings is missing.
pub(super) fn ensure_file(file: &str, package: &'static str) -> Outcome<()> {
    if Path::new(file).exists() {
        return Ok(());
    }
    install(&[package])
}

fn find_softhsm() -> Option<PathBuf> {
    on_path("softhsm2-util")?;
    let mut modules = SOFTHSM.into_iter().map(PathBuf::from);
    modules.find(|module| module.is_file())
}

fn find_clang() -> Outcome<Option<Clang>> {
    let Some(program) = CLANGS.iter().find_map(|name| on_path(name)) else {
        return Ok(None);
    };
    let text = capture(Command::new(&program).arg("--version"))?;
    let version = text
        .split_once("clang version ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .ok_or_else(|| Failure::new(format!("{} gave no version", program.display())))?;
    Ok(Some(Clang {
        version: version.to_owned(),
        program,
    }))
}

fn find_python() -> Option<PathBuf> {
    let test = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
    PYTHONS
        .iter()
        .filter_map(|name| on_path(name))
        .find(|program| succeeds(Command::new(program).args(["-c", test])))
}

/// The first clang that apt knows, after asking the mirror where it knows none.
fn offered_clang() -> Outcome<&'static str> {
    let known = || {
        CLANGS.into_iter().find(|name| {
            output(Command::new("apt-cache").args(["show", "--no-all-versions", name]))
                .is_ok_and(|shown| shown.status.success() && !shown.stdout.is_empty())
        })
    };
    if let Some(name) = known() {
        return Ok(name);
    }
    if is_root() {
        update()?;
    }
    // Where the lists can't be brought up to date, the line to run does it.
    Ok(known().unwrap_or(CLANGS[0]))
}

fn install(packages: &[&str]) -> Outcome<()> {
    let names = packages.join(" ");
    let line = format!("apt-get install --yes --no-install-recommends {names}");
    if on_path("apt-get").is_none() {
        return Err(Failure::new(format!(
            "install {names} (this machine has no apt-get), then try again"
        )));
    }
    if !is_root() {
        return Err(Failure::new(format!(
            "needs {names} and may not install packages. Run\n\n    sudo apt-get update && sudo {line}\n\nand try again"
        )));
    }
    say(format_args!("installing {names} with apt"));
    let arguments = ["install", "--yes", "--no-install-recommends", "-qq"];
    let mut command = Command::new("apt-get");
    command
        .args(arguments)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    if run(&mut command).is_ok() {
        return Ok(());
    }
    // Lists that are missing or old name files the mirror no longer has.
    update()?;
    run(&mut command)
        .map_err(|failure| Failure::new(format!("{failure}\nrun `sudo {line}` and try again")))
}

fn update() -> Outcome<()> {
    say("bringing apt's lists up to date");
    run(Command::new("apt-get").args(["update", "-qq"]))
}

fn is_root() -> bool {
    capture(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

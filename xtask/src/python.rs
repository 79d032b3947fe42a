//! `cargo xtask python`: the wheel of the Python package, with what it carries: the simulated runtime
//! and the program it compiles components with, and components.
//!
//! maturin builds it, for every Python from 3.10 on (`abi3`), and finds out which systems it is for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build;
use crate::components::copy_whole;
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, run as run_command, say};
use crate::setup::{self, Tools};

/// Programs it carries.
const PROGRAMS: [&str; 2] = ["mc2-runtime-sim", "mc2-compile"];
/// Components it carries.
const COMPONENTS: [&str; 2] = ["sql", "xgboost"];
/// Most bytes of the wheel.
const MOST: u64 = 60_000_000;

/// `cargo xtask python`.
pub(crate) fn run(machine: &Machine) -> Outcome<()> {
    let tools = setup::run(machine)?;
    build::everything(machine, &tools, &build::Options::default())?;
    let wheel = wheel(machine, &tools)?;
    let wheel =
        wheel.ok_or("there is no Python of version 3.12 or newer to build the wheel with")?;
    say(format_args!(
        "install it with: pip install {}",
        wheel.display()
    ));
    Ok(())
}

/// Builds the wheel around programs and components that were built before; nothing where there is no
/// Python that is new enough.
pub(crate) fn wheel(machine: &Machine, tools: &Tools) -> Outcome<Option<PathBuf>> {
    let Some(python) = &tools.python_notebook else {
        return Ok(None);
    };
    carry(machine)?;
    let folder = machine.target_dir()?.join("wheels");
    // What is there is of another time.
    let _ = fs::remove_dir_all(&folder);
    say("building the wheel of the Python package");
    let cargo = machine.cargo();
    let mut command = Command::new(python.with_file_name("maturin"));
    command
        .args([
            "build",
            "--release",
            "--locked",
            "--quiet",
            "--manifest-path",
        ])
        .arg(machine.root.join("python/Cargo.toml"))
        .arg("--interpreter")
        .arg(python)
        .arg("--out")
        .arg(&folder)
        .env("CARGO", cargo.get_program())
        .current_dir(&machine.root);
    for (name, value) in cargo.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    run_command(&mut command)?;
    let wheel = the_one(&folder)?;
    let length = fs::metadata(&wheel).doing("measuring the wheel")?.len();
    say(format_args!(
        "{} has {} MB",
        wheel.display(),
        length / 1_000_000
    ));
    if length > MOST {
        return Err(Failure::new(format!(
            "the wheel has {length} bytes, more than the {MOST} that it may have"
        )));
    }
    Ok(Some(wheel))
}

/// Puts what the wheel carries beside the package's modules, and nothing else there.
fn carry(machine: &Machine) -> Outcome<()> {
    let carried = machine.root.join("python/mc2/carried");
    let _ = fs::remove_dir_all(&carried);
    fs::create_dir_all(&carried).doing(format_args!("making {}", carried.display()))?;
    let (released, workloads) = (machine.released()?, machine.workloads()?);
    for name in PROGRAMS {
        let to = carried.join(name);
        copy_whole(&released.join(name), &to)?;
        // Half of it is names that nobody reads. The simulator is measured as it is here.
        run_command(Command::new("strip").arg(&to))?;
    }
    for name in COMPONENTS {
        let file = format!("{name}.wasm");
        copy_whole(&workloads.join(&file), &carried.join(&file))?;
    }
    Ok(())
}

fn the_one(folder: &Path) -> Outcome<PathBuf> {
    let doing = format!("listing {}", folder.display());
    let files = fs::read_dir(folder).doing(&doing)?;
    let paths = files.map(|entry| Ok(entry.doing(&doing)?.path()));
    let wheels = paths.collect::<Outcome<Vec<PathBuf>>>()?;
    match wheels.as_slice() {
        [wheel] => Ok(wheel.clone()),
        _ => Err(Failure::new(format!(
            "expected one wheel in {}, found {}",
            folder.display(),
            wheels.len()
        ))),
    }
}

//! One person with a folder of their own, and a host: what a boot proves is that a job of theirs runs.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::console::{Ends, lines_of};
use crate::components;
use crate::images::static_build::{Place, Program};
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, run as run_command, say};
use crate::setup;

const ROWS: u32 = 500;

/// The commands of one person with a folder of their own.
pub(super) struct Scene {
    binaries: PathBuf,
    xgboost: PathBuf,
    folder: PathBuf,
}

impl Scene {
    /// With what the environment names, else what is built; the table and what has to come out of it.
    pub(super) fn new(machine: &Machine, folder: &Path) -> Outcome<Self> {
        let binaries = given("MC2_BINARIES", || commands(machine))?;
        let workloads = given("MC2_WORKLOADS", || component(machine))?;
        let scene = Self {
            binaries,
            xgboost: workloads.join("xgboost.wasm"),
            folder: folder.to_owned(),
        };
        scene.table()?;
        scene.train(&["--quiet", "--bare"], "expected.json")?;
        Ok(scene)
    }

    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command
            .current_dir(&self.folder)
            .env("MC2_HOME", self.folder.join("home"))
            .stdin(Stdio::null());
        command
    }

    /// A table that is the same every time, and not empty of meaning.
    fn table(&self) -> Outcome<()> {
        let mut text = String::from("bought,age,visits\n");
        for row in 0..ROWS {
            let (age, visits) = (row * 37 % 71 + 18, row * 101 % 13);
            let bought = u32::from(age > 40 && visits > 4 || row % 17 == 0);
            text.push_str(&format!("{bought},{age},{visits}\n"));
        }
        fs::write(self.folder.join("train.csv"), text).doing("writing the table")
    }

    pub(super) fn train(&self, options: &[&str], model: &str) -> Outcome<()> {
        let mut command = self.command("mc2-run");
        command
            .args(["--memory", "1GiB"])
            .args(options)
            .arg(&self.xgboost)
            .args([
                "--in",
                "train=train.csv",
                "--out",
                &format!("model={model}"),
            ])
            .args(["--", "train", "--label", "bought", "--model-out", "model"])
            .args(["--objective", "binary:logistic", "--rounds", "5"])
            .stdout(Stdio::null());
        run_command(&mut command)
    }

    /// A host that starts no runtime and waits for one at `runtimes`; with the port of its clients.
    pub(super) fn host(&self, runtimes: &str) -> Outcome<(Ends, u16)> {
        let clients = free_port()?;
        let mut command = self.command("mc2-host");
        command
            .args(["serve", "--folder", "host"])
            .args(["--listen", &format!("127.0.0.1:{clients}")])
            .args(["--runtime-listen", runtimes])
            .stdout(Stdio::piped());
        let mut host = Ends(command.spawn().doing("starting mc2-host")?);
        let lines = lines_of(&mut host.0)?;
        let listens = lines.iter().any(|line| line.contains("listens"));
        if !listens {
            return Err(Failure::new("mc2-host ended before it listened"));
        }
        std::thread::spawn(move || lines.iter().for_each(drop));
        Ok((host, clients))
    }

    pub(super) fn compare(&self) -> Outcome<()> {
        let read =
            |name: &str| fs::read(self.folder.join(name)).doing(format_args!("reading {name}"));
        if read("model.json")? == read("expected.json")? {
            return Ok(());
        }
        Err(Failure::new(
            "the booted image trained another model than the component does without an enclave",
        ))
    }
}

/// What the environment names, else what is built.
fn given(variable: &str, build: impl FnOnce() -> Outcome<PathBuf>) -> Outcome<PathBuf> {
    env::var_os(variable).map_or_else(build, |folder| Ok(PathBuf::from(folder)))
}

/// The commands as a release has them, static.
fn commands(machine: &Machine) -> Outcome<PathBuf> {
    let place = Place::here(machine)?;
    let mut folder = PathBuf::new();
    for program in [Program::Mc2, Program::Mc2Run, Program::Host] {
        say(format_args!("building {}", program.name()));
        folder = place.build(machine, program, &[])?;
        folder.pop();
    }
    Ok(folder)
}

fn component(machine: &Machine) -> Outcome<PathBuf> {
    let tools = setup::run(machine)?;
    let workloads = machine.workloads()?;
    for package in components::packages(machine)? {
        if package.name == "xgboost" {
            components::build(machine, &tools, &package, &workloads, false)?;
        }
    }
    Ok(workloads)
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> Outcome<u16> {
    let doing = "finding a free port";
    let listener = TcpListener::bind("127.0.0.1:0").doing(doing)?;
    Ok(listener.local_addr().doing(doing)?.port())
}

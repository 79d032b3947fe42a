//! `cargo xtask demo`: the whole path on real data, in a simulated enclave.
//!
//! The example workload comes first, because the SQL engine takes many minutes
//! to compile the first time. Everything shown is what the commands `mc2-run`
//! and `mc2` print; a person can type the same lines.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Args;

use crate::build;
use crate::components;
use crate::machine::Machine;
use crate::process::{Doing, Outcome, run as run_command, say, shown};
use crate::setup::{self, Tools};
use crate::tpch;

/// Each with the text in `xtask/queries/NUMBER.sql`.
const QUERIES: [&str; 4] = ["1", "3", "6", "18"];
const SCALE: &str = "0.1";

#[derive(Args)]
pub(crate) struct Options {
    /// Stop after the example workload
    #[arg(long)]
    first: bool,
}

/// `cargo xtask demo`.
pub(crate) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    let start = Instant::now();
    let tools = setup::run(machine)?;
    let home = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()
        .doing("making a folder for the demo's keys and receipts")?;
    let demo = Demo {
        machine,
        tools: &tools,
        binaries: build::binaries(machine)?,
        workloads: machine.workloads()?,
        home: home.path().to_owned(),
    };

    heading("The example workload counts the words of README.md");
    demo.component("wordcount")?;
    demo.words()?;
    say(format_args!("first result after {}", elapsed(start)));
    if options.first {
        return Ok(());
    }

    heading("DataFusion as a component (many minutes the first time, then kept)");
    demo.component("sql")?;
    let tables = tpch::tables(machine, SCALE)?;
    for query in QUERIES {
        heading(&format!(
            "TPC-H query {query} at scale factor {SCALE}, all eight tables sealed"
        ));
        demo.query(query, &tables)?;
    }
    say(format_args!("everything after {}", elapsed(start)));
    Ok(())
}

struct Demo<'a> {
    machine: &'a Machine,
    tools: &'a Tools,
    binaries: PathBuf,
    workloads: PathBuf,
    /// Keys and receipts of the demo; the user's own are left alone.
    home: PathBuf,
}

impl Demo<'_> {
    fn component(&self, name: &str) -> Outcome<()> {
        for package in components::packages(self.machine)? {
            if package.name == name {
                components::build(self.machine, self.tools, &package, &self.workloads, false)?;
            }
        }
        Ok(())
    }

    fn words(&self) -> Outcome<()> {
        let text = self.machine.root.join("README.md");
        self.run_and_verify("wordcount", &[("text", text)], &[])
    }

    fn query(&self, number: &str, tables: &Path) -> Outcome<()> {
        let file = self
            .machine
            .root
            .join(format!("xtask/queries/{number}.sql"));
        let query = fs::read_to_string(&file).doing(format_args!("reading {}", file.display()))?;
        let inputs = tpch::TABLES.map(|table| (table, tables.join(format!("{table}.parquet"))));
        self.run_and_verify("sql", &inputs, &[&query])
    }

    /// Runs the component, then has `mc2 verify` look at the receipt it left.
    fn run_and_verify(
        &self,
        component: &str,
        inputs: &[(&str, PathBuf)],
        arguments: &[&str],
    ) -> Outcome<()> {
        let component = self.workloads.join(format!("{component}.wasm"));
        let receipt = self.home.join("receipt.json");
        let mut run = self.command("mc2-run");
        run.arg("--verbose")
            .arg("--receipt")
            .arg(&receipt)
            .arg(&component);
        for (name, path) in inputs {
            run.arg("--in").arg(format!("{name}={}", path.display()));
        }
        if !arguments.is_empty() {
            run.arg("--").args(arguments);
        }
        let start = Instant::now();
        announce_and_run(&mut run)?;
        say(format_args!("mc2-run took {}", elapsed(start)));

        let mut verify = self.command("mc2");
        verify
            .args(["verify", "--allow-simulated", "--component"])
            .arg(component)
            .arg(receipt);
        announce_and_run(&mut verify)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command
            .env("MC2_HOME", &self.home)
            .current_dir(&self.machine.root);
        command
    }
}

fn announce_and_run(command: &mut Command) -> Outcome<()> {
    eprintln!("$ {}", shown(command));
    run_command(command)
}

fn heading(text: &str) {
    eprintln!("\n── {text}");
}

fn elapsed(start: Instant) -> String {
    let seconds = start.elapsed().as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{} min {:02.0} s", (seconds / 60.0) as u64, seconds % 60.0)
    }
}

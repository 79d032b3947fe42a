//! `cargo xtask demo`: the whole path on real data, in a simulated enclave.
//!
//! The example workload comes first, because the SQL engine takes many minutes
//! to compile the first time. Everything shown is what the commands `mc2-run`
//! and `mc2` print; a person can type the same lines.

use std::collections::BTreeSet;
use std::fs;
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
    let home = tempfile::tempdir().doing("making a folder for the demo's keys and receipts")?;
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
        let mut command = self.mc2_run("wordcount");
        let mut text = std::ffi::OsString::from("text=");
        text.push(self.machine.root.join("README.md"));
        command.arg("--in").arg(text);
        self.run_and_verify(&mut command)
    }

    fn query(&self, number: &str, tables: &Path) -> Outcome<()> {
        let file = self
            .machine
            .root
            .join(format!("xtask/queries/{number}.sql"));
        let query = fs::read_to_string(&file).doing(format_args!("reading {}", file.display()))?;
        let mut command = self.mc2_run("sql");
        for table in tpch::TABLES {
            let path = tables.join(format!("{table}.parquet"));
            command
                .arg("--in")
                .arg(format!("{table}={}", path.display()));
        }
        command.arg("--").arg(query);
        self.run_and_verify(&mut command)
    }

    fn mc2_run(&self, component: &str) -> Command {
        let mut command = self.command("mc2-run");
        command.arg(self.workloads.join(format!("{component}.wasm")));
        command
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command
            .env("MC2_HOME", &self.home)
            .current_dir(&self.machine.root);
        command
    }

    /// Runs `mc2-run`, then has `mc2 verify` look at the receipt it left.
    fn run_and_verify(&self, command: &mut Command) -> Outcome<()> {
        let before = self.receipts();
        eprintln!("$ {}", shown(command));
        let start = Instant::now();
        run_command(command)?;
        say(format_args!("mc2-run took {}", elapsed(start)));
        let after = self.receipts();
        let receipt = after
            .difference(&before)
            .next()
            .ok_or("mc2-run left no receipt in the state folder")?;
        let mut verify = self.command("mc2");
        verify.args(["verify", "--allow-simulated"]).arg(receipt);
        eprintln!("$ {}", shown(&verify));
        run_command(&mut verify)
    }

    fn receipts(&self) -> BTreeSet<PathBuf> {
        // No folder yet means no receipts yet.
        fs::read_dir(self.home.join("receipts"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect()
    }
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

//! `cargo xtask bench`: the numbers of `BENCHMARKS.md`, measured here and now.
//!
//! Whole commands are timed by this module. What needs the inside of a crate is
//! measured by examples of that crate whose names start with `bench_`: each is
//! built in the release profile and run, and prints a [`Row`] a line as JSON:
//!
//! ```json
//! {"name": "seal, memory to memory", "unit": "of openssl", "measured": 0.93, "target": 0.8, "more_is_better": true}
//! ```
//!
//! They find in the environment what the tests do (see `cargo xtask test`),
//! `MC2_OPENSSL`, OpenSSL's AES-256-GCM in bytes a second, measured just before,
//! `MC2_CACHE`, a folder for tables that take long to make, and `MC2_SHAPE`, where
//! only one shape of table is to be measured.

mod report;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use crate::build;
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, capture, on_path, run as run_command, say};
use crate::python;
use crate::setup::{self, Tools};
use crate::test;
use crate::tpch;

use report::Row;

/// Times each query of TPC-H is run after its first.
const SQL_RUNS: usize = 3;

#[derive(Args)]
pub(crate) struct Options {
    /// Only benchmarks whose name contains this
    filter: Option<String>,
    /// Times each command is run; the median counts
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// Of `bench_xgboost` only this shape of table, for instance `flights`
    #[arg(long, value_name = "NAME")]
    shape: Option<String>,
}

/// `cargo xtask bench`.
pub(crate) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    let tools = setup::run(machine)?;
    build::everything(machine, &tools, &build::Options::default())?;
    let mut known = test::variables(machine, &tools)?;
    known.push(test::tables(machine)?);
    let wanted = |name: &str| {
        options
            .filter
            .as_ref()
            .is_none_or(|filter| name.contains(filter))
    };

    let mut rows = Vec::new();
    for (package, example) in examples(machine)? {
        if !wanted(&example) {
            continue;
        }
        let openssl = openssl_aes_gcm()?;
        say(format_args!(
            "{example} (openssl: {:.2} GB/s)",
            openssl / 1e9
        ));
        let mut command = machine.cargo();
        command
            .args(["run", "--quiet", "--release", "--locked"])
            .args(["--package", &package, "--example", &example])
            .envs(known.iter().map(|(name, value)| (name, value)))
            .env("MC2_OPENSSL", format!("{openssl:.0}"))
            .env("MC2_CACHE", &machine.cache)
            .envs(options.shape.iter().map(|shape| ("MC2_SHAPE", shape)))
            .stderr(Stdio::inherit());
        let text = capture(&mut command)?;
        for line in text.lines().filter(|line| line.starts_with('{')) {
            rows.push(Row::parse(line)?);
        }
    }
    if wanted("python") {
        rows.extend(notebook(machine, &tools, options.runs)?);
    }
    if wanted("sql") {
        rows.extend(sql(machine, &tools)?);
    }
    rows.extend(commands(machine, options.runs, wanted)?);
    report::print(&rows)
}

/// The Python package's own figures, as its wheel installs it.
fn notebook(machine: &Machine, tools: &Tools, runs: usize) -> Outcome<Vec<Row>> {
    let Some(python) = &tools.python_notebook else {
        return Ok(Vec::new());
    };
    let variables = [("MC2_RUNS", runs.to_string().into())];
    by_package(machine, tools, python, "python/bench/bench.py", &variables)
}

/// TPC-H by the SQL component and by others. `--runs` would make hours of it.
fn sql(machine: &Machine, tools: &Tools) -> Outcome<Vec<Row>> {
    let Some(python) = setup::python::for_sql(machine)? else {
        return Ok(Vec::new());
    };
    let variables = [
        ("MC2_RUNS", SQL_RUNS.to_string().into()),
        ("MC2_SQL", machine.workloads()?.join("sql.wasm").into()),
        ("MC2_TPCH", tpch::tables(machine, "1")?.into()),
    ];
    let script = "workloads/sql/bench/bench.py";
    by_package(machine, tools, &python, script, &variables)
}

/// The rows that a script prints, which finds the package `mc2` as its wheel installs it.
fn by_package(
    machine: &Machine,
    tools: &Tools,
    python: &Path,
    script: &str,
    variables: &[(&str, OsString)],
) -> Outcome<Vec<Row>> {
    let Some(wheel) = python::wheel(machine, tools)? else {
        say(format_args!(
            "there is no wheel of the package mc2: {script} is not run"
        ));
        return Ok(Vec::new());
    };
    say(script);
    let folder = tempfile::tempdir().doing("making a folder for the package")?;
    let package = folder.path().join("package");
    let pip = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps"];
    run_command(
        Command::new(python)
            .args(pip)
            .arg("--target")
            .arg(&package)
            .arg(&wheel),
    )?;
    let mut command = Command::new(python);
    command
        .arg(machine.root.join(script))
        .env("PYTHONPATH", &package)
        .env("MC2_HOME", folder.path().join("home"))
        .env("MC2_BINARIES", machine.released()?)
        .env("MC2_WHEEL", &wheel)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .env_remove("MC2_RUNTIME")
        .env_remove("MC2_WORKLOADS")
        .stderr(Stdio::inherit());
    let text = capture(&mut command)?;
    text.lines().map(Row::parse).collect()
}

/// The examples called `bench_…` of every package, sorted.
fn examples(machine: &Machine) -> Outcome<Vec<(String, String)>> {
    let metadata = machine.metadata()?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for package in list(&metadata["packages"]) {
        for target in list(&package["targets"]) {
            let example = list(&target["kind"]).iter().any(|kind| kind == "example");
            if let (true, Some(package), Some(name)) =
                (example, package["name"].as_str(), target["name"].as_str())
                && name.starts_with("bench_")
            {
                found.push((package.to_owned(), name.to_owned()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// One whole command.
struct Case<'a> {
    name: &'a str,
    component: &'a str,
    input: (&'a str, &'a Path),
    arguments: &'a [&'a str],
    target: Duration,
}

/// Whole processes of `mc2-run` with a warm cache.
fn commands(machine: &Machine, runs: usize, wanted: impl Fn(&str) -> bool) -> Outcome<Vec<Row>> {
    let folder = tempfile::tempdir().doing("making a folder for the benchmark's data")?;
    let text = folder.path().join("text.txt");
    fs::write(&text, "the quick brown fox\n".repeat(50)).doing("writing a small text")?;
    let table = folder.path().join("t.csv");
    let lines: String = (0..1000)
        .map(|i| format!("{i},name {i},{}\n", i * 7 % 100))
        .collect();
    fs::write(&table, format!("id,name,score\n{lines}")).doing("writing a small table")?;

    let count = "select score, count(*) from t group by score order by score";
    let cases = [
        Case {
            name: "mc2-run of a trivial component",
            component: "wordcount",
            input: ("text", &text),
            arguments: &[],
            target: Duration::from_millis(150),
        },
        Case {
            name: "mc2-run sql.wasm on a small CSV",
            component: "sql",
            input: ("t", &table),
            arguments: &["--", count],
            target: Duration::from_secs(1),
        },
    ];
    let mut rows = Vec::new();
    for case in cases.iter().filter(|case| wanted(case.name)) {
        say(case.name);
        let mut command = Command::new(machine.binaries()?.join("mc2-run"));
        let (name, path) = case.input;
        command
            .arg(
                machine
                    .workloads()?
                    .join(format!("{}.wasm", case.component)),
            )
            .arg("--in")
            .arg(format!("{name}={}", path.display()))
            .args(case.arguments)
            .env("MC2_HOME", folder.path().join("home"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let time = median(runs, || {
            let start = Instant::now();
            run_command(&mut command)?;
            Ok(start.elapsed())
        })?;
        rows.push(Row {
            name: format!("{}, whole process, cache warm", case.name),
            unit: "ms".to_owned(),
            measured: time.as_secs_f64() * 1e3,
            target: Some(case.target.as_secs_f64() * 1e3),
            more_is_better: false,
        });
    }
    Ok(rows)
}

/// The median of `runs` after one that warms the caches and doesn't count.
fn median(runs: usize, mut once: impl FnMut() -> Outcome<Duration>) -> Outcome<Duration> {
    once()?;
    let mut times = (0..runs.max(1))
        .map(|_| once())
        .collect::<Outcome<Vec<_>>>()?;
    times.sort();
    Ok(times[times.len() / 2])
}

/// OpenSSL's AES-256-GCM at 64 KiB blocks on one core, in bytes a second.
fn openssl_aes_gcm() -> Outcome<f64> {
    let program: PathBuf = on_path("openssl")
        .ok_or("needs openssl to compare with: `sudo apt-get install --yes openssl`")?;
    let arguments = [
        "speed",
        "-mr",
        "-evp",
        "aes-256-gcm",
        "-bytes",
        "65536",
        "-seconds",
        "3",
    ];
    let text = capture(Command::new(program).args(arguments))?;
    parse_openssl_speed(&text)
        .ok_or_else(|| Failure::new(format!("`openssl speed` gave no figure:\n{text}")))
}

/// Bytes a second from `openssl speed -mr`, whose last line is
/// `+F:NUMBER:AES-256-GCM:BYTES_PER_SECOND`.
fn parse_openssl_speed(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("+F:"))?;
    line.rsplit(':').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssl_speed_is_read() {
        let text = "+H:65536\n+F:22:AES-256-GCM:4350123456.78\n";
        assert_eq!(parse_openssl_speed(text), Some(4_350_123_456.78));
        assert_eq!(parse_openssl_speed("+H:65536\n"), None);
    }

    #[test]
    fn the_run_that_warms_up_does_not_count() {
        let mut times = [900, 5, 3, 4].into_iter().map(Duration::from_millis);
        let median = median(3, || Ok(times.next().unwrap())).unwrap();
        assert_eq!(median, Duration::from_millis(4));
    }
}

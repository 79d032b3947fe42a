//! The SQL component in the simulated enclave, by what a person sees: TPC-H's answers equal
//! DuckDB's on the same files, so do those where the engine alone would be wrong, files are read as
//! DuckDB reads them, and good and bad input is met as `docs/sql.md` says.
//!
//! `cargo xtask test` says where Python with DuckDB (`MC2_PYTHON`) and the tables (`MC2_TPCH`)
//! are; without them the tests say that they skip.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use mc2_tests::{component, program};
use tempfile::TempDir;

#[test]
fn tpch_queries_1_3_6_and_18_equal_duckdbs() {
    let (Some(python), Some(tables)) = (variable("MC2_PYTHON"), variable("MC2_TPCH")) else {
        return;
    };
    let mut command = script(&python, "tpch.py");
    command
        .arg("--data")
        .arg(tables)
        .args(["--queries", "1,3,6,18", "--"]);
    passes(command);
}

#[test]
fn good_and_bad_input_is_met_as_documented() {
    let Some(python) = variable("MC2_PYTHON") else {
        return;
    };
    passes(script(&python, "behaviour.py"));
}

#[test]
fn several_instances_answer_as_one_does() {
    let Some(python) = variable("MC2_PYTHON") else {
        return;
    };
    passes(script(&python, "together.py"));
}

/// Their row groups are of more rows than the tables here have, so most is one instance's.
#[test]
fn two_instances_answer_all_tpch_queries_as_duckdb_does() {
    let (Some(python), Some(tables)) = (variable("MC2_PYTHON"), variable("MC2_TPCH")) else {
        return;
    };
    let mut command = script(&python, "tpch.py");
    command.arg("--data").arg(tables);
    command.args(["--instances", "2", "--"]);
    passes(command);
}

#[test]
fn answers_are_duckdbs_or_errors_that_name_what_is_wrong() {
    let Some(python) = variable("MC2_PYTHON") else {
        return;
    };
    passes(script(&python, "answers.py"));
}

/// The nightly workflow asks more of them.
#[test]
fn answers_to_two_thousand_random_queries_are_duckdbs() {
    let Some(python) = variable("MC2_PYTHON") else {
        return;
    };
    let mut command = script(&python, "differential.py");
    command.args(["--queries", "2000", "--seed", "1", "--keep-going"]);
    passes(command);
}

#[test]
fn two_instances_answer_random_queries_as_duckdb_does() {
    let Some(python) = variable("MC2_PYTHON") else {
        return;
    };
    let mut command = script(&python, "differential.py");
    command.args(["--queries", "1000", "--seed", "2", "--keep-going"]);
    command.args(["--instances", "2"]);
    passes(command);
}

#[test]
fn files_are_read_as_duckdb_reads_them_or_refused_by_name() {
    let Some(python) = variable("MC2_PYTHON") else {
        return;
    };
    passes(script(&python, "reading.py"));
}

fn script(python: &OsString, name: &str) -> Command {
    let folder = mc2_tests::package().join("../workloads/sql/tests");
    let mut command = Command::new(python);
    command.arg(folder.join(name));
    command
}

/// Runs a script over `mc2-run sql.wasm` with a state folder of its own.
#[track_caller]
fn passes(mut command: Command) {
    let home = TempDir::with_prefix("mc2-sql-").expect("a folder");
    let home = home.path().join("home");
    command.args(runner(&home)).env("MC2_HOME", home);
    let output = command.output().expect("Python starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The command, once its component is compiled: two tests need not compile it at once.
fn runner(home: &Path) -> [PathBuf; 2] {
    static COMPILED: OnceLock<()> = OnceLock::new();
    let runner = [program("mc2-run"), component("sql")];
    COMPILED.get_or_init(|| {
        let output = Command::new(&runner[0])
            .args([&runner[1], Path::new("--"), Path::new("select 1")])
            .env("MC2_HOME", home)
            .output()
            .expect("mc2-run starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
    runner
}

fn variable(name: &str) -> Option<OsString> {
    let value = env::var_os(name);
    if value.is_none() {
        eprintln!("skipped: {name} is not set; `cargo xtask test` sets it");
    }
    value
}

//! `cargo xtask test`: everything continuous integration checks.
//!
//! What tests can't find by themselves they are told by the environment:
//!
//! | variable | what |
//! |---|---|
//! | `MC2_BINARIES` | folder of the release binaries, as `cargo xtask build` left them |
//! | `MC2_WORKLOADS` | folder of the components, `NAME.wasm` |
//! | `MC2_PYTHON` | Python with the packages of `xtask/requirements.txt` |
//! | `MC2_PYTHON_SERVICE` | Python with those of `xtask/requirements-service.txt` |
//! | `MC2_PYTHON_XGBOOST` | Python with those of `xtask/requirements-xgboost.txt`; unset where no Python is new enough |
//! | `MC2_PYTHON_NOTEBOOK` | Python with those of `xtask/requirements-notebook.txt`; unset as that |
//! | `MC2_WHEEL` | the wheel of the Python package; unset with `--quick`, and where no Python is new enough |
//! | `MC2_SOFTHSM` | the PKCS#11 module of SoftHSM |
//! | `MC2_TPCH` | folder of the TPC-H tables at scale factor 0.1, `NAME.parquet` |
//!
//! To run one test by hand: `cargo xtask test --env` prints them for a shell.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::attacks;
use crate::build;
use crate::components::{self, Site};
use crate::layout;
use crate::licences;
use crate::machine::Machine;
use crate::process::{Failure, Outcome, give_way_to, run as run_command, say};
use crate::python;
use crate::reproducible;
use crate::setup::{self, Tools};
use crate::source_date;
use crate::tpch;

/// Crates that only make sense as components.
const ONLY_WASM: [&str; 2] = ["sql", "mc2-test-guests"];
/// Tests that take minutes or need what takes minutes to build, named as in `SECURITY.md`'s table:
/// `--quick` leaves them out.
const SLOW: [&str; 7] = [
    "sql::tpch_queries_1_3_6_and_18_equal_duckdbs",
    "sql::good_and_bad_input_is_met_as_documented",
    "sql::answers_to_two_thousand_random_queries_are_duckdbs",
    "attesters::session::sql_runs_in_a_session_of_each_enclave_and_its_receipt_verifies_offline",
    "walkthrough::the_page_of_two_banks_a_network_and_a_shop_runs_as_it_stands",
    "mc2-client: new::a_new_workload_with_the_embedded_sdk_builds_passes_its_test_and_runs",
    "mc2-client: new::a_new_workload_with_the_sdk_of_a_checkout_passes_its_test",
];
/// What the tests of SQL compare at.
const SCALE: &str = "0.1";

#[derive(Args)]
pub(crate) struct Options {
    /// Leave out lints, the SQL engine, the reproducibility test and tests that take minutes
    #[arg(long)]
    quick: bool,
    /// Also compile the SQL engine a second time, elsewhere, and compare (half an hour)
    #[arg(long)]
    reproducible_sql: bool,
    /// Build what tests need, print the variables that tell them where it is, and stop
    #[arg(long)]
    env: bool,
    /// Arguments for `cargo test`, after `--`
    #[arg(last = true)]
    more: Vec<OsString>,
}

/// `cargo xtask test`.
pub(crate) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    if !options.env {
        attacks::check(machine)?;
        licences::check(machine)?;
        layout::run(machine)?;
        source_date::check(machine)?;
    }
    let tools = setup::run(machine)?;
    if !options.quick && !options.env {
        format(machine)?;
    }
    let built = build::Options {
        quick: options.quick,
        ..build::Options::default()
    };
    build::everything(machine, &tools, &built)?;
    let mut known = variables(machine, &tools)?;
    known.push(("MC2_SOFTHSM", setup::softhsm()?));
    setup::emulators()?;
    if !options.quick {
        known.push(tables(machine)?);
        let wheel = python::wheel(machine, &tools)?;
        known.extend(wheel.map(|wheel| ("MC2_WHEEL", wheel)));
    }
    if options.env {
        for (name, value) in known {
            println!("export {name}='{}'", value.display());
        }
        return Ok(());
    }
    if !options.quick {
        lints(machine, &tools)?;
    }
    let workloads = machine.workloads()?;
    for package in components::packages(machine)? {
        if (package.slow && options.reproducible_sql)
            || (package.name == "wordcount" && !options.quick)
        {
            reproducible::check(machine, &tools, &package, &workloads)?;
        }
    }
    say("running the tests");
    let mut command = machine.cargo();
    command
        .args(["test", "--release", "--locked", "--no-fail-fast"])
        .args(natively())
        .args(&options.more);
    if options.quick {
        if !options.more.iter().any(|argument| argument == "--") {
            command.arg("--");
        }
        command.args(attacks::functions(machine, &SLOW)?.flat_map(|name| ["--skip", name]));
    }
    command.envs(known);
    give_way_to(&mut command)
}

/// Where everything is but the tables.
pub(crate) fn variables(machine: &Machine, tools: &Tools) -> Outcome<Vec<(&'static str, PathBuf)>> {
    let mut known = vec![
        ("MC2_BINARIES", machine.released()?),
        ("MC2_WORKLOADS", machine.workloads()?),
        ("MC2_PYTHON", tools.python.clone()),
        ("MC2_PYTHON_SERVICE", tools.python_service.clone()),
    ];
    let xgboost = tools.python_xgboost.clone();
    known.extend(xgboost.map(|python| ("MC2_PYTHON_XGBOOST", python)));
    let notebook = tools.python_notebook.clone();
    known.extend(notebook.map(|python| ("MC2_PYTHON_NOTEBOOK", python)));
    Ok(known)
}

/// Where the TPC-H tables are, made where they are not there yet.
pub(crate) fn tables(machine: &Machine) -> Outcome<(&'static str, PathBuf)> {
    Ok(("MC2_TPCH", tpch::tables(machine, SCALE)?))
}

fn natively() -> impl Iterator<Item = &'static str> {
    std::iter::once("--workspace").chain(ONLY_WASM.into_iter().flat_map(|name| ["--exclude", name]))
}

fn format(machine: &Machine) -> Outcome<()> {
    say("cargo fmt --check");
    run_command(
        machine
            .cargo()
            .args(["fmt", "--all", "--", "--check", "-l"]),
    )
    .map_err(|failure| {
        Failure::new(format!(
            "{failure}\nthe files above are not as `cargo fmt --all` leaves them"
        ))
    })
}

fn lints(machine: &Machine, tools: &Tools) -> Outcome<()> {
    say("cargo clippy");
    run_command(
        machine
            .cargo()
            .args([
                "clippy",
                "--quiet",
                "--release",
                "--locked",
                "--all-targets",
            ])
            .args(natively())
            .args(["--", "--deny=warnings"]),
    )?;
    documentation(machine)?;
    say("cargo clippy for the components");
    for package in components::packages(machine)? {
        let target_dir = components::target_dir(machine, &package);
        let mut command = for_wasm(machine, tools, &target_dir, "clippy")?;
        run_command(command.args(["--package", &package.name, "--", "--deny=warnings"]))?;
    }
    say("cargo check of the verifiers of evidence for Wasm");
    let target_dir = components::quick_target_dir(machine);
    let mut command = for_wasm(machine, tools, &target_dir, "check")?;
    run_command(command.args(["--package", "mc2-attestation", "--features", "verify"]))
}

/// A command of cargo's for the components' target.
fn for_wasm(machine: &Machine, tools: &Tools, target_dir: &Path, verb: &str) -> Outcome<Command> {
    let site = Site {
        workspace: &machine.root,
        cargo_home: &machine.cargo_home,
        sysroot: &tools.sysroot.path,
        target_dir,
        shims: &machine.cache.join("shims"),
    };
    let mut command = machine.cargo();
    site.prepare(machine, tools, &mut command)?;
    command.args([verb, "--quiet", "--locked", "--target", "wasm32-wasip2"]);
    Ok(command)
}

fn documentation(machine: &Machine) -> Outcome<()> {
    say("cargo doc");
    run_command(
        machine
            .cargo()
            .env("RUSTDOCFLAGS", "--deny=warnings")
            .args(["doc", "--quiet", "--release", "--locked", "--no-deps"])
            .args(natively()),
    )
}

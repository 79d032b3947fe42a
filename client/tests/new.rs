//! What `mc2 new` makes passes its own test, builds to a component and runs on plain Wasmtime.

// clippy.toml's exception is for test functions only, not for their helpers.
#![allow(clippy::unwrap_used)]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use mc2_client::{
    bare::{BareOptions, BareOutcome, run_bare},
    new::{SdkSource, create},
};

/// Kept between runs, so that only the first one compiles the SDK's dependencies.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/new-workload");

#[test]
fn a_new_workload_with_the_embedded_sdk_builds_passes_its_test_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let workload = create("longest-lines", folder.path(), SdkSource::Embedded).unwrap();
    cargo(&workload, &["test"]);
    cargo(&workload, &["wasm"]);

    let component = Path::new(TARGET).join("wasm32-wasip2/release/longest-lines.wasm");
    let table = folder.path().join("table.csv");
    let outcome = run(options(
        &component,
        &workload,
        &table,
        &["2", "--output", "lines"],
    ));
    assert_eq!(outcome.result, Ok(()), "{:?}", outcome.error);
    let stdout = String::from_utf8(outcome.stdout).unwrap();
    assert_eq!(
        stdout,
        "  65 characters in line 1\n  61 characters in line 5\n"
    );
    assert_eq!(
        std::fs::read_to_string(&table).unwrap(),
        "line,length\n1,65\n5,61\n"
    );

    let outcome = run(options(&component, &workload, &table, &["many"]));
    assert!(outcome.result.is_err());
    let error = outcome.error.unwrap();
    assert_eq!(error, "TOP is `many`: invalid digit found in string");
}

#[test]
fn a_new_workload_with_the_sdk_of_a_checkout_passes_its_test() {
    let folder = tempfile::tempdir().unwrap();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk");
    let workload = create("from-checkout", folder.path(), SdkSource::Path(sdk)).unwrap();
    cargo(&workload, &["test"]);
}

fn cargo(folder: &Path, arguments: &[&str]) {
    // What this workspace was built with is there; nothing is fetched in a test.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    std::fs::copy(lock, folder.join("Cargo.lock")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--offline")
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", TARGET)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo {arguments:?} failed:\n{stderr}"
    );
}

fn options(component: &Path, workload: &Path, table: &Path, arguments: &[&str]) -> BareOptions {
    let outputs = if arguments.contains(&"--output") {
        vec![("lines".to_owned(), table.to_owned())]
    } else {
        Vec::<(String, PathBuf)>::new()
    };
    BareOptions {
        inputs: vec![("text".to_owned(), workload.join("sample.txt"))],
        outputs,
        arguments: arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect(),
        memory: 256 << 20,
        ..BareOptions::new(component)
    }
}

fn run(options: BareOptions) -> BareOutcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run_bare(options)).unwrap()
}

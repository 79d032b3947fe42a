//! The host's OpenAPI document against the host: Schemathesis makes up requests, good ones and bad
//! ones, and holds every answer against what the document says.
//!
//! `cargo xtask test` sets `MC2_PYTHON_SERVICE` to a Python that has the packages of
//! `xtask/requirements-service.txt`.

use std::{path::Path, process::Stdio};

use mc2_host::{Address, Host, HostConfig, Launcher, Spawn};
use mc2_tests::program;
use mc2_wire::routes::OPENAPI_PATH;
use tempfile::TempDir;
use tokio::process::Command;

/// What of it is asked. Left out is `positive_data_acceptance`: that a request has the document's
/// shape does not make it one the host can do, since digests must be those of what is stored and
/// signatures those of somebody's key.
const SETTINGS: &str = r#"
seed = 20261130

[generation]
max-examples = 40
database = "none"

[checks.positive_data_acceptance]
enabled = false
"#;

/// Rows 14 and 39: whatever is sent, the answer is one of those the document lists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_to_requests_that_schemathesis_makes_up_is_as_the_document_says() {
    let Some(python) = std::env::var_os("MC2_PYTHON_SERVICE") else {
        eprintln!("skipped: MC2_PYTHON_SERVICE is not set; `cargo xtask test` sets it");
        return;
    };
    let folder = TempDir::with_prefix("mc2-openapi-").expect("a folder");
    let config = HostConfig {
        client_listen: vec![Address::Tcp(([127, 0, 0, 1], 0).into())],
        durable: false,
        ..HostConfig::new(
            folder.path().join("host"),
            Launcher::Spawn(Spawn::simulator(program("mc2-runtime-sim"), "vm")),
        )
    };
    let host = Host::start(config).await.expect("a host");
    let Address::Tcp(address) = &host.client_addresses()[0] else {
        panic!("a port was asked for");
    };
    std::fs::write(folder.path().join("schemathesis.toml"), SETTINGS).expect("settings");
    let run = Command::new(Path::new(&python).with_file_name("schemathesis"))
        .args(["run", "--no-color", "--request-timeout", "60"])
        .arg(format!("http://{address}{OPENAPI_PATH}"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("schemathesis");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    // It did ask.
    assert!(said.contains("No issues found"), "{said}");
    host.shutdown().await;
}

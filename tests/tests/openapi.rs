//! The host's OpenAPI document against the host: Schemathesis makes up requests, good ones and bad
//! ones, and holds every answer against what the document says.
//!
//! `cargo xtask test` sets `MC2_PYTHON_SERVICE` to a Python that has the packages of
//! `xtask/requirements-service.txt`.

use std::{ffi::OsString, path::Path, process::Stdio};

use mc2_client::http::Request;
use mc2_host::Address;
use mc2_tests::{Run, Stack, StackOptions};
use mc2_wire::routes::OPENAPI_PATH;
use tempfile::TempDir;
use tokio::process::Command;

/// What of it is asked. Left out is `positive_data_acceptance`: that a request has the document's
/// shape does not make it one the host can do, since digests must be those of what is stored and
/// signatures those of somebody's key. A range that is none is refused with 416.
const SETTINGS: &str = r#"
seed = 20261130

[generation]
max-examples = 15
database = "none"

[checks.negative_data_rejection]
expected-statuses = [400, 404, 405, 409, 410, 413, 416, 422]

[checks.positive_data_acceptance]
enabled = false
"#;

/// Rows 14 and 39: whatever is sent, the answer is one of those the document lists, whether or not
/// there is what is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_to_requests_that_schemathesis_makes_up_is_as_the_document_says() {
    let Some(python) = std::env::var_os("MC2_PYTHON_SERVICE") else {
        eprintln!("skipped: MC2_PYTHON_SERVICE is not set; `cargo xtask test` sets it");
        return;
    };
    let stack = Stack::with(StackOptions {
        listen: vec![Address::Tcp(([127, 0, 0, 1], 0).into())],
        ..StackOptions::default()
    })
    .await;
    let addresses = stack.host.client_addresses();
    let tcp = addresses.iter().find_map(|address| match address {
        Address::Tcp(address) => Some(*address),
        _ => None,
    });
    let served = Request::get(OPENAPI_PATH.to_owned(), 1 << 22);
    let served = stack.http().send(&served).await.expect("the document");
    let operations = operations(&served.body);
    let document = format!("http://{}{OPENAPI_PATH}", tcp.expect("a port"));
    ask(&python, &document, SETTINGS, operations).await;

    // With what there is: a session, a job of it that has ended, an object, a component.
    let run = Run::of("hostile", &["copy", "data", "result"]);
    let run = run.input("data", b"abc").output("result");
    let finished = stack.run(&run).await.expect("a run");
    let object = stack.seal("more", &[1; 1000]).await.object;
    let component = stack.component("hostile").await;
    let (session, card) = (finished.session, *stack.me.card().digest());
    let there = format!(
        r#"
[parameters]
"path.session" = "{session}"
"path.number" = 1
"path.object" = "{object}"
"path.index" = 0
"path.digest" = "{component}"
"query.party" = "{card}"
"query.to" = "{card}"
"query.wait" = 0
"#
    );
    ask(
        &python,
        &document,
        &format!("{SETTINGS}{there}"),
        operations,
    )
    .await;
    // After all that it goes on.
    stack.run(&run).await.expect("a run");
}

/// How many operations a document has, but for its own, which Schemathesis leaves out.
fn operations(document: &[u8]) -> usize {
    let document: serde_json::Value = serde_json::from_slice(document).expect("the document");
    let paths = document["paths"].as_object().expect("its paths");
    let of_path = |path: &serde_json::Value| path.as_object().expect("a path").len();
    paths.values().map(of_path).sum::<usize>() - 1
}

async fn ask(python: &OsString, document: &str, settings: &str, operations: usize) {
    let folder = TempDir::with_prefix("mc2-openapi-").expect("a folder");
    std::fs::write(folder.path().join("schemathesis.toml"), settings).expect("settings");
    let run = Command::new(Path::new(python).with_file_name("schemathesis"))
        .args(["--no-color", "run", "--request-timeout", "60"])
        .arg(document)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("schemathesis");
    let said = String::from_utf8_lossy(&run.stdout);
    let error = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{error}");
    // It did ask: every operation, and enough of them.
    for all in [
        format!("Selected: {operations}/{operations}"),
        format!("Tested: {operations}"),
    ] {
        assert!(said.lines().any(|line| line.trim() == all), "{all}\n{said}");
    }
    let passed = said.lines().find_map(|line| {
        let (generated, passed) = line.trim().split_once(" generated, ")?;
        let passed = passed.strip_suffix(" passed")?;
        (generated == passed).then(|| passed.parse::<u64>().ok())?
    });
    assert!(passed.is_some_and(|passed| passed > 300), "{said}");
}

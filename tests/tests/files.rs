//! One suite of file behaviour holds in the enclave, in both engine profiles, without one, and on
//! plain Wasmtime: what a workload's author sees at home is what the enclave does.

mod plain;

use std::{collections::BTreeMap, fs};

use mc2_client::bare::{BareOptions, run_bare};
use mc2_sandbox::{EngineProfile, GuestKey};
use mc2_tests::{Run, Stack, StackOptions, component};
use tempfile::TempDir;

/// Spans segments and ends in none.
fn data() -> Vec<u8> {
    (0..300_007_u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn held(stdout: &str) -> BTreeMap<String, String> {
    let failed: Vec<&str> = stdout
        .lines()
        .filter(|line| line.starts_with("FAILED"))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let verdicts = stdout.lines().filter_map(|line| {
        let (verdict, name) = line.split_once(' ')?;
        let verdict = ["ok", "skipped"]
            .into_iter()
            .find(|known| *known == verdict)?;
        Some((name.split(':').next()?.to_owned(), verdict.to_owned()))
    });
    let verdicts: BTreeMap<_, _> = verdicts.collect();
    assert!(
        verdicts.len() > 50,
        "only {} claims:\n{stdout}",
        verdicts.len()
    );
    verdicts
}

async fn in_the_sandbox(profile: &str) {
    let options = StackOptions {
        engine_profile: profile.to_owned(),
        ..Default::default()
    };
    let stack = Stack::with(options).await;
    let run = Run::of("conformance", &["--sandbox"])
        .input("data", data())
        .output("result")
        .output("files/");
    let finished = stack.run(&run).await.expect("a receipt");
    let claims = held(&finished.stdout());
    assert_eq!(finished.reason(), "succeeded");
    // This run has no folder among its inputs; another one here does.
    let skipped: Vec<_> = claims
        .iter()
        .filter(|(_, verdict)| *verdict == "skipped")
        .collect();
    let folder = (
        "input_folder_is_read_file_by_file".to_owned(),
        "skipped".to_owned(),
    );
    assert_eq!(skipped, [(&folder.0, &folder.1)]);
    outputs_are_right(
        &finished.outputs["result"],
        &finished.outputs["files/a.txt"],
        &finished.outputs["files/under/b.txt"],
    );
    let files = finished
        .outputs
        .keys()
        .filter(|name| name.starts_with("files/"));
    assert_eq!(files.count(), 2, "{:?}", finished.outputs.keys());
}

fn outputs_are_right(result: &[u8], a: &[u8], b: &[u8]) {
    assert_eq!(result, b"what the conformance suite leaves\n");
    assert_eq!((a, b), (&b"a"[..], &b"b"[..]));
}

#[tokio::test]
async fn files_behave_in_the_sandbox() {
    in_the_sandbox("vm").await;
}

#[tokio::test]
async fn files_behave_in_the_sandbox_without_signals_and_guards() {
    in_the_sandbox("sgx").await;
}

#[tokio::test]
async fn files_behave_without_an_enclave() {
    for profile in [EngineProfile::Vm, EngineProfile::Sgx] {
        let folder = TempDir::new().expect("a folder");
        let input = folder.path().join("data");
        fs::write(&input, data()).expect("a file");
        let (result, files) = (folder.path().join("result"), folder.path().join("files"));
        let options = BareOptions {
            inputs: vec![("data".to_owned(), input)],
            outputs: vec![
                ("result".to_owned(), result.clone()),
                ("files/".to_owned(), files.clone()),
            ],
            arguments: vec!["--sandbox".to_owned()],
            memory: 1 << 30,
            profile,
            ..BareOptions::new(component("conformance"))
        };
        let outcome = run_bare(options).await.expect("a run");
        let claims = held(&String::from_utf8_lossy(&outcome.stdout));
        assert_eq!(outcome.result, Ok(()), "{:?}", outcome.error);
        let skipped = claims.values().filter(|verdict| *verdict == "skipped");
        assert_eq!(skipped.count(), 1, "{claims:?}");
        let read = |path| fs::read(path).expect("an output");
        outputs_are_right(
            &read(result),
            &read(files.join("a.txt")),
            &read(files.join("under/b.txt")),
        );
    }
}

/// What `hostile keys NAME…` prints of `/run/mc2/keys`.
fn keys(there: &str, asked: &[(&str, Option<&[u8]>)]) -> String {
    let mut text = format!("there: {there}\n");
    for (name, key) in asked {
        text.push_str(&match key {
            Some(key) => format!("{name} = {key:02x?}\n"),
            None => format!("{name} is none\n"),
        });
        for change in ["write", "append", "remove", "rename"] {
            text.push_str(&format!("refused {change} {name}\n"));
        }
    }
    text
}

#[tokio::test]
async fn a_guest_reads_the_keys_it_is_handed_and_no_other() {
    let handed: [(&str, &[u8]); 2] = [("footer", b"16 bytes of key."), ("columns", &[0, 0xff])];
    let key = |(name, bytes): (&str, &[u8])| GuestKey::new(name, bytes.to_vec().into());
    for profile in [EngineProfile::Vm, EngineProfile::Sgx] {
        let arguments = ["keys", "footer", "columns", "any", "../job.json"];
        let options = BareOptions {
            keys: handed.map(key).into(),
            arguments: arguments.map(str::to_owned).into(),
            profile,
            ..BareOptions::new(component("hostile"))
        };
        let outcome = run_bare(options).await.expect("a run");
        assert_eq!(outcome.result, Ok(()), "{:?}", outcome.error);
        let [footer, columns] = handed.map(|(name, key)| (name, Some(key)));
        let expected = keys(
            "columns footer",
            &[footer, columns, ("any", None), ("../job.json", None)],
        );
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), expected);
    }
}

#[tokio::test]
async fn a_guest_that_is_handed_no_key_finds_no_folder_of_keys() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["keys", "any"]);
    let finished = stack.run(&run).await.expect("a receipt");
    assert_eq!(finished.stdout(), keys("", &[("any", None)]));
}

#[tokio::test]
async fn files_behave_on_plain_wasmtime() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["in", "out/files", "tmp", "mc2"] {
        fs::create_dir_all(at(name)).expect("a folder");
    }
    fs::write(at("in/data"), data()).expect("a file");
    fs::write(at("mc2/job.json"), plain::JOB).expect("a file");
    fs::write(at("mc2/progress"), "").expect("a file");
    fs::write(at("mc2/error"), "").expect("a file");
    let stdout = plain::run(&component("conformance"), folder.path()).await;
    held(&stdout);
    let read = |path| fs::read(at(path)).expect("an output");
    outputs_are_right(
        &read("out/result"),
        &read("out/files/a.txt"),
        &read("out/files/under/b.txt"),
    );
}

#[tokio::test]
async fn a_folder_of_files_is_read_and_written_file_by_file() {
    let stack = Stack::start().await;
    let folder = TempDir::new().expect("a folder");
    fs::create_dir_all(folder.path().join("below/deeper")).expect("folders");
    for (name, length) in [
        ("one", 0),
        ("below/two", 65_481),
        ("below/deeper/three", 200_000),
    ] {
        fs::write(folder.path().join(name), vec![7; length]).expect("a file");
    }
    let run = Run::of("conformance", &["--only", "input_"]);
    let policy = {
        let run = run.clone().input("data", data()).input("more", Vec::new());
        run.policy(&stack.me)
    };
    let session = stack.session_under(&run, policy).await.expect("a session");
    let data = stack.seal("data", &data()).await;
    let more = stack.seal_path("more", folder.path()).await;
    assert!(more.manifest.is_folder());
    let objects = BTreeMap::from([
        (mc2_tests::parse("data"), data.object),
        (mc2_tests::parse("more"), more.object),
    ]);
    let keys = vec![
        mc2_tests::release("data", &data, 1),
        mc2_tests::release("more", &more, 1),
    ];
    let now = std::time::SystemTime::now();
    session
        .release(&stack.me, &stack.ledger, keys, now)
        .await
        .expect("a release");
    let finished = stack
        .submit(&session, &run, &objects)
        .await
        .expect("a receipt");
    let stdout = finished.stdout();
    assert_eq!(finished.reason(), "succeeded", "{stdout}");
    assert!(
        stdout.contains("ok input_folder_is_read_file_by_file"),
        "{stdout}"
    );
}

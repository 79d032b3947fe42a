//! Row 36: what a guest chooses of a folder (names, their number, each file's length) reaches those
//! who hold the key, and of it the host sees one padded length; an owner's own folder shows its
//! files by number.

use std::{collections::BTreeMap, fs, path::Path};

use mc2_client::http::Request;
use mc2_protocol::{Manifest, policy::Policy, sealed::manifest::Content};
use mc2_tests::{Finished, Run, Stack, policy_of};

/// A run that fills the folder `files`, as `PATH=LENGTH`.
fn filling(files: &[&str]) -> Run {
    let arguments = [&["fill-folder", "files"], files].concat();
    Run::of("hostile", &arguments).output("files/")
}

/// A policy of one party that pads.
fn padded(stack: &Stack, run: &Run, padding: &str) -> Policy {
    let wasm = fs::read(&run.component).expect("the component");
    let job = format!(
        "submit = [\"me\"]\nruns = 100\nlimits = {{ memory = \"64MiB\", time = \"60s\", \
         output = \"256KiB\" }}\n[[job.step]]\ncomponent = \"workload\"\nargs = \"any\"\n\
         padding = {padding}\n\
         outputs = {{ \"files/\" = [\"me\"], stdout = [], stderr = [], error = [] }}"
    );
    policy_of(&[&stack.me], &mc2_protocol::Digest::of(&wasm), &[], &job)
}

async fn run(stack: &Stack, padding: &str, files: &[&str]) -> Finished {
    let run = filling(files);
    let session = stack
        .session_under(&run, padded(stack, &run, padding))
        .await;
    let session = session.expect("a session");
    let finished = stack.submit(&session, &run, &BTreeMap::new()).await;
    finished.expect("a receipt")
}

/// What the host has of the one object of a run, by its part: its bytes.
async fn stored(stack: &Stack, finished: &Finished) -> BTreeMap<String, Vec<u8>> {
    let [output] = &finished.receipt.outputs[..] else {
        panic!("{:?}", finished.receipt.outputs);
    };
    let mut parts = BTreeMap::new();
    for name in ["manifest", "files/0", "digests/0"] {
        let path = format!("/v1/objects/{}/{name}", output.object);
        let answer = stack.http().send(&Request::get(path, 1 << 24)).await;
        parts.insert(name.to_owned(), answer.expect("it").body.to_vec());
    }
    parts
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Row 36.
#[tokio::test]
async fn the_host_sees_one_padded_length_of_a_folder_and_its_recipient_all_of_it() {
    let stack = Stack::start().await;
    let ways: [&[&str]; 4] = [
        &[],
        &["encoded-in-a-name=0"],
        &["a=1", "b=2", "c/d=3", "c/encoded-in-a-name=0"],
        &["one=90000"],
    ];
    for padding in ["{ fixed = \"100KiB\" }", "\"power-of-two\""] {
        let mut seen = None;
        for files in ways {
            let finished = run(&stack, padding, files).await;
            assert_eq!(finished.reason(), "succeeded", "{files:?}");
            let names: Vec<String> = finished
                .outputs
                .iter()
                .map(|(name, bytes)| {
                    let path = name.strip_prefix("files/").expect("a file of it");
                    format!("{path}={}", bytes.len())
                })
                .collect();
            assert_eq!(names, files);

            let stored = stored(&stack, &finished).await;
            let manifest = Manifest::parse(&stored["manifest"]).expect("a manifest");
            assert!(matches!(manifest.content(), Content::Packed(_)));
            for bytes in stored.values() {
                assert!(!contains(bytes, "encoded-in-a-name"));
            }
            let lengths: Vec<usize> = stored.values().map(Vec::len).collect();
            if padding.contains("fixed") {
                assert_eq!(*seen.get_or_insert(lengths.clone()), lengths, "{files:?}");
            } else {
                assert!(manifest.length().is_power_of_two(), "{}", manifest.length());
            }
        }
    }
}

/// Row 36: names are output like any other.
#[tokio::test]
async fn the_paths_of_a_folder_count_as_output() {
    let stack = Stack::start().await;
    // Nothing in any of them, and 255 bytes of table for each.
    let names: Vec<String> = (0..1_100)
        .map(|number| format!("{}{number:05}=0", "x".repeat(240)))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (files, reason) in [(1_000, "succeeded"), (1_100, "output-limit")] {
        let finished = run(&stack, "\"exact\"", &names[..files]).await;
        assert_eq!(finished.reason(), reason, "{files}");
        let expected = if reason == "succeeded" { files } else { 0 };
        assert_eq!(finished.outputs.len(), expected);
    }
}

/// Row 36, for what an owner seals: names stay with it, and even how long they are.
#[tokio::test]
async fn the_host_knows_an_owner_s_files_by_number() {
    let stack = Stack::start().await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let seal = async |names: &[&str]| {
        let folder = folder.path().join(names.concat());
        for name in names {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, b"12345").expect("a file");
        }
        let sealed = stack.seal_path("days", &folder).await;
        stack
            .host_folder()
            .join("objects")
            .join(sealed.object.to_string())
    };
    let short = seal(&["a.csv", "b.csv"]).await;
    let long = seal(&["patients/known-to-nobody.csv", "patients/of-2026.csv"]).await;
    let shape = |object: &Path| {
        let mut files = Vec::new();
        for part in ["files", "digests"] {
            for entry in fs::read_dir(object.join(part)).expect("a folder") {
                let path = entry.expect("a file").path();
                let bytes = fs::read(&path).expect("a file");
                assert!(!contains(&bytes, "patients"));
                files.push((path.file_name().map(ToOwned::to_owned), bytes.len()));
            }
        }
        let manifest = fs::read(object.join("manifest")).expect("a manifest");
        assert!(!contains(&manifest, "patients"));
        files.push((None, manifest.len()));
        files.sort();
        files
    };
    assert_eq!(shape(&short), shape(&long));
}

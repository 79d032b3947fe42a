//! What a workload sees of its job, natively, over folders made for each test.

// clippy.toml's exception is for test functions only, not for their helpers.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use mc2_guest::{Description, InputDescription, Job, Limits, OutputDescription};
use tempfile::TempDir;

/// A root folder as the runtime would show it, with `description` as its job.
fn described(description: &Description) -> TempDir {
    let root = TempDir::new().unwrap();
    for folder in ["in", "out", "tmp", "run/mc2"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let text = serde_json::to_vec(description).unwrap();
    fs::write(root.path().join("run/mc2/job.json"), text).unwrap();
    root
}

fn description() -> Description {
    Description {
        version: 1,
        name: "fraud/train".to_owned(),
        component: "xgboost".to_owned(),
        arguments: vec!["train".to_owned(), "--label".to_owned()],
        instance: 1,
        instances: 3,
        inputs: vec![InputDescription {
            name: "orders".to_owned(),
            media_type: "text/csv".to_owned(),
            length: 4,
            folder: false,
        }],
        outputs: vec![
            OutputDescription {
                name: "model".to_owned(),
                media_type: "application/json".to_owned(),
                folder: false,
            },
            OutputDescription {
                name: "parts".to_owned(),
                media_type: "application/octet-stream".to_owned(),
                folder: true,
            },
        ],
        limits: Some(Limits {
            memory: 1,
            time_ms: 2,
            output: 3,
            scratch: 4,
        }),
    }
}

fn message<T>(result: mc2_guest::Result<T>) -> String {
    result.err().expect("an error").to_string()
}

fn write(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn a_described_job_is_what_its_description_says() {
    let root = described(&description());
    let job = Job::open_at(root.path()).unwrap();
    assert_eq!(job.description(), &description());
    assert_eq!(job.name(), "fraud/train");
    assert_eq!(job.arguments(), ["train", "--label"]);
    assert_eq!(job.limits().unwrap().scratch, 4);
    let orders = job.input("orders").unwrap();
    assert_eq!(
        (orders.media_type(), orders.len(), orders.is_folder()),
        ("text/csv", 4, false)
    );
    assert_eq!(job.output_media_type("model"), Some("application/json"));
    assert_eq!(job.output_media_type("parts"), None);
    assert_eq!(job.output_media_type("orders"), None);
}

#[test]
fn a_job_without_description_is_derived_from_the_folder_in() {
    let root = TempDir::new().unwrap();
    write(root.path(), "in/b", b"12345");
    write(root.path(), "in/a/x/1", b"123");
    write(root.path(), "in/a/2", b"12");
    fs::create_dir(root.path().join("out")).unwrap();
    let job = Job::open_at(root.path()).unwrap().with_arguments(["7"]);
    assert_eq!(job.arguments(), ["7"]);
    assert!(job.limits().is_none());
    let inputs: Vec<_> = job
        .inputs()
        .map(|i| (i.name().to_owned(), i.len(), i.is_folder()))
        .collect();
    assert_eq!(
        inputs,
        [("a".to_owned(), 5, true), ("b".to_owned(), 5, false)]
    );
    job.output("anything").unwrap().finish().unwrap();
    assert!(message(job.output("../b")).contains("is no name"));
}

#[test]
fn a_description_of_another_version_is_refused() {
    let root = described(&Description {
        version: 2,
        ..description()
    });
    let message = message(Job::open_at(root.path()));
    assert!(
        message.contains("version 2 of the job's description"),
        "{message}"
    );
}

#[test]
fn a_description_of_a_later_runtime_may_say_more() {
    let root = described(&description());
    let mut value = serde_json::to_value(description()).unwrap();
    value["later"] = "more".into();
    fs::write(root.path().join("run/mc2/job.json"), value.to_string()).unwrap();
    assert_eq!(
        Job::open_at(root.path()).unwrap().description(),
        &description()
    );
}

#[test]
fn a_broken_description_is_an_error_and_not_a_derived_job() {
    let root = described(&description());
    fs::write(root.path().join("run/mc2/job.json"), "{").unwrap();
    assert!(message(Job::open_at(root.path())).contains("job.json: EOF while parsing"));
}

#[test]
fn a_missing_input_is_refused_with_those_there_are() {
    let root = described(&description());
    let job = Job::open_at(root.path()).unwrap();
    let message = message(job.input("lineitem"));
    assert_eq!(
        message,
        "no input is called `lineitem`; this job has orders"
    );
}

#[test]
fn an_undeclared_output_is_refused_with_those_there_are() {
    let root = described(&description());
    let job = Job::open_at(root.path()).unwrap();
    let undeclared = message(job.output("trees"));
    assert_eq!(
        undeclared,
        "the job declares no output `trees`; it declares model, parts"
    );
    assert_eq!(message(job.check_output("trees")), undeclared);
    assert!(job.check_output("model").is_ok());
    assert!(message(job.output("parts")).contains("as a folder"));
    assert!(message(job.output_folder("model")).contains("as a file"));
}

#[test]
fn an_output_is_whole_after_finish_and_may_be_overwritten_before() {
    let root = described(&description());
    let job = Job::open_at(root.path()).unwrap();
    let mut model = job.output("model").unwrap();
    model.write_all(b"0000 trees").unwrap();
    model.seek(SeekFrom::Start(0)).unwrap();
    model.write_all(b"0042").unwrap();
    model.finish().unwrap();
    assert_eq!(
        fs::read(root.path().join("out/model")).unwrap(),
        b"0042 trees"
    );
}

#[test]
fn a_file_outside_its_output_folder_is_refused() {
    let root = described(&description());
    let parts = Job::open_at(root.path())
        .unwrap()
        .output_folder("parts")
        .unwrap();
    for path in ["../model", "/model", "a/../../model", ""] {
        let message = message(parts.file(path));
        assert!(
            message.contains("a path within the folder is wanted"),
            "{message}"
        );
    }
    parts.file("a/b/c").unwrap().finish().unwrap();
    assert!(root.path().join("out/parts/a/b/c").is_file());
}

#[test]
fn a_folders_files_come_in_order_with_their_paths() {
    let root = TempDir::new().unwrap();
    for path in ["b", "a/2", "a/1", "a-1"] {
        write(root.path(), &format!("in/days/{path}"), path.as_bytes());
    }
    let days = Job::open_at(root.path()).unwrap().input("days").unwrap();
    let files = days.files().unwrap();
    let names: Vec<_> = files.iter().map(|file| file.name()).collect();
    assert_eq!(names, ["a-1", "a/1", "a/2", "b"]);
    let mut text = String::new();
    files[1]
        .reader()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "a/1");
    assert!(message(days.reader()).contains("is a folder"));
    assert!(message(days.random()).contains("is a folder"));
}

#[test]
fn random_reads_equal_the_file() {
    let root = TempDir::new().unwrap();
    let content: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
    write(root.path(), "in/data", &content);
    let data = Job::open_at(root.path())
        .unwrap()
        .input("data")
        .unwrap()
        .random()
        .unwrap();
    for (offset, length) in [
        (0, 10),
        (131_071, 3),
        (65_535, 70_000),
        (199_999, 1),
        (200_000, 0),
    ] {
        let mut bytes = vec![0; length];
        data.read_exact_at(&mut bytes, offset).unwrap();
        let start = usize::try_from(offset).unwrap();
        assert_eq!(bytes, content[start..start + length]);
    }
    let error = data.read_exact_at(&mut [0; 2], 199_999).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn progress_is_throttled_but_the_end_is_always_told() {
    let root = described(&description());
    let job = Job::open_at(root.path()).unwrap();
    for step in 0..=1_000 {
        job.progress(f64::from(step) / 1_000.0, "counting\nwords");
    }
    let text = fs::read_to_string(root.path().join("run/mc2/progress")).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.first(), Some(&"0.0000 counting words"));
    assert_eq!(lines.last(), Some(&"1.0000 counting words"));
    assert!(lines.len() < 100, "{} lines", lines.len());
}

#[test]
fn progress_says_nothing_where_nobody_listens() {
    let root = TempDir::new().unwrap();
    Job::open_at(root.path()).unwrap().progress(0.5, "half");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_key_is_there_only_where_the_policy_hands_it_over() {
    let root = described(&description());
    write(root.path(), "run/mc2/keys/footer", b"0123456789abcdef");
    let job = Job::open_at(root.path()).unwrap();
    assert_eq!(job.key("footer").unwrap().as_bytes(), b"0123456789abcdef");
    assert!(message(job.key("column")).contains("the policy would have to hand"));
    assert!(message(job.key("../job.json")).contains("is no name"));
}

#[test]
fn peers_are_streams_to_every_other_instance() {
    let root = described(&description());
    for rank in [0, 2] {
        write(root.path(), &format!("run/mc2/peers/{rank}/in"), &[rank; 3]);
        write(root.path(), &format!("run/mc2/peers/{rank}/out"), b"");
    }
    let peers = Job::open_at(root.path()).unwrap().peers().unwrap();
    assert_eq!((peers.rank(), peers.size()), (1, 3));
    assert_eq!(peers.others().collect::<Vec<_>>(), [0, 2]);
    let mut received = Vec::new();
    peers
        .receive_from(2)
        .unwrap()
        .read_to_end(&mut received)
        .unwrap();
    assert_eq!(received, [2; 3]);
    let mut stream = peers.send_to(0).unwrap();
    stream.write_all(b"gradient").unwrap();
    stream.finish().unwrap();
    assert_eq!(
        fs::read(root.path().join("run/mc2/peers/0/out")).unwrap(),
        b"gradient"
    );
    assert_eq!(message(peers.send_to(1)), "instance 1 of 3 has no peer 1");
    assert_eq!(
        message(peers.receive_from(3)),
        "instance 1 of 3 has no peer 3"
    );
}

#[test]
fn a_description_with_an_impossible_instance_is_refused() {
    let root = described(&Description {
        instance: 3,
        ..description()
    });
    let message = message(Job::open_at(root.path()).unwrap().peers());
    assert!(
        message.contains("instance 3 of 3, which can't be"),
        "{message}"
    );
}

#[test]
fn a_wrong_command_line_is_refused_with_the_argument_at_fault() {
    let said = |arguments: &[&str]| {
        let job = Job::open_at("/nonexistent")
            .unwrap()
            .with_arguments(arguments.iter().copied());
        let mut options = job.options();
        let result = options
            .value::<u32>("--rounds")
            .and_then(|_| options.next::<u8>("TOP"));
        message(result.and_then(|_| options.finish()))
    };
    assert_eq!(said(&["--rounds"]), "--rounds wants a value");
    assert_eq!(
        said(&["--rounds", "1", "--rounds=2"]),
        "--rounds is given twice"
    );
    assert_eq!(
        said(&["--rounds", "1e9"]),
        "--rounds is `1e9`: invalid digit found in string"
    );
    assert_eq!(
        said(&["300"]),
        "TOP is `300`: number too large to fit in target type"
    );
    assert_eq!(
        said(&["--round", "3"]),
        "the argument `--round` is not expected here"
    );
    assert_eq!(said(&["3", "4"]), "the argument `4` is not expected here");
}

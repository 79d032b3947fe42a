//! `mc2-run` and `mc2` over a real simulated runtime, by what they print, write and end with.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    fs, io::Write as _, os::unix::process::ExitStatusExt as _, path::Path, process::Stdio,
    time::Duration,
};

use mc2_tests::{Place, component, ended, process, text, until};
use serde_json::Value;

#[test]
fn a_file_goes_in_sealed_and_comes_out_opened() {
    let place = Place::new();
    let output = place.copy(&[]);
    let stderr = ended(&output, 0);
    assert_eq!(stderr.matches("NOT SECURE").count(), 1, "{stderr}");
    assert_eq!(
        fs::read(place.at("copy.txt")).unwrap(),
        b"one\ntwo\nthree\n"
    );
    place.assert_clean();
}

#[test]
fn standard_output_is_the_guests_alone() {
    let place = Place::new();
    let output = place.run(
        "hostile",
        &["--quiet", "--", "echo", "hello", "wor\u{1b}ld"],
    );
    let stderr = ended(&output, 0);
    assert!(
        text(&output.stdout).contains("wor\u{1b}ld"),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(stderr, "");
    let output = place.run("hostile", &["--stdout", "out.txt", "--", "echo", "hello"]);
    ended(&output, 0);
    assert_eq!(output.stdout, b"");
    assert!(
        fs::read_to_string(place.at("out.txt"))
            .unwrap()
            .contains("hello")
    );
}

#[test]
fn standard_input_is_sealed_and_read() {
    let place = Place::new();
    let workload = component("hostile");
    let arguments = [
        workload.to_str().unwrap(),
        "--stdin",
        "-",
        "--out",
        "o=o.txt",
        "--",
        "copy",
        "stdin",
        "o",
    ];
    let mut child = place
        .command("mc2-run", &arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"from a pipe")
        .unwrap();
    ended(&child.wait_with_output().unwrap(), 0);
    assert_eq!(fs::read(place.at("o.txt")).unwrap(), b"from a pipe");
}

#[test]
fn one_json_object_tells_everything() {
    let place = Place::new();
    let output = place.copy(&["--json"]);
    ended(&output, 0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["status"], "succeeded");
    assert_eq!(report["simulated"], true);
    assert_eq!(report["outputs"][0]["name"], "copy");
    assert_eq!(report["outputs"][0]["length"], 14);
    for list in ["attestation", "verification"] {
        let checks = report[list].as_array().unwrap();
        assert!(checks.len() > 8, "{list}");
        assert!(
            checks.iter().all(|check| check["outcome"] == "passed"),
            "{checks:?}"
        );
    }
    for phase in [
        "start", "seal", "compile", "attest", "submit", "run", "verify", "open",
    ] {
        assert!(report["phases_ms"][phase].is_number(), "{phase}");
    }
    assert_eq!(report["usage"][0]["instances"][0]["input_bytes"], 14);
    assert!(Path::new(report["receipt"].as_str().unwrap()).is_file());
}

#[test]
fn a_receipt_verifies_later_and_names_the_first_broken_link() {
    let place = Place::new();
    ended(
        &place.run("hostile", &["--receipt", "r.json", "--", "echo", "x"]),
        0,
    );
    let workload = component("hostile");
    let own = [
        "verify",
        "r.json",
        "--allow-simulated",
        "--component",
        workload.to_str().unwrap(),
    ];
    let output = place.mc2(&own);
    ended(&output, 0);
    assert!(text(&output.stdout).contains("as of now: the receipt verifies"));

    let stderr = ended(&place.mc2(&["verify", "r.json"]), 75);
    assert!(stderr.contains("--allow-simulated"), "{stderr}");

    let other = component("wordcount");
    let stderr = ended(
        &place.mc2(&[
            "verify",
            "r.json",
            "--allow-simulated",
            "--component",
            other.to_str().unwrap(),
        ]),
        75,
    );
    assert!(stderr.contains("components measured here"), "{stderr}");

    let receipt = fs::read_to_string(place.at("r.json")).unwrap();
    let envelope: Value = serde_json::from_str(&receipt).unwrap();
    let payload = envelope["payload"].as_str().unwrap();
    let mut altered = payload.to_owned();
    // One base64 digit in the middle: still JSON or not, it is not what was signed.
    let at = payload.len() / 2;
    let other = if &payload[at..=at] == "A" { "B" } else { "A" };
    altered.replace_range(at..=at, other);
    fs::write(place.at("r.json"), receipt.replace(payload, &altered)).unwrap();
    ended(&place.mc2(&["verify", "r.json", "--allow-simulated"]), 75);

    // On another machine nobody pinned this simulator.
    fs::write(place.at("r.json"), receipt).unwrap();
    fs::remove_dir_all(place.at("home/simulators")).unwrap();
    let stderr = ended(&place.mc2(&["verify", "r.json", "--allow-simulated"]), 75);
    assert!(stderr.contains("evidence signature"), "{stderr}");
}

#[test]
fn a_guest_that_fails_has_its_code_and_its_message() {
    let place = Place::new();
    let stderr = ended(&place.run("hostile", &["--", "fail", "no such column"]), 1);
    assert!(
        stderr.contains("error: no such column") && stderr.contains("the workload failed\n"),
        "{stderr}"
    );
    assert_eq!(stderr.matches("no such column").count(), 1, "{stderr}");
    let place_in_text = ["--", "fail", "no such column\n  a = 1\n  ^"];
    let stderr = ended(&place.run("hostile", &place_in_text), 1);
    assert!(stderr.contains("column\n  a = 1\n  ^\n"), "{stderr}");
    ended(&place.run("hostile", &["--", "exit", "3"]), 1);
    let stderr = ended(&place.run("hostile", &["--", "trap"]), 74);
    assert!(stderr.contains("the workload trapped"), "{stderr}");
    let stderr = ended(
        &place.run("hostile", &["--timeout", "1s", "--", "loop"]),
        71,
    );
    assert!(stderr.contains("--timeout"), "{stderr}");
    let stderr = ended(
        &place.run("hostile", &["--memory", "64MiB", "--", "alloc", "512"]),
        70,
    );
    assert!(stderr.contains("--memory"), "{stderr}");
    let output = place.run("hostile", &["--json", "--", "fail", "told"]);
    ended(&output, 1);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["status"], &report["reason"]),
        (&"failed".into(), &"exit".into())
    );
    place.assert_clean();
}

#[test]
fn a_failed_run_releases_no_file() {
    let place = Place::new();
    fs::write(place.at("result.txt"), "the old one").unwrap();
    ended(
        &place.run(
            "hostile",
            &["--out", "result=result.txt", "--", "partial-out"],
        ),
        1,
    );
    assert_eq!(fs::read(place.at("result.txt")).unwrap(), b"the old one");
    let stderr = ended(&place.run("hostile", &["--", "undeclared-output"]), 1);
    assert!(stderr.contains("--out NAME=PATH"), "{stderr}");
    place.assert_clean();
}

#[test]
fn an_import_the_sandbox_does_not_have_is_named() {
    let place = Place::new();
    let wasm = wat::parse_str(r#"(component (import "acme:door/key@1.0.0" (instance)))"#).unwrap();
    fs::write(place.at("w.wasm"), wasm).unwrap();
    let output = place.command("mc2-run", &["w.wasm"]).output().unwrap();
    let stderr = ended(&output, 65);
    assert!(stderr.contains("acme:door/key"), "{stderr}");
}

#[test]
fn a_sealed_folder_is_an_input_as_it_is() {
    let place = Place::new();
    ended(&place.mc2(&["seal", "data.txt", "--name", "data"]), 0);
    let arguments = [
        "--in",
        "data=data.sealed",
        "--out",
        "copy=copy.txt",
        "--",
        "copy",
        "data",
        "copy",
    ];
    ended(&place.run("hostile", &arguments), 0);
    assert_eq!(
        fs::read(place.at("copy.txt")).unwrap(),
        b"one\ntwo\nthree\n"
    );
    let arguments = ["--in", "other=data.sealed", "--", "echo"];
    let stderr = ended(&place.run("hostile", &arguments), 64);
    assert!(stderr.contains("a version of the dataset data"), "{stderr}");
}

#[test]
fn a_result_that_was_kept_sealed_opens_only_whole_and_only_with_its_receipt() {
    let place = Place::new();
    for kept in ["kept", "other"] {
        ended(&place.copy(&["--keep-sealed", kept]), 0);
    }
    let open = |target: &str| place.mc2(&["open", "kept", "-o", target, "--allow-simulated"]);
    ended(&open("opened"), 0);
    assert_eq!(
        fs::read(place.at("opened/copy")).unwrap(),
        b"one\ntwo\nthree\n"
    );

    let refused = |word: &str| {
        let stderr = ended(&open("refused"), 75);
        assert!(stderr.contains(word), "{stderr}");
        assert!(!place.at("refused").exists());
        place.assert_clean();
    };
    // An older job's output, under this receipt.
    fs::rename(place.at("kept/copy.sealed"), place.at("own.sealed")).unwrap();
    fs::rename(place.at("other/copy.sealed"), place.at("kept/copy.sealed")).unwrap();
    refused("the output copy is not the one the receipt names");
    fs::remove_dir_all(place.at("kept/copy.sealed")).unwrap();
    refused("copy.sealed is missing");
    fs::rename(place.at("own.sealed"), place.at("kept/copy.sealed")).unwrap();
    // Another job's receipt over this output.
    fs::copy(
        place.at("other/receipt.json"),
        place.at("kept/receipt.json"),
    )
    .unwrap();
    refused("own job: expected job");
    fs::write(place.at("kept/receipt.json"), "{}").unwrap();
    refused("not a receipt");
}

#[test]
fn bare_gives_the_same_result_and_says_what_it_is() {
    let place = Place::new();
    let stderr = ended(&place.copy(&["--bare"]), 0);
    assert!(
        stderr.contains("NOT SECURE") && stderr.contains("no enclave"),
        "{stderr}"
    );
    assert_eq!(
        fs::read(place.at("copy.txt")).unwrap(),
        b"one\ntwo\nthree\n"
    );
    assert!(
        !place.at("home").exists(),
        "nothing is sealed, so no key is made"
    );
}

#[test]
fn a_signal_ends_the_run_the_runtime_and_every_temporary_file() {
    use rustix::process::{Pid, Signal, kill_process};

    // Early in the start, wherever that is, and far enough for the guest to sleep.
    for (signal, code, after) in [
        (Signal::INT, 130, 0),
        (Signal::INT, 130, 30),
        (Signal::INT, 130, 700),
        (Signal::TERM, 143, 700),
    ] {
        let place = Place::new();
        let arguments = [
            "--in",
            "data=data.txt",
            "--out",
            "o=o.txt",
            "--",
            "sleep",
            "600",
        ];
        let child = place.start("hostile", &arguments);
        until(|| !place.temporary().is_empty());
        std::thread::sleep(Duration::from_millis(after));
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let output = child.wait_with_output().unwrap();
        ended(&output, code);
        assert!(!place.at("o.txt").exists());
        place.assert_clean();
    }
}

/// A run that is killed leaves no runtime, and what it leaves on the disk is removed by the next
/// run; that of a run that goes on is not, nor what is no run's.
#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let place = Place::new();
    fs::create_dir(place.at("precious")).unwrap();
    fs::write(place.at("precious/file"), "precious").unwrap();
    let link = place.at("tmp/mc2-run-link");
    std::os::unix::fs::symlink(place.at("precious"), &link).unwrap();
    let arguments = ["--in", "data=data.txt", "--", "sleep", "600"];
    let stored = |name: &String| {
        let objects = place.at("tmp").join(name).join("objects");
        fs::read_dir(objects).is_ok_and(|mut objects| objects.next().is_some())
    };
    let folders = || -> Vec<String> {
        let mut names = place.temporary();
        names.retain(|name| name != "mc2-run-link" && stored(name));
        names
    };

    let mut live = place.start("hostile", &arguments);
    until(|| folders().len() == 1);
    let of_live = folders();
    let mut killed = place.start("hostile", &arguments);
    until(|| folders().len() == 2);
    killed.kill().unwrap();
    assert_eq!(killed.wait().unwrap().signal(), Some(9));
    until(|| process::with_argument(&place.at("tmp")).len() == 1);
    assert_eq!(folders().len(), 2, "a killed run removes nothing");

    ended(&place.run("hostile", &["--", "echo", "x"]), 0);
    assert_eq!(folders(), of_live);
    assert_eq!(place.temporary().len(), 2, "{:?}", place.temporary());
    assert!(link.is_symlink() && place.at("precious/file").exists());
    live.kill().unwrap();
    live.wait().unwrap();
    until(|| process::with_argument(&place.at("tmp")).is_empty());
    ended(&place.run("hostile", &["--", "echo", "x"]), 0);
    assert_eq!(place.temporary(), ["mc2-run-link"]);
}

#[test]
fn the_ledger_has_every_release_and_a_broken_one_releases_nothing() {
    let place = Place::new();
    let arguments = ["--in", "data=data.txt", "--", "sum", "data"];
    ended(&place.run("hostile", &arguments), 0);
    let ledger = place.at("home/ledger.jsonl");
    let lines = fs::read_to_string(&ledger).unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    fs::write(&ledger, lines.replace("\"runs\":1", "\"runs\":0")).unwrap();
    let stderr = ended(&place.run("hostile", &arguments), 78);
    assert!(stderr.contains("broken at line 1"), "{stderr}");
}

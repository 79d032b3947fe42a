//! Rows 23 and 27: `mc2 open`, `verify` and `inspect` know a result's folder, and take for a
//! person's result only the one of the job that person submitted, or of the policy they name.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{fs, path::Path, process::Output};

use mc2_protocol::{Digest, Identity};
use mc2_tests::{Place, component, ended, policy_of, text};
use serde_json::Value;

/// Copies the data into an output and keeps the result in the folder `kept`.
fn copy(place: &Place, kept: &str) {
    ended(&place.copy(&["--keep-sealed", kept]), 0);
}

fn open(place: &Place, result: &str, more: &[&str]) -> Output {
    let mut arguments = vec!["open", result, "-o", "opened", "--allow-simulated"];
    arguments.extend(more);
    place.mc2(&arguments)
}

fn verify(place: &Place, result: &str, more: &[&str]) -> Output {
    let mut arguments = vec!["verify", result, "--allow-simulated"];
    arguments.extend(more);
    place.mc2(&arguments)
}

/// Refused with this code and all these words, and nothing is written.
#[track_caller]
fn refused(place: &Place, output: &Output, code: i32, words: &[&str]) {
    let stderr = ended(output, code);
    for word in words {
        assert!(stderr.contains(word), "no {word:?} in {stderr}");
    }
    assert!(!place.at("opened").exists(), "something was written");
    place.assert_clean();
}

fn job_of(result: &Path) -> String {
    let envelope = fs::read(result.join("receipt.json")).unwrap();
    let envelope: mc2_protocol::documents::dsse::Envelope =
        serde_json::from_slice(&envelope).unwrap();
    let statement = mc2_protocol::documents::receipt::Statement::claimed(&envelope).unwrap();
    statement.predicate.job.to_string()
}

#[test]
fn an_own_result_opens_by_the_submission_that_was_kept() {
    let place = Place::new();
    copy(&place, "kept");
    let output = open(&place, "kept", &[]);
    let told = ended(&output, 0);
    assert!(told.contains("status: the job succeeded"), "{told}");
    assert!(
        told.contains("own job: submitted from here at 20"),
        "{told}"
    );
    assert!(!told.contains("not shown"), "{told}");
    assert_eq!(
        fs::read(place.at("opened/copy")).unwrap(),
        b"one\ntwo\nthree\n"
    );
    let verified = verify(&place, "kept", &[]);
    ended(&verified, 0);
    let verified = text(&verified.stdout);
    for line in [
        "own job: ",
        "own session: ",
        "own nonce: ",
        "own submission: ",
    ] {
        assert!(verified.contains(&format!("ok    {line}")), "{verified}");
    }
    let told = text(&place.mc2(&["inspect", "kept"]).stdout);
    assert!(told.contains("a job's result"), "{told}");
    assert!(told.contains("copy is here, sealed"), "{told}");
}

/// Row 27.
#[test]
fn a_result_swapped_for_an_older_one_of_one_s_own_is_refused() {
    let place = Place::new();
    copy(&place, "older");
    copy(&place, "kept");
    let (older, newer) = (job_of(&place.at("older")), job_of(&place.at("kept")));
    fs::rename(place.at("kept"), place.at("newer")).unwrap();
    fs::rename(place.at("older"), place.at("kept")).unwrap();
    let words = ["own job", &newer, &older, "another result", "--job"];
    refused(&place, &open(&place, "kept", &[]), 75, &words);
    refused(&place, &verify(&place, "kept", &[]), 75, &words);
    // Nor through a link, nor by its receipt alone.
    fs::rename(place.at("kept"), place.at("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", place.at("kept")).unwrap();
    refused(&place, &open(&place, "kept", &[]), 75, &words);
    let receipt = verify(&place, "kept/receipt.json", &[]);
    refused(&place, &receipt, 75, &words);
    // Elsewhere it is what it is; whoever knows which job they want says so.
    let said = ["--job", newer.as_str()];
    refused(&place, &open(&place, "elsewhere", &said), 75, &["own job"]);
    ended(&open(&place, "kept", &["--job", &older]), 0);
}

/// Rows 23 and 27.
#[test]
fn a_receipt_put_in_another_s_place_is_refused() {
    let place = Place::new();
    let run = |receipt: &str| {
        let arguments = ["--receipt", receipt, "--", "echo", "x"];
        ended(&place.run("hostile", &arguments), 0);
    };
    run("one.json");
    run("two.json");
    ended(&verify(&place, "one.json", &[]), 0);
    fs::copy(place.at("two.json"), place.at("one.json")).unwrap();
    refused(&place, &verify(&place, "one.json", &[]), 75, &["own job"]);
}

/// Row 27: everything in the receipt is genuine, and none of it is what the reader agreed to.
#[test]
fn a_result_under_an_attacker_s_policy_that_names_the_reader_is_refused() {
    let place = Place::new();
    copy(&place, "kept");
    let (reader, evil) = (
        identity(&place, "home", "reader"),
        identity(&place, "evil", "evil"),
    );
    let workload = fs::read(component("hostile")).unwrap();
    let policy = policy_of(
        &[&evil, &reader],
        &Digest::of(&workload),
        &[("data", &evil)],
        &policy_job("evil"),
    );
    fs::write(place.at("evil.toml"), policy.bytes()).unwrap();
    fs::write(place.at("data.txt"), "made up\n").unwrap();
    let ran = place.keep_copy(["evil", "evil"], ("evil.toml", &policy), "result");
    ended(&ran, 0);
    // The simulator is one the reader trusts: only what it ran is not the reader's.
    let job = job_of(&place.at("result"));
    let simulator = format!("simulators/{job}.json");
    fs::copy(
        place.at("evil").join(&simulator),
        place.at("home").join(&simulator),
    )
    .unwrap();

    let words = ["own job", &job, "--policy FILE"];
    refused(&place, &open(&place, "result", &[]), 75, &words);
    refused(&place, &verify(&place, "result", &[]), 75, &words);
    // In the place of the reader's own result.
    fs::remove_dir_all(place.at("kept")).unwrap();
    fs::rename(place.at("result"), place.at("kept")).unwrap();
    refused(&place, &open(&place, "kept", &[]), 75, &["own job", &job]);
    fs::rename(place.at("kept"), place.at("result")).unwrap();
    // Under the policy the reader agreed to.
    let agreed = policy_of(
        &[&evil, &reader],
        &Digest::of(&workload),
        &[("data", &evil)],
        &policy_job("reader"),
    );
    fs::write(place.at("agreed.toml"), agreed.bytes()).unwrap();
    let agreed = ["--policy", "agreed.toml"];
    let words = ["receipt's policy", "expected", &policy.digest().to_string()];
    refused(&place, &open(&place, "result", &agreed), 75, &words);

    // Whoever spells it gets it, and is told what that shows.
    let any = ["--policy", "any"];
    let told = text(&verify(&place, "result", &any).stdout);
    assert!(
        told.contains("not shown: that anybody you know agreed"),
        "{told}"
    );
    assert!(
        told.contains("not shown: that this is the result of a job of yours"),
        "{told}"
    );
    let told = ended(&open(&place, "result", &any), 0);
    assert!(
        told.contains("not shown: that anybody you know agreed"),
        "{told}"
    );
    assert_eq!(fs::read(place.at("opened/copy")).unwrap(), b"made up\n");
}

fn policy_job(submitter: &str) -> String {
    format!(
        "submit = [\"{submitter}\"]\nruns = 9\n\
         approve = {{ who = [\"{submitter}\"], when = \"session\" }}\nerrors = \"full\"\n\
         limits = {{ memory = \"1GiB\", time = \"1min\", output = \"1MiB\" }}\n\
         [[job.step]]\ncomponent = \"workload\"\nargs = \"any\"\npadding = \"exact\"\n\
         [job.step.inputs]\ndata = \"dataset:data\"\n\
         [job.step.outputs]\ncopy = [\"reader\"]\n"
    )
}

fn identity(place: &Place, home: &str, name: &str) -> Identity {
    let made = place.state(home).make_identity(name.parse().unwrap());
    made.ok().unwrap().0
}

#[test]
fn a_failed_job_s_result_ends_with_the_code_of_its_failure() {
    let place = Place::new();
    for (name, line, code, reason) in [
        ("failed", &["fail", "no such column"][..], 1, "exit"),
        ("trapped", &["trap"], 74, "trap"),
    ] {
        let mut arguments = vec!["--keep-sealed", name, "--"];
        arguments.extend(line);
        ended(&place.run("hostile", &arguments), code);
        let output = verify(&place, name, &[]);
        let told = ended(&output, code);
        let failed = format!("the job failed in step 1: {reason}");
        assert!(told.contains(&failed), "{told}");
        let told = text(&output.stdout);
        assert!(told.contains(&format!("status: {failed}")), "{told}");
        assert!(told.contains("as of now: the receipt verifies"), "{told}");
        let output = verify(&place, name, &["--json"]);
        ended(&output, code);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["accepted"], true);
        assert_eq!(told["status"], "failed");
        assert_eq!(told["reason"], reason);
        let told = ended(&open(&place, name, &[]), code);
        assert!(told.contains(&failed), "{told}");
        if line.len() == 2 {
            // What it said is its reader's, and nothing of its files.
            let said = fs::read_to_string(place.at("opened/error")).unwrap();
            assert!(said.contains("no such column"), "{said}");
        }
        let _ = fs::remove_dir_all(place.at("opened"));
        place.assert_clean();
    }
}

#[test]
fn a_submission_that_says_something_else_than_the_receipt_is_believed() {
    let place = Place::new();
    copy(&place, "kept");
    let job = job_of(&place.at("kept"));
    let path = place.at("home/submissions").join(format!("{job}.json"));
    let kept = fs::read_to_string(&path).unwrap();
    let submission: Value = serde_json::from_str(&kept).unwrap();
    for (field, what) in [
        ("nonce", "own nonce"),
        ("session", "own session"),
        ("submitter", "own submission"),
    ] {
        let mut other = submission.clone();
        let digits = other[field].as_str().unwrap();
        let turned: String = digits.chars().rev().collect();
        other[field] = turned.into();
        fs::write(&path, other.to_string()).unwrap();
        refused(&place, &open(&place, "kept", &[]), 75, &[what]);
    }
    fs::write(&path, &kept[1..]).unwrap();
    let words = ["is no submission"];
    refused(&place, &open(&place, "kept", &[]), 78, &words);
    fs::remove_file(&path).unwrap();
    let words = ["own job", "submissions kept in"];
    refused(&place, &open(&place, "kept", &[]), 75, &words);
}

/// The submission is stored before it leaves: a command that is killed while its job runs knows
/// its job afterwards.
#[test]
fn a_submission_is_stored_before_the_job_runs() {
    let place = Place::new();
    let mut child = place.start("hostile", &["--", "sleep", "600"]);
    let submissions = place.at("home/submissions");
    mc2_tests::until(|| fs::read_dir(&submissions).is_ok_and(|mut all| all.next().is_some()));
    child.kill().unwrap();
    child.wait().unwrap();
    let entries: Vec<_> = fs::read_dir(&submissions).unwrap().collect();
    assert_eq!(entries.len(), 1);
    let path = entries[0].as_ref().unwrap().path();
    let job: Digest = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let kept = place.state("home").submission(&job).unwrap().unwrap();
    assert_eq!(kept.job, job);
    kept.policy().unwrap();
}

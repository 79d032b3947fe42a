//! Row 30: a receipt verifies as of an earlier time only by the word of somebody the verifier believes
//! about exactly this receipt, and that word is about nothing else.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{fs, process::Output};

use mc2_attestation::test_util::timestamper::Timestamper;
use mc2_protocol::{Digest, Identity};
use mc2_tests::{Place, component, ended, policy_of, text};
use serde_json::Value;

/// Runs a job that `me` approves, and keeps its result in these folders, one a run; its policy is
/// `policy.toml`.
fn ran(place: &Place, results: &[&str]) {
    let me = identity(place, "me");
    let component = fs::read(component("hostile")).unwrap();
    let policy = policy_of(
        &[&me],
        &Digest::of(&component),
        &[("data", &me)],
        "submit = [\"me\"]\nruns = 9\napprove = { who = [\"me\"], when = \"session\" }\n\
         errors = \"full\"\nlimits = { memory = \"1GiB\", time = \"1min\", output = \"1MiB\" }\n\
         [[job.step]]\ncomponent = \"workload\"\nargs = \"any\"\npadding = \"exact\"\n\
         [job.step.inputs]\ndata = \"dataset:data\"\n[job.step.outputs]\ncopy = [\"me\"]\n",
    );
    fs::write(place.at("policy.toml"), policy.bytes()).unwrap();
    for result in results {
        let ran = place.keep_copy(["home", "me"], ("policy.toml", &policy), result);
        ended(&ran, 0);
    }
}

fn identity(place: &Place, name: &str) -> Identity {
    let made = place.state("home").make_identity(name.parse().unwrap());
    made.ok().unwrap().0
}

fn mc2(place: &Place, verb: &str, result: &str, more: &[&str]) -> Output {
    let mut arguments = vec![verb, result, "--allow-simulated"];
    arguments.extend(more);
    place.mc2(&arguments)
}

/// What `mc2 verify` says of a result, and that it ends with this code.
#[track_caller]
fn told(place: &Place, result: &str, more: &[&str], code: i32) -> Value {
    let mut more = more.to_vec();
    more.push("--json");
    let output = mc2(place, "verify", result, &more);
    ended(&output, code);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// No verdict as of an earlier time, for a reason with this word in it, although the receipt verifies
/// as of now.
#[track_caller]
fn undated(place: &Place, result: &str, more: &[&str], word: &str) {
    let told = told(place, result, more, 75);
    assert_eq!(
        (&told["as_of_now"], &told["accepted"]),
        (&true.into(), &false.into())
    );
    assert_eq!(told["as_of"]["accepted"], false);
    let why = told["as_of"]["refused"].as_str().unwrap();
    assert!(why.contains(word), "no {word:?} in {why}");
}

#[test]
fn a_receipt_that_nobody_vouches_for_has_no_verdict_as_of_an_earlier_time() {
    let place = Place::new();
    ran(&place, &["result"]);
    let told = told(&place, "result", &[], 0);
    assert_eq!(told["as_of_now"], true);
    assert_eq!(told["as_of"], Value::Null);
    let output = mc2(&place, "verify", "result", &[]);
    let words = "as of an earlier time: no verdict, because nobody vouches for a date";
    assert!(text(&output.stdout).contains(words));
}

#[test]
fn an_approver_s_word_dates_a_receipt_and_nobody_else_s() {
    let place = Place::new();
    ran(&place, &["result", "another"]);
    let vouching = ["--as", "me", "-o", "word"];
    ended(&mc2(&place, "vouch", "result", &vouching), 0);
    let word = ["--vouch", "word"];
    let dated = told(&place, "result", &word, 0);
    let then = &dated["as_of"];
    assert_eq!(
        (&then["accepted"], &then["by"]),
        (&true.into(), &"me".into())
    );
    assert_eq!(then["vouched"], "approver");
    let output = mc2(&place, "verify", "result", &word);
    let said = text(&output.stdout);
    let line = ", by me: the receipt verifies back to its evidence";
    assert!(said.contains(line) && said.contains("as of 20"), "{said}");
    // About another receipt, and by a policy that nobody agreed to.
    undated(&place, "another", &word, "about the receipt");
    let any = [&word[..], &["--policy", "any"]].concat();
    undated(&place, "result", &any, "--policy FILE");
    // The other links are followed as of then, too.
    fs::write(place.at("other.wasm"), component_of_another_kind()).unwrap();
    let other = [&word[..], &["--component", "other.wasm"]].concat();
    let broken = told(&place, "result", &other, 75);
    assert_eq!(broken["as_of"]["accepted"], false);

    // Who may not approve the job vouches for nothing, nor does whoever alters the word.
    identity(&place, "other");
    let refused = mc2(
        &place,
        "vouch",
        "result",
        &["--as", "other", "-o", "others"],
    );
    assert!(ended(&refused, 64).contains("other is none of those who may approve"));
    assert!(!place.at("others").exists());
    let mut envelope: Value = serde_json::from_slice(&fs::read(place.at("word")).unwrap()).unwrap();
    let payload = envelope["payload"]
        .as_str()
        .unwrap()
        .replacen("eyJ", "eyK", 1);
    envelope["payload"] = payload.into();
    fs::write(place.at("word"), envelope.to_string()).unwrap();
    undated(&place, "result", &word, "signed by none");
    // Nor is anything vouched for that does not verify.
    let receipt = place.at("result/receipt.json");
    let altered = String::from_utf8(fs::read(&receipt).unwrap()).unwrap();
    let at = altered.find("\"sig\":\"").unwrap() + 8;
    let letter = if altered.as_bytes()[at] == b'A' {
        "B"
    } else {
        "A"
    };
    fs::write(
        &receipt,
        format!("{}{letter}{}", &altered[..at], &altered[at + 1..]),
    )
    .unwrap();
    fs::remove_file(place.at("word")).unwrap();
    ended(&mc2(&place, "vouch", "result", &vouching), 75);
    assert!(!place.at("word").exists());
}

fn component_of_another_kind() -> Vec<u8> {
    fs::read(component("wordcount")).unwrap()
}

#[test]
fn a_timestamp_over_a_receipt_dates_it_under_the_roots_that_are_named() {
    let place = Place::new();
    ran(&place, &["result", "another"]);
    let authority = Timestamper::new(&fs::read(place.at("result/receipt.json")).unwrap());
    let token = authority.respond("signer", "-sha256 -cert", "-section ts");
    fs::write(place.at("token"), token).unwrap();
    fs::write(place.at("root.pem"), authority.read("root.pem")).unwrap();
    let stranger = Timestamper::new(b"");
    fs::write(place.at("stranger.pem"), stranger.read("root.pem")).unwrap();
    let by = |root| ["--timestamp", "token", "--timestamp-root", root];
    // The authority is exact to a second and a half, and what it says is taken as the latest.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let dated = told(&place, "result", &by("root.pem"), 0);
    let then = &dated["as_of"];
    assert_eq!(
        (&then["accepted"], &then["by"]),
        (&true.into(), &"CN=signer".into())
    );
    assert_eq!(then["vouched"], "timestamp");
    undated(&place, "another", &by("root.pem"), "over other bytes");
    undated(&place, "result", &by("stranger.pem"), "none of the roots");
    fs::write(place.at("token"), b"no token").unwrap();
    undated(&place, "result", &by("root.pem"), "no timestamp token");
    // Whose word it is must be said.
    let half = ["--timestamp", "token"];
    ended(&mc2(&place, "verify", "result", &half), 64);
}

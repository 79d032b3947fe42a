//! Several parties, each with a state folder of its own, each verb a process of its own, over one
//! host that may lie.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{fs, path::Path};

use mc2_client::verbs::{Choice, Member};
use mc2_protocol::{Digest, encoding::Base64};
use mc2_tests::{ALL, Lie, Place, Several, ended, string, text};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn three_parties_run_a_job_each_verb_a_process_in_a_folder_of_its_own() {
    let several = Several::new(ALL).await;
    let object = several.upload("bank-a", "accounts", "one\n");
    several.upload("bank-b", "transactions", "two\n");
    let session = several.session();
    let approved = several.approve("bank-a", &session);
    assert_eq!(approved["approved"], "policy");
    assert_eq!(approved["released"][0]["dataset"], "accounts");
    assert_eq!(approved["released"][0]["object"], object);
    assert_eq!(approved["released"][0]["runs"], 1);
    several.approve("bank-b", &session[..8]);

    let submitted = several.submit(&session, 0);
    assert_eq!(submitted["number"], 1);
    let job = string(&submitted["job"]);
    let watched = several.told(
        "analyst",
        0,
        &["watch", &session, &job[..12], "--keep-sealed", "kept"],
    );
    assert_eq!(watched["status"], "succeeded");
    assert_eq!(watched["own_job"], true);
    let checks = watched["verification"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["outcome"] == "passed"));
    let open = ["open", "kept", "--output", "out"];
    ended(&several.mc2("analyst", &open), 0);
    let result = fs::read_to_string(several.place.at("out/result")).unwrap();
    assert_eq!(result, "two\n");

    // An owner who submitted nothing follows the same receipt, and opens nothing.
    let watched = several.told(
        "bank-a",
        0,
        &["watch", &session, "1", "--keep-sealed", "of-a"],
    );
    assert_eq!(
        (&watched["job"], &watched["own_job"]),
        (&submitted["job"], &false.into())
    );
    let stderr = ended(
        &several.mc2("bank-a", &["open", "of-a", "--output", "out-a"]),
        64,
    );
    assert!(stderr.contains("other parties"), "{stderr}");
    assert!(!several.place.at("out-a").exists());

    let listed = several.told("analyst", 0, &["list"]);
    assert_eq!(listed["jobs"][0]["job"], submitted["job"]);
    assert!(Path::new(listed["jobs"][0]["receipt"].as_str().unwrap()).is_file());
    assert_eq!(listed["sessions"][0]["session"], session);
    let listed = several.told("bank-a", 0, &["session", "list"]);
    assert_eq!(listed["sessions"][0]["own"], true);

    // Who opened it ends it, and then nobody is let in any more.
    ended(&several.mc2("bank-b", &["session", "end", &session]), 66);
    several.told("bank-a", 0, &["session", "end", &session]);
    let output = several.mc2("bank-b", &["attest", &session]);
    assert_ne!(output.status.code(), Some(0));
}

/// Rows 13 and 7.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_what_every_party_must_give() {
    let several = Several::new(ALL).await;
    several.upload_all();
    let session = several.session();
    several.approve("bank-a", &session);
    let refused = several.submit(&session, 66);
    let message = string(&refused["message"]);
    assert!(message.contains("bank-b"), "{message}");
    several.approve("bank-b", &session);
    assert_eq!(several.submit(&session, 0)["number"], 1);
}

/// Row 26.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_approved_released_or_asked_under_a_card_that_was_not_compared() {
    let several = Several::new(ALL).await;
    several.upload_all();
    let session = several.session();
    for party in ["bank-a", "analyst"] {
        ended(&several.mc2_plain(party, &["party", "remove", "bank-b"]), 0);
    }
    let digest = several.policy.digest().to_string();
    for verb in ["approve", "release"] {
        let told = several.told("bank-a", 66, &[verb, &session, "--digest", &digest]);
        let message = string(&told["message"]);
        let fingerprint = several.identities[1].card().fingerprint();
        assert!(
            message.contains("bank-b") && message.contains(&fingerprint),
            "{message}"
        );
    }
    assert_eq!(several.ledger("bank-a"), "");
    let told = several.submit(&session, 66);
    assert!(string(&told["message"]).contains("bank-b"));
    assert_eq!(several.place.state("analyst").submissions().unwrap(), []);
}

/// Row 44.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_is_shown_and_is_what_was_meant() {
    let several = Several::new(ALL).await;
    several.upload_all();
    let session = several.session();
    let output = several.mc2("bank-a", &["approve", &session]);
    let stderr = ended(&output, 64);
    let digest = several.policy.digest().to_string();
    for shown in [
        "what         policy\n",
        &digest,
        "result to analyst\n",
        "release      key of accounts",
        "for 1 runs",
        "--digest",
    ] {
        assert!(stderr.contains(shown), "no {shown:?} in {stderr}");
    }
    let other = Digest::of(b"another").to_string();
    let told = several.told("bank-a", 66, &["approve", &session, "--digest", &other]);
    let message = string(&told["message"]);
    assert!(
        message.contains(&other) && message.contains(&digest),
        "{message}"
    );
    assert_eq!(several.ledger("bank-a"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_of_what_was_revoked_is_released() {
    let several = Several::new(ALL).await;
    several.upload_all();
    let session = several.session();
    let digest = several.policy.digest().to_string();
    let release = ["release", &session, "--digest", &digest, "--runs", "1"];
    several.told("bank-a", 0, &release);
    let revoked = several.told("bank-a", 0, &["revoke", "--dataset", "accounts"]);
    assert_eq!(revoked["released_before"][0], session);
    let text = text(
        &several
            .mc2("bank-a", &["revoke", "--session", &session])
            .stdout,
    );
    assert!(text.contains("cannot be called back"), "{text}");
    let ledger = several.ledger("bank-a");
    let told = several.told("bank-a", 66, &release);
    assert!(string(&told["message"]).contains("revoked"));
    assert_eq!(several.ledger("bank-a"), ledger);
    // What somebody else owns is theirs to revoke.
    several.told("bank-b", 0, &release);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_while_somebody_is_asked_does_not_leave_once_they_said_yes() {
    let several = Several::new(ALL).await;
    several.upload_all();
    let session = several.session();
    let member = Member {
        state: several.place.state("bank-a"),
        identity: None,
        allow_simulated: true,
        collateral: None,
        trust: None,
    };
    let entered = member.enter(&session).unwrap();
    let choice = Choice::default();
    let shown = entered.plan_approval(&choice, true, None).await.unwrap();
    assert_eq!(shown.releases.planned.len(), 1);
    several.told("bank-a", 0, &["revoke", "--dataset", "accounts"]);
    let answered = entered.approve(&entered.session().unwrap(), shown).await;
    let message = answered.unwrap_err().to_string();
    assert!(message.contains("revoked"), "{message}");
    assert_eq!(several.ledger("bank-a"), "");
}

#[test]
fn a_run_of_one_s_own_releases_nothing_that_was_revoked_either() {
    let place = Place::new();
    ended(&place.copy(&[]), 0);
    ended(&place.mc2(&["revoke", "--dataset", "data"]), 0);
    let stderr = ended(&place.copy(&[]), 66);
    assert!(stderr.contains("the dataset data was revoked"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_of_one_party_at_once_are_all_heard_and_count_together() {
    let several = Several::new(ALL).await;
    several.upload_all();
    let session = several.session();
    let digest = several.policy.digest().to_string();
    let release = || {
        let line = [
            "release",
            &session,
            "--digest",
            &digest,
            "--runs",
            "1",
            "--allow-simulated",
        ];
        let mut command = several.place.command_of("bank-a", "mc2", &line);
        command.stdout(std::process::Stdio::null());
        command
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let at_once: Vec<_> = (0..9).map(|_| release()).collect();
    for process in at_once {
        ended(&process.wait_with_output().unwrap(), 0);
    }
    // The nine that the policy allows, and no tenth.
    assert_eq!(several.ledger("bank-a").lines().count(), 9);
    let told = several.told("bank-a", 0, &["release", &session, "--digest", &digest]);
    assert_eq!(told["released"], Value::Array(Vec::new()));
    assert_eq!(told["left_out"][0]["dataset"], "accounts");
}

/// Row 2.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_another_session_or_policy_is_not_joined() {
    let several = Several::new(ALL).await;
    let session = several.open();
    let other = several.open();
    let path = format!("/v1/sessions/{session}/evidence");
    let others = format!("/v1/sessions/{other}/evidence");
    several
        .liar
        .lie(Lie::Instead(others), move |asked| asked.path == path);
    let told = several.told("bank-b", 75, &several.join(&session));
    let message = string(&told["message"]);
    assert!(
        message.contains(&other) && message.contains(&session),
        "{message}"
    );
    assert_eq!(several.liar.lies(), 1);
    several
        .liar
        .lie(Lie::Flip(-10), |asked| asked.path.ends_with("/evidence"));
    let output = several.mc2("bank-b", &several.join(&session));
    assert_ne!(output.status.code(), Some(0));
    several.liar.repent();
    // The same rules but for one byte.
    let mut altered = several.policy.bytes().to_vec();
    altered.push(b'\n');
    fs::write(several.place.at("p.toml"), altered).unwrap();
    let told = several.told("bank-b", 67, &several.join(&session));
    let failed = told["attestation"].as_array().unwrap().iter();
    let failed: Vec<_> = failed
        .filter(|check| check["outcome"] == "failed")
        .collect();
    assert_eq!(
        failed[0]["found"],
        several.policy.digest().to_string(),
        "{failed:?}"
    );
    assert_eq!(several.place.state("bank-b").sessions().unwrap(), []);
}

/// Row 11.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_party_said_once_is_not_heard_twice() {
    let several = Several::new(ALL).await;
    several.upload_all();
    let session = several.session();
    let digest = several.policy.digest().to_string();
    several.liar.remember();
    for party in ["bank-a", "bank-b"] {
        let line = ["approve", &session, "--digest", &digest, "--runs", "1"];
        several.told(party, 0, &line);
    }
    several.submit(&session, 0);
    let sent = several
        .liar
        .recall(|asked| asked.path.ends_with("/messages"));
    assert!(sent.len() >= 5, "{}", sent.len());
    let http = several.stack.http();
    for message in &sent {
        let path = message.asked.path.clone();
        let call = mc2_client::http::Request::post(path, message.request.clone(), 1 << 20);
        http.send(&call).await.unwrap();
    }
    several.told("analyst", 0, &["watch", &session, "1"]);
    // No key came twice, and no job ran twice.
    let refused = several.submit(&session, 66);
    let message = string(&refused["message"]);
    assert!(message.contains("the key of accounts"), "{message}");
    let output = several.mc2("bank-a", &["watch", &session, "2", "--wait", "1s"]);
    assert_ne!(output.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_stopped_by_who_submitted_it_from_another_process() {
    let several = Several::new(ALL).await;
    let session = several.session();
    several.approve("analyst", &session);
    let line = ["submit", &session, "endless"];
    several.told("analyst", 0, &line);
    ended(&several.mc2("bank-a", &["cancel", &session, "1"]), 66);
    several.told("analyst", 0, &["cancel", &session, "1"]);
    let watched = several.told("analyst", 1, &["watch", &session, "1"]);
    assert_eq!(watched["reason"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_finds_a_session_at_the_host_and_joins_none_under_a_policy_the_host_altered() {
    let several = Several::new(ALL).await;
    let session = several.open();
    let host = &several.host;
    let listed = several.told("bank-b", 0, &["session", "list", "--host", host]);
    assert_eq!(listed["sessions"][0]["session"], session);
    assert_eq!(listed["sessions"][0]["known"], false);
    let join = ["session", "join", &session, "--host", host];
    let stderr = ended(&several.mc2("bank-b", &join), 0);
    let digest = several.policy.digest().to_string();
    assert!(stderr.contains(&digest), "{stderr}");
    let listed = several.told("bank-b", 0, &["session", "list", "--host", host]);
    assert_eq!(listed["sessions"][0]["known"], true);

    let mut altered = several.policy.bytes().to_vec();
    altered.push(b'\n');
    let change = move |_: &mc2_tests::Asked, answer: Vec<u8>| {
        let mut kept: Value = serde_json::from_slice(&answer).unwrap();
        kept["policy"] = serde_json::to_value(Base64(altered.clone())).unwrap();
        serde_json::to_vec(&kept).unwrap()
    };
    let path = format!("/v1/sessions/{session}");
    let lie = Lie::Change(std::sync::Arc::new(change));
    several.liar.lie(lie, move |asked| asked.path == path);
    let refused = several.told("analyst", 67, &join);
    assert_eq!(refused["status"], "refused");
    assert_eq!(several.place.state("analyst").sessions().unwrap(), []);
}

//! What a script gets of `mc2`: one object where it asks for JSON, whatever comes of it, and exit codes
//! that mean what docs/running.md says.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use mc2_tests::{Place, component, ended};
use serde_json::Value;

/// The one object that `mc2 … --json` wrote, after it ended with this code.
#[track_caller]
fn told(place: &Place, code: i32, line: &[&str]) -> Value {
    let mut all = line.to_vec();
    all.push("--json");
    let output = place.mc2(&all);
    ended(&output, code);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["version"], 1, "{object}");
    assert_eq!(object["exit_code"], code, "{object}");
    object
}

/// A person with an identity and a result, `kept`, of a run.
fn person() -> Place {
    let place = Place::new();
    let run = place.copy(&["--keep-sealed", "kept"]);
    ended(&run, 0);
    place
}

#[test]
fn each_command_that_says_something_says_it_as_one_object_where_it_is_asked() {
    let place = person();
    let made = told(&place, 0, &["keygen", "alice"]);
    assert_eq!(
        (&made["status"], &made["name"]),
        (&"made".into(), &"alice".into())
    );
    let sealed = told(&place, 0, &["seal", "data.txt", "--name", "data"]);
    assert_eq!(sealed["status"], "sealed");
    let opened = told(&place, 0, &["open", "data.sealed", "--output", "again.txt"]);
    assert_eq!(opened["paths"].as_array().unwrap().len(), 1);
    assert_eq!(
        fs::read(place.at("again.txt")).unwrap(),
        fs::read(place.at("data.txt")).unwrap()
    );
    let opened = told(
        &place,
        0,
        &["open", "kept", "--output", "results", "--allow-simulated"],
    );
    assert_eq!(opened["status"], "opened");
    let verified = told(&place, 0, &["verify", "kept", "--allow-simulated"]);
    assert_eq!(verified["accepted"], true);
    for (line, status) in [
        (&["party", "list"][..], "listed"),
        (&["identity", "show"], "listed"),
        (&["trust", "list"], "listed"),
        (&["ledger", "verify"], "verified"),
        (&["prune", "--older-than", "90d"], "pruned"),
        (&["list"], "listed"),
        (&["session", "list"], "listed"),
        (&["new", "counting"], "made"),
    ] {
        assert_eq!(told(&place, 0, line)["status"], status, "{line:?}");
    }
}

#[test]
fn whatever_is_inspected_is_told_as_one_object_that_says_what_it_is() {
    let place = person();
    ended(&place.mc2(&["seal", "data.txt", "--name", "data"]), 0);
    let wasm = component("hostile");
    let (card, key) = (
        place.at("home/cards/default.card"),
        place.at("home/identities/default.key"),
    );
    for (path, what) in [
        (wasm.as_path(), "component"),
        (&place.at("data.sealed"), "sealed object"),
        (&place.at("data.sealed/manifest"), "manifest"),
        (&place.at("kept"), "result"),
        (&place.at("kept/receipt.json"), "receipt"),
        (&card, "card"),
        (&key, "identity"),
    ] {
        let object = told(&place, 0, &["inspect", path.to_str().unwrap()]);
        assert_eq!(
            (&object["status"], &object["what"]),
            (&"inspected".into(), &what.into())
        );
        let secret = object.to_string().contains("mc2secret1");
        assert!(!secret, "{what} tells a secret");
    }
}

#[test]
fn what_does_not_work_is_one_object_too_with_the_code_that_is_documented() {
    let place = person();
    let nobody = "unix:/nobody/is/there";
    fs::write(place.at("policy.toml"), "version = 1\n").unwrap();
    let unknown = "0".repeat(64);
    for (code, line) in [
        (64, &["open", "nothing", "--output", "x"][..]),
        (64, &["inspect", "data.txt"]),
        (64, &["watch", "12", "1"]),
        (64, &["watch", &unknown, "1"]),
        (64, &["nonsense"]),
        (64, &["keygen", "default"]),
        (66, &["policy", "check", "policy.toml"]),
        (66, &["policy", "show", "policy.toml"]),
        (
            68,
            &["upload", "data.txt", "--name", "data", "--host", nobody],
        ),
        (64, &["trust", "update", "data.txt"]),
    ] {
        let object = told(&place, code, line);
        let said = [&object["message"], &object["error"]];
        assert!(
            said.iter().any(|said| !said.is_null()),
            "{line:?}: {object}"
        );
    }
    // A state folder that others may enter is not used.
    fs::set_permissions(place.at("home"), Permissions::from_mode(0o755)).unwrap();
    told(&place, 78, &["list"]);
}

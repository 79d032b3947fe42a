//! Identities that are carried elsewhere under a passphrase, and replaced by new ones.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use mc2_client::state::State;
use mc2_protocol::Identity;
use mc2_tests::program;
use serde_json::Value;

/// One person's machine.
struct Person(tempfile::TempDir);

impl Person {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn state(&self) -> State {
        State::at(self.at("mc2"))
    }

    fn mc2(&self, arguments: &[&str]) -> Output {
        Command::new(program("mc2"))
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("MC2_HOME", self.at("mc2"))
            .output()
            .expect("mc2 runs")
    }

    /// What it says where it must succeed.
    fn does(&self, arguments: &[&str]) -> String {
        let output = self.mc2(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// What it says where it must end with this code.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let output = self.mc2(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        error
    }

    fn identity(&self, name: &str) -> Identity {
        self.state().identity(name).expect("an identity")
    }

    fn export(&self, name: &str, passphrase: &str) -> PathBuf {
        fs::write(self.at("passphrase"), passphrase).expect("written");
        let file = self.at("exported.json");
        let path = file.to_str().expect("text");
        self.does(&[
            "identity",
            "export",
            name,
            "-o",
            path,
            "--passphrase-file",
            "passphrase",
        ]);
        file
    }

    fn import(&self, file: &Path, passphrase: &str) -> Output {
        fs::write(self.at("passphrase"), passphrase).expect("written");
        let path = file.to_str().expect("text");
        self.mc2(&[
            "identity",
            "import",
            path,
            "--passphrase-file",
            "passphrase",
        ])
    }
}

#[test]
fn an_identity_is_carried_by_its_passphrase_and_nothing_else() {
    let (here, there) = (Person::new(), Person::new());
    here.does(&["keygen", "alice"]);
    let alice = here.identity("alice");
    let file = here.export("alice", "correct horse\n");
    let bytes = fs::read_to_string(&file).expect("text");
    let secret = alice.to_text();
    assert!(!bytes.contains(&secret["mc2secret1".len()..][..20]));
    let json: Value = serde_json::from_str(&bytes).expect("JSON");
    // What its key is made with stands in it.
    let parameters = &json["identity"]["under"]["passphrase"];
    assert_eq!(parameters["memory_kib"], 64 * 1024);
    assert_eq!(parameters["passes"], 3);

    let output = there.import(&file, "correct cow\n");
    assert_ne!(output.status.code(), Some(0));
    assert!(there.state().identities().expect("none").is_empty());

    let output = there.import(&file, "correct horse\n");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(there.identity("alice").card(), alice.card());
    assert_eq!(*there.identity("alice").to_text(), *secret);

    // Neither the export nor an identity is written over.
    let path = file.to_str().expect("text");
    let arguments = [
        "identity",
        "export",
        "alice",
        "-o",
        path,
        "--passphrase-file",
        "passphrase",
    ];
    assert_ne!(here.mc2(&arguments).status.code(), Some(0));
    assert_eq!(fs::read_to_string(&file).expect("text"), bytes);
    let other = Person::new();
    other.does(&["keygen", "alice"]);
    let before = other.identity("alice");
    assert_ne!(
        other.import(&file, "correct horse\n").status.code(),
        Some(0)
    );
    assert_eq!(other.identity("alice").card(), before.card());
}

/// What an exported file states and what it holds are one identity, or nothing is taken.
#[test]
fn an_exported_identity_under_another_s_card_is_refused() {
    let (here, there) = (Person::new(), Person::new());
    here.does(&["keygen", "alice"]);
    here.does(&["keygen", "mallory"]);
    let file = here.export("alice", "correct horse\n");
    let text = fs::read_to_string(&file).expect("text");
    let swapped = text.replace(
        &here.identity("alice").card().to_string(),
        &here.identity("mallory").card().to_string(),
    );
    assert_ne!(swapped, text);
    let forged = here.at("forged.json");
    fs::write(&forged, swapped).expect("written");
    let output = there.import(&forged, "correct horse\n");
    assert_ne!(output.status.code(), Some(0));
    assert!(there.state().identities().expect("none").is_empty());
}

#[test]
fn a_replaced_identity_s_data_still_open_and_both_cards_are_shown() {
    let bank = Person::new();
    bank.does(&["keygen", "default"]);
    let old = bank.identity("default");
    fs::write(bank.at("sales.csv"), "a,b\n1,2\n").expect("written");
    bank.does(&["seal", "sales.csv", "--name", "sales"]);
    // A lost data key: only the identity it is wrapped to opens it.
    fs::remove_dir_all(bank.at("mc2/keys")).expect("keys");

    let told = bank.does(&["identity", "replace"]);
    let new = bank.identity("default");
    assert_ne!(new.card(), old.card());
    assert!(told.contains("another digest"), "{told}");
    for card in [old.card(), new.card()] {
        assert!(told.contains(&card.fingerprint()), "{told}");
        let shown = bank.does(&["identity", "show"]);
        assert!(shown.contains(&card.fingerprint()), "{shown}");
    }
    bank.does(&["open", "sales.sealed", "-o", "again.csv"]);
    assert_eq!(fs::read(bank.at("again.csv")).expect("it"), b"a,b\n1,2\n");
}

/// Row 26.
#[test]
fn a_party_s_new_card_is_taken_only_where_the_old_one_signed_it_and_it_was_compared() {
    let (bank, other) = (Person::new(), Person::new());
    bank.does(&["keygen", "bank-b"]);
    let old = bank.identity("bank-b");
    let statement = |told: &str| {
        let line = told.lines().find(|line| line.starts_with("statement"));
        let path = line.and_then(|line| line.split_whitespace().nth(1));
        path.expect("where it is").to_owned()
    };
    let first = statement(&bank.does(&["identity", "replace", "bank-b"]));
    let new = bank.identity("bank-b");
    let fingerprint = new.card().fingerprint();
    let add = |file: &str, fingerprint: &str| {
        other.mc2(&["party", "add", file, "--fingerprint", fingerprint])
    };

    // Whose old card is not known is not known by the new one.
    let output = add(&first, &fingerprint);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert!(error.contains("is not known here"), "{error}");

    let card = other.at("old.card");
    fs::write(&card, old.card().to_string()).expect("written");
    let old_fingerprint = old.card().fingerprint();
    let card = card.to_str().expect("text");
    other.does(&["party", "add", card, "--fingerprint", &old_fingerprint]);

    // Somebody else's signature, and a fingerprint nobody compared.
    let forged = other.at("forged");
    let text = fs::read_to_string(&first).expect("text");
    let at = text.trim().len() - 4;
    let broken = format!("{}AAAA", &text[..at]);
    fs::write(&forged, broken).expect("written");
    assert_eq!(
        add(forged.to_str().expect("text"), &fingerprint)
            .status
            .code(),
        Some(64)
    );
    assert_eq!(add(&first, &old_fingerprint).status.code(), Some(64));
    let listed = other.does(&["party", "list"]);
    assert!(!listed.contains(&fingerprint), "{listed}");

    let output = add(&first, &fingerprint);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0));
    assert!(told.contains("another digest"), "{told}");
    let listed = other.does(&["party", "list"]);
    for fingerprint in [&fingerprint, &old_fingerprint] {
        assert!(listed.contains(fingerprint.as_str()), "{listed}");
    }
    let json: Value =
        serde_json::from_str(&other.does(&["party", "list", "--json"])).expect("JSON");
    assert_eq!(json["parties"][0]["fingerprint"], fingerprint.as_str());
    assert_eq!(json["parties"][0]["replaces"], old_fingerprint.as_str());
}

#[test]
fn prune_takes_nothing_while_it_only_says_what_would_go() {
    let person = Person::new();
    person.does(&["keygen"]);
    let told = person.does(&["prune", "--older-than", "90d", "--dry-run", "--json"]);
    let json: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(json["dry_run"], true);
    assert_eq!(json["jobs"].as_array().map(Vec::len), Some(0));
    let error = person.refused(&["prune", "--older-than", "soon"], 64);
    assert!(error.contains("90d"), "{error}");
}

//! What keeps a broker's secrets at rest, by command: a passphrase, the kernel's keyring, and a
//! PKCS#11 token, which is SoftHSM's.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output},
};

use mc2_tests::Place;
use serde_json::Value;

/// Where Debian's package has SoftHSM's module, unless the environment says otherwise.
const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A person with a broker's folder, a place for its mark and a file with each secret.
struct Kept {
    place: Place,
}

impl Kept {
    fn new() -> Self {
        let place = Place::new();
        fs::create_dir(place.at("run")).expect("what the test needs");
        fs::create_dir(place.at("tokens")).expect("what the test needs");
        let tokens = place.at("tokens");
        let configuration = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        fs::write(place.at("softhsm.conf"), configuration).expect("what the test needs");
        fs::write(place.at("right"), "1234 right\n").expect("what the test needs");
        fs::write(place.at("wrong"), "1234 wrong\n").expect("what the test needs");
        Self { place }
    }

    fn in_environment<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("MC2_BROKER_HOME", self.place.at("broker"))
            .env("XDG_RUNTIME_DIR", self.place.at("run"))
            .env("SOFTHSM2_CONF", self.place.at("softhsm.conf"))
    }

    fn broker(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["broker"];
        all.extend(arguments);
        let mut command = self.place.command("mc2", &all);
        self.in_environment(&mut command)
            .output()
            .expect("mc2 starts")
    }

    fn good(&self, arguments: &[&str]) -> String {
        let output = self.broker(arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.broker(arguments);
        assert!(!output.status.success(), "{}", stdout(&output));
        stderr(&output)
    }

    /// An owner's version of a dataset for this broker, which it takes where it is unlocked.
    fn give(&self) {
        fs::write(self.place.at("card"), self.good(&["card"])).expect("what the test needs");
        let mc2 = |arguments: &[&str]| {
            let output = self.place.mc2(arguments);
            assert!(output.status.success(), "{}", stderr(&output));
            stdout(&output)
        };
        mc2(&["keygen", "owner"]);
        mc2(&["seal", "data.txt", "--name", "data", "--as", "owner"]);
        let give = ["--broker", "card", "--number", "1", "--as", "owner"];
        self.good(&[&["give", "data.sealed"], give.as_slice()].concat());
        let owner = self
            .place
            .state("home")
            .identity("owner")
            .expect("what the test needs");
        let fingerprint = owner.card().fingerprint();
        let card = self.place.at("home/cards/owner.card");
        let add = [
            "party",
            "add",
            card.to_str().expect("a path of text"),
            "--fingerprint",
            &fingerprint,
        ];
        let output = self
            .place
            .command_of("broker", "mc2", &add)
            .output()
            .expect("what the test needs");
        assert!(output.status.success(), "{}", stderr(&output));
    }

    fn token(&self, label: &str) {
        let mut command = Command::new("softhsm2-util");
        let arguments = [
            "--init-token",
            "--free",
            "--so-pin",
            "87654321",
            "--pin",
            "1234 right",
            "--label",
            label,
        ];
        let output = self.in_environment(&mut command).args(arguments).output();
        let output = output.expect("softhsm2-util, of Debian's package softhsm2");
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn softhsm() -> String {
    let path = env::var_os("MC2_SOFTHSM").map_or(SOFTHSM.into(), PathBuf::from);
    path.to_str().expect("a path of text").to_owned()
}

#[test]
fn a_broker_kept_under_a_passphrase_takes_keys_with_it_and_with_no_other() {
    let kept = Kept::new();
    let words = kept.refused(&["init", "keeper"]);
    assert!(words.contains("--passphrase-file"), "{words}");
    assert!(!kept.place.at("broker/broker.json").exists());
    kept.good(&["init", "keeper", "--passphrase-file", "right"]);
    kept.give();
    let wrong = kept.broker(&["add", "data.sealed", "--passphrase-file", "wrong"]);
    let words = stderr(&wrong);
    assert!(words.contains("cannot unwrap it"), "{words}");
    // As a wrong one for an identity does.
    assert_eq!(wrong.status.code(), Some(76));
    // A descriptor, as a secret manager hands one over.
    let add = [
        "broker",
        "add",
        "data.sealed",
        "--passphrase-file",
        "/dev/fd/0",
    ];
    let mut command = kept.place.command("mc2", &add);
    command.stdin(fs::File::open(kept.place.at("right")).unwrap());
    let output = kept.in_environment(&mut command).output().unwrap();
    assert!(
        stdout(&output).contains("data version 1"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_broker_kept_in_a_token_has_no_key_outside_it_and_says_what_is_missing() {
    let kept = Kept::new();
    kept.token("mine");
    let module = softhsm();
    let init = ["init", "keeper", "--keys", "pkcs11", "--module", &module];
    let with = |token, pin| [init.as_slice(), &["--token", token, "--pin-file", pin]].concat();
    let words = kept.refused(&with("nobody's", "right"));
    assert!(
        words.contains("no slot has a token with the label \"nobody's\""),
        "{words}"
    );
    let words = kept.refused(&with("mine", "wrong"));
    assert!(words.contains("refused the PIN"), "{words}");
    let nothing = ["init", "keeper", "--keys", "pkcs11", "--token", "mine"];
    let no_module = [
        &nothing,
        ["--module", "/nowhere.so", "--pin-file", "right"].as_slice(),
    ]
    .concat();
    let words = kept.refused(&no_module);
    assert!(words.contains("/nowhere.so"), "{words}");
    kept.good(&with("mine", "right"));

    kept.give();
    let words = kept.refused(&["add", "data.sealed", "--pin-file", "wrong"]);
    assert!(words.contains("refused the PIN"), "{words}");
    let text = kept.good(&["add", "data.sealed", "--pin-file", "right"]);
    assert!(text.contains("data version 1"), "{text}");

    // A file that was altered does not open, and the token's answer has a name.
    let settings = kept.place.at("broker/broker.json");
    let whole = fs::read_to_string(&settings).unwrap();
    let at = whole.find("\"sealed\":\"").unwrap() + 40;
    let other = if &whole[at..=at] == "A" { "B" } else { "A" };
    let altered = format!("{}{other}{}", &whole[..at], &whole[at + 1..]);
    fs::write(&settings, altered).unwrap();
    let words = kept.refused(&["add", "data.sealed", "--pin-file", "right"]);
    assert!(words.contains("cannot unwrap it"), "{words}");
    fs::write(&settings, whole).unwrap();

    // Another token of that label has not its key.
    fs::remove_dir_all(kept.place.at("tokens")).unwrap();
    fs::create_dir(kept.place.at("tokens")).unwrap();
    kept.token("mine");
    let words = kept.refused(&["add", "data.sealed", "--pin-file", "right"]);
    assert!(words.contains("has no key"), "{words}");
}

#[test]
fn a_broker_kept_in_the_keyring_asks_nobody_until_it_is_forgotten() {
    let kept = Kept::new();
    let init = [
        "init",
        "keeper",
        "--keys",
        "keyring",
        "--passphrase-file",
        "right",
    ];
    let output = kept.broker(&init);
    if !output.status.success() {
        // A container that has no keyring says so, and no broker is left that could not be unlocked.
        assert!(
            stderr(&output).contains("the kernel's keyring"),
            "{}",
            stderr(&output)
        );
        assert!(!kept.place.at("broker/broker.json").exists());
        eprintln!("skipped: this machine has no keyring of the kernel's, so none was tested");
        return;
    }
    kept.give();
    let text = kept.good(&["add", "data.sealed"]);
    assert!(text.contains("data version 1"), "{text}");

    // As a reboot leaves it: another keyring's entry is not this one.
    let settings = kept.place.at("broker/broker.json");
    let whole = fs::read_to_string(&settings).unwrap();
    let at = whole.find("\"entry\":\"broker-").unwrap() + 16;
    let entry = &whole[at..at + 8];
    fs::write(
        &settings,
        whole.replace(&format!("broker-{entry}"), "broker-00000000"),
    )
    .unwrap();
    let words = kept.refused(&["add", "data.sealed"]);
    assert!(words.contains("has no entry"), "{words}");
    let words = kept.refused(&["unlock", "--passphrase-file", "wrong"]);
    assert!(words.contains("cannot unwrap it"), "{words}");
    kept.good(&["unlock", "--passphrase-file", "right"]);
    let text = kept.good(&["add", "data.sealed"]);
    assert!(text.contains("data version 1"), "{text}");
}

#[test]
fn each_verb_of_a_broker_says_what_it_did_as_one_object_where_that_is_asked_for() {
    let kept = Kept::new();
    let told = |arguments: &[&str]| {
        let output = kept.broker(&[arguments, &["--json"]].concat());
        let told: Value = serde_json::from_slice(&output.stdout).expect("one object");
        assert_eq!(told["exit_code"], output.status.code().expect("a code"));
        told
    };
    let unlock = ["--passphrase-file", "right"];
    let made = told(&[&["init", "keeper"], unlock.as_slice()].concat());
    assert_eq!(
        (&made["status"], &made["broker"]),
        (&"made".into(), &"keeper".into())
    );
    let card = told(&["card"]);
    assert_eq!(card["card"], kept.good(&["card"]).trim());
    fs::write(kept.place.at("data.txt"), "one\n").expect("what the test needs");
    kept.give();
    let given = told(&[
        "give",
        "data.sealed",
        "--broker",
        "card",
        "--number",
        "2",
        "--as",
        "owner",
    ]);
    assert_eq!(given["status"], "given");
    let added = told(&[&["add", "data.sealed"], unlock.as_slice()].concat());
    let held = &added["held"];
    assert_eq!(
        (&held["dataset"], &held["number"]),
        (&"data".into(), &2.into())
    );
    let fingerprint = made["fingerprint"].as_str().expect("a text");
    let signed = told(&[
        "sign",
        "card",
        "--as",
        "owner",
        "--fingerprint",
        fingerprint,
    ]);
    assert!(signed["broker"].is_string());
    let removed = told(&["remove", held["object"].as_str().expect("a text")]);
    assert_eq!(
        (&removed["status"], &removed["object"]),
        (&"removed".into(), &held["object"])
    );
    let status = told_plain(&kept, &["status"]);
    assert_eq!(status["versions"], Value::Array(Vec::new()));
    let head = status["head"].as_str().expect("a text");
    let resumed = told(&["resume", "--head", head]);
    assert_eq!(
        (&resumed["status"], resumed["head"].is_string()),
        (&"resumed".into(), true)
    );
    // And what it did not do.
    let none = "0".repeat(64);
    let refused = told(&["withdraw", &none]);
    assert_eq!(refused["status"], "error");
    let message = refused["message"].as_str().expect("a text");
    assert!(message.contains("accept"), "{message}");
}

/// What is said as one object that has a form of its own.
fn told_plain(kept: &Kept, arguments: &[&str]) -> Value {
    let told = kept.good(&[arguments, &["--json"]].concat());
    serde_json::from_str(&told).expect("one object")
}

//! The commands by their outputs and exit codes, as far as no runtime is needed: bad input gets a
//! clear error before anything is started, and nothing is left half-written.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Where Cargo put a program: asked for when the test runs, for a target folder may have been moved.
fn program(name: &str) -> OsString {
    env::var_os(format!("CARGO_BIN_EXE_{name}")).expect("Cargo says where it is")
}

/// A person's own folder, with a component and some data in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let component = wat::parse_str("(component)").unwrap();
        fs::write(place.at("w.wasm"), component).unwrap();
        fs::write(place.at("data.csv"), "a,b\n1,2\n").unwrap();
        // Started never: every test here fails before.
        fs::write(place.at("runtime"), "").unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Output {
        Command::new(program(name))
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("MC2_HOME", self.at("home"))
            .env("MC2_RUNTIME", self.at("runtime"))
            .output()
            .unwrap()
    }

    fn mc2(&self, arguments: &[&str]) -> Output {
        self.command("mc2", arguments)
    }

    /// Runs `mc2-run`, which must fail with this code and say all of these words.
    fn refused(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let before = self.names();
        let output = self.command("mc2-run", arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        for word in words {
            assert!(
                stderr.contains(word),
                "{arguments:?}: no {word:?} in {stderr}"
            );
        }
        let mut after = self.names();
        after.retain(|name| name != "home");
        assert_eq!(before, after, "{arguments:?} left something behind");
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "home")
            .collect();
        names.sort();
        names
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn success(output: Output) -> String {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    stdout
}

#[test]
fn a_workload_that_is_none_is_told_what_it_is() {
    let place = Place::new();
    fs::write(place.at("core.wasm"), wat::parse_str("(module)").unwrap()).unwrap();
    fs::write(place.at("native.cwasm"), b"\x7fELF\x02\x01\x01").unwrap();
    fs::write(place.at("text.wasm"), "hello").unwrap();
    fs::write(place.at("empty.wasm"), "").unwrap();
    place.refused(&["no.wasm"], 64, &["no.wasm does not exist"]);
    place.refused(
        &["core.wasm"],
        65,
        &["core WebAssembly module", "wasm32-wasip2"],
    );
    place.refused(&["native.cwasm"], 65, &["native code", "never accepted"]);
    place.refused(&["text.wasm"], 65, &["68 65 6c 6c 6f"]);
    place.refused(&["empty.wasm"], 65, &["empty"]);
}

#[test]
fn inputs_that_cannot_be_read_are_refused_by_name() {
    let place = Place::new();
    fs::create_dir(place.at("empty")).unwrap();
    fs::create_dir(place.at("linked")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place.at("linked/x")).unwrap();
    place.refused(
        &["w.wasm", "--in", "a=no.csv"],
        64,
        &["--in a", "no.csv does not exist"],
    );
    place.refused(&["w.wasm", "--in", "a.csv"], 64, &["NAME=PATH"]);
    place.refused(
        &["w.wasm", "--in", "a/b=data.csv"],
        64,
        &["a/b", "A-Z a-z 0-9"],
    );
    place.refused(&["w.wasm", "--in", "a=empty"], 64, &["holds no file"]);
    place.refused(&["w.wasm", "--in", "a=linked"], 64, &["symbolic link"]);
    place.refused(
        &["w.wasm", "--in", "a=data.csv", "--in", "a=data.csv"],
        64,
        &["\"a\" is given twice"],
    );
    place.refused(
        &["w.wasm", "--in", "stdin=data.csv", "--stdin", "-"],
        64,
        &["\"stdin\" is given twice"],
    );
}

#[test]
fn outputs_that_could_not_be_written_are_refused_before_the_run() {
    let place = Place::new();
    fs::create_dir(place.at("full")).unwrap();
    fs::write(place.at("full/x"), "x").unwrap();
    place.refused(
        &["w.wasm", "--out", "a=no/where"],
        64,
        &["folder no does not exist"],
    );
    place.refused(
        &["w.wasm", "--out", "a=full"],
        64,
        &["full is a folder", "a=full/"],
    );
    place.refused(
        &["w.wasm", "--out", "a=full/"],
        64,
        &["something is there already"],
    );
    place.refused(
        &["w.wasm", "--out", "stderr=x"],
        64,
        &["stderr is a stream"],
    );
    place.refused(
        &["w.wasm", "--out", "a=x", "--out", "b=x"],
        64,
        &["two outputs go to x"],
    );
}

#[test]
fn arguments_that_make_no_sense_end_with_the_code_for_bad_input() {
    let place = Place::new();
    place.refused(&[], 64, &["WORKLOAD"]);
    place.refused(&["w.wasm", "--no-such"], 64, &["--no-such"]);
    place.refused(&["w.wasm", "--memory", "lots"], 64, &["--memory"]);
    place.refused(&["w.wasm", "--timeout", "1"], 64, &["--timeout"]);
    place.refused(&["w.wasm", "--engine-profile", "xx"], 64, &["vm or sgx"]);
    place.refused(
        &["w.wasm", "--host", "localhost:1"],
        64,
        &["https://NAME:PORT"],
    );
    place.refused(
        &["w.wasm", "--runtime", "nowhere"],
        64,
        &["cargo xtask build"],
    );
    place.refused(&["w.wasm", "--as", "nobody"], 64, &["mc2 keygen nobody"]);
}

#[test]
fn help_lists_every_exit_code() {
    let help = success(Place::new().command("mc2-run", &["--help"]));
    for code in 64..80 {
        assert!(help.contains(&format!("\n   {code}  ")), "{code} in {help}");
    }
}

#[test]
fn a_policy_that_is_none_is_refused_with_the_place() {
    let place = Place::new();
    fs::write(
        place.at("p.toml"),
        "version = 1\nname = \"x\"\nsurprise = 2\n",
    )
    .unwrap();
    place.refused(&["w.wasm", "--policy", "no.toml"], 64, &["no.toml"]);
    place.refused(
        &["w.wasm", "--policy", "p.toml"],
        66,
        &["surprise", "line 3"],
    );
    fs::write(place.at("p.toml"), "version = ").unwrap();
    place.refused(&["w.wasm", "--policy", "p.toml"], 66, &["line 1"]);
    place.refused(
        &["w.wasm", "--policy", "p.toml", "--memory", "1GiB"],
        64,
        &["the policy states the limits"],
    );
}

#[test]
fn a_host_that_is_not_there_has_a_code_of_its_own() {
    let place = Place::new();
    let arguments = ["w.wasm", "--allow-simulated", "--host", "unix:no.sock"];
    place.refused(&arguments, 68, &["cannot reach the host unix:no.sock"]);
    let arguments = ["w.wasm", "--host", "unix:no.sock"];
    place.refused(&arguments, 64, &["--tee"]);
}

#[test]
fn a_runtime_that_does_not_start_has_a_code_of_its_own() {
    let place = Place::new();
    fs::write(place.at("runtime"), "#!/bin/sh\nexit 3\n").unwrap();
    fs::set_permissions(place.at("runtime"), fs::Permissions::from_mode(0o755)).unwrap();
    place.refused(&["w.wasm"], 69, &["cannot start the runtime"]);
}

#[test]
fn an_error_is_one_json_object_where_that_was_asked_for() {
    let place = Place::new();
    let output = place.command("mc2-run", &["w.wasm", "--json", "--in", "a=no.csv"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["exit_code"], 64);
    assert_eq!(error["status"], "error");
    assert!(error["message"].as_str().unwrap().contains("no.csv"));
}

#[test]
fn an_identity_is_made_once_and_its_secret_is_shown_nowhere() {
    let place = Place::new();
    let made = success(place.mc2(&["keygen", "alice"]));
    assert!(made.contains("fingerprint"), "{made}");
    let again = place.mc2(&["keygen", "alice"]);
    assert_eq!(again.status.code(), Some(64), "{}", text(&again.stderr));

    let key = place.at("home/identities/alice.key");
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        fs::metadata(place.at("home")).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let secret = fs::read_to_string(&key).unwrap();
    let secret = secret
        .lines()
        .find(|line| line.starts_with("mc2secret1"))
        .unwrap();
    let shown = success(place.mc2(&["inspect", key.to_str().unwrap()]));
    assert!(
        shown.contains("alice") && !shown.contains(&secret[12..40]),
        "{shown}"
    );
    let card = success(place.mc2(&["inspect", "home/cards/alice.card"]));
    let fingerprint = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("fingerprint"));
        line.unwrap()["fingerprint".len()..].trim().to_owned()
    };
    assert_eq!(fingerprint(&card), fingerprint(&made));
}

#[test]
fn what_was_sealed_opens_to_the_same_bytes() {
    let place = Place::new();
    let big: Vec<u8> = (0..9_000_000u32).map(|i| (i * 7 + i / 251) as u8).collect();
    fs::create_dir_all(place.at("folder/deep")).unwrap();
    fs::write(place.at("folder/big"), &big).unwrap();
    fs::write(place.at("folder/deep/.empty"), "").unwrap();

    success(place.mc2(&["seal", "data.csv", "--name", "one"]));
    success(place.mc2(&["seal", "folder", "--name", "many"]));
    let shown = success(place.mc2(&["inspect", "one.sealed"]));
    assert!(
        shown.contains("text/csv") && shown.contains("dataset      one"),
        "{shown}"
    );

    let opened = place.mc2(&["open", "one.sealed", "-o", "opened.csv"]);
    assert_eq!(text(&opened.stderr), "");
    success(opened);
    assert_eq!(fs::read(place.at("opened.csv")).unwrap(), b"a,b\n1,2\n");
    success(place.mc2(&["open", "many.sealed", "-o", "opened"]));
    assert_eq!(fs::read(place.at("opened/big")).unwrap(), big);
    assert_eq!(fs::read(place.at("opened/deep/.empty")).unwrap(), b"");

    // A lost state folder loses no data: the identity alone opens it.
    fs::remove_dir_all(place.at("home/keys")).unwrap();
    let opened = place.mc2(&["open", "one.sealed", "-o", "again.csv"]);
    assert!(text(&opened.stderr).contains("not shown: that you sealed it"));
    success(opened);
    assert_eq!(fs::read(place.at("again.csv")).unwrap(), b"a,b\n1,2\n");
}

#[test]
fn a_sealed_object_that_was_altered_anywhere_opens_to_nothing() {
    let place = Place::new();
    success(place.mc2(&["seal", "data.csv", "--name", "one"]));
    for file in ["manifest", "files/0", "digests/0"] {
        let path = place.at("one.sealed").join(file);
        let whole = fs::read(&path).unwrap();
        let step = (whole.len() / 40).max(1);
        for at in (0..whole.len()).step_by(step) {
            let mut broken = whole.clone();
            broken[at] ^= 1;
            fs::write(&path, &broken).unwrap();
            assert_refused(&place, &format!("{file} byte {at}"));
        }
        for broken in [&whole[..whole.len() - 1], &[], &[&whole[..], b"x"].concat()] {
            fs::write(&path, broken).unwrap();
            assert_refused(&place, &format!("{file} of {} bytes", broken.len()));
        }
        fs::write(&path, whole).unwrap();
    }
    success(place.mc2(&["open", "one.sealed", "-o", "opened.csv"]));
}

fn assert_refused(place: &Place, what: &str) {
    let output = place.mc2(&["open", "one.sealed", "-o", "opened.csv"]);
    let code = output.status.code().unwrap();
    assert!(
        [76, 77].contains(&code),
        "{what}: {code} {}",
        text(&output.stderr)
    );
    let left: Vec<String> = place.names();
    assert!(
        !left
            .iter()
            .any(|name| name.starts_with("opened") || name.starts_with(".mc2")),
        "{what}: {left:?}"
    );
}

#[test]
fn another_persons_object_does_not_open() {
    let place = Place::new();
    success(place.mc2(&["keygen", "alice"]));
    success(place.mc2(&["keygen", "bob"]));
    success(place.mc2(&["seal", "data.csv", "--name", "one", "--as", "alice"]));
    fs::remove_dir_all(place.at("home/keys")).unwrap();
    let output = place.mc2(&["open", "one.sealed", "-o", "x", "--as", "bob"]);
    assert_eq!(output.status.code(), Some(76));
    assert!(
        text(&output.stderr).contains("--as"),
        "{}",
        text(&output.stderr)
    );
    assert!(!Path::new(&place.at("x")).exists());
    success(place.mc2(&["open", "one.sealed", "-o", "x", "--as", "alice"]));
}

#[test]
fn sealing_writes_nothing_when_a_file_cannot_be_part_of_it() {
    let place = Place::new();
    fs::create_dir(place.at("mixed")).unwrap();
    fs::write(place.at("mixed/a"), "a").unwrap();
    std::os::unix::fs::symlink("a", place.at("mixed/b")).unwrap();
    let before = place.names();
    let output = place.mc2(&["seal", "mixed", "--name", "mixed"]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output.stderr));
    assert_eq!(before, place.names());
    // A taken name is not replaced.
    success(place.mc2(&["seal", "data.csv", "--name", "one"]));
    let output = place.mc2(&["seal", "data.csv", "--name", "one"]);
    assert_eq!(output.status.code(), Some(77), "{}", text(&output.stderr));
}

#[test]
fn what_is_no_receipt_does_not_verify() {
    let place = Place::new();
    for (name, bytes) in [("empty", ""), ("text", "hello"), ("json", "{}")] {
        fs::write(place.at(name), bytes).unwrap();
        let output = place.mc2(&["verify", name]);
        assert_eq!(output.status.code(), Some(75), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("not a receipt"));
    }
    let output = place.mc2(&["verify", "nothing"]);
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn things_are_told_apart_by_what_they_hold() {
    let place = Place::new();
    let shown = success(place.mc2(&["inspect", "w.wasm"]));
    assert!(
        shown.contains("WebAssembly component") && shown.contains("sha256"),
        "{shown}"
    );
    fs::write(place.at("core.wasm"), wat::parse_str("(module)").unwrap()).unwrap();
    let shown = success(place.mc2(&["inspect", "core.wasm"]));
    assert!(shown.contains("not a component"), "{shown}");
    let output = place.mc2(&["inspect", "data.csv"]);
    assert_eq!(output.status.code(), Some(64));
    let output = place.mc2(&["inspect", "home"]);
    assert_eq!(output.status.code(), Some(64));
}

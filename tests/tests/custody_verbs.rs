//! A model that no party may read, by the commands alone: one party trains it, another keeps its key,
//! a third has rows scored with it and can do nothing else. The policy is `policies/score-only.toml`,
//! and every command of docs/custody.md is typed.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    cell::RefCell,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use mc2_client::party::{Fingerprint, Parties};
use mc2_protocol::{Card, Digest, Identity, policy::Policy};
use mc2_tests::{Place, Stack, component, ended, parse, text};
use serde_json::Value;

const PARTIES: [&str; 3] = ["bank-a", "keeper", "shop"];
/// Rows that a model is trained on, and rows it scores.
const HISTORY: std::ops::Range<u32> = 0..400;
const APPLICANTS: std::ops::Range<u32> = 400..500;

struct Scene {
    stack: Stack,
    place: Place,
    policy: Policy,
    host: String,
    /// What was typed, by whom.
    typed: RefCell<Vec<String>>,
}

impl Scene {
    /// Everybody has made an identity and compared the others' cards; the data is at the host.
    async fn new() -> Self {
        let scene = Self::with(|_, _, policy| policy).await;
        let host = &scene.host;
        for (party, file, name) in [
            ("bank-a", "history.csv", "history"),
            ("shop", "applicants.csv", "applicants"),
        ] {
            scene.told(party, 0, &["upload", file, "--name", name, "--host", host]);
        }
        scene
    }

    /// The same, with no data at the host yet, under a policy that is changed a little.
    async fn with(change: impl FnOnce(&Place, &[Identity; 3], String) -> String) -> Self {
        let stack = Stack::start().await;
        let place = Place::new();
        let identities = PARTIES.map(|name| {
            let made = place.state(name).make_identity(parse(name));
            made.ok().unwrap().0
        });
        let policy = change(&place, &identities, policy(&identities));
        let policy = Policy::parse(policy.as_bytes()).unwrap();
        fs::write(place.at("score-only.toml"), policy.bytes()).unwrap();
        for name in PARTIES {
            let state = place.state(name);
            for other in &identities {
                let told: Fingerprint = parse(&other.card().fingerprint());
                let mut known = Parties::load(&state).unwrap();
                known.add(&state, other.card(), &told).unwrap();
            }
        }
        // Asking for a challenge starts the process of this policy, and then its key is known.
        stack.remote.challenge(policy.digest()).await.unwrap();
        for name in PARTIES {
            let file = place.state(name).trust_store();
            fs::write(file, stack.trust().to_bytes()).unwrap();
        }
        fs::write(place.at("history.csv"), table(HISTORY, true)).unwrap();
        fs::write(place.at("applicants.csv"), table(APPLICANTS, false)).unwrap();
        Self {
            host: format!("unix:{}", stack.socket().display()),
            stack,
            place,
            policy,
            typed: RefCell::default(),
        }
    }

    fn mc2(&self, party: &str, arguments: &[&str]) -> Output {
        let typed = format!("{party}$ mc2 {}", arguments.join(" "));
        self.typed.borrow_mut().push(typed);
        let mut all = arguments.to_vec();
        let at = all.iter().position(|one| *one == "--");
        all.insert(at.unwrap_or(all.len()), "--allow-simulated");
        self.place.command_of(party, "mc2", &all).output().unwrap()
    }

    /// The object that `mc2 … --json` wrote, after it ended with this code.
    #[track_caller]
    fn told(&self, party: &str, code: i32, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        let at = all.iter().position(|one| *one == "--");
        all.insert(at.unwrap_or(all.len()), "--json");
        let output = self.mc2(party, &all);
        ended(&output, code);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A session that the bank opened and the others joined, and that both who are asked approved;
    /// with the approval go the bank's key, and the keeper's if there is one.
    fn session(&self) -> String {
        let (host, policy) = (&self.host, "score-only.toml");
        let workload = component("xgboost");
        let workload = workload.to_str().unwrap();
        let open = [
            "session",
            "open",
            policy,
            "--host",
            host,
            "--component",
            workload,
        ];
        let session = string(&self.told("bank-a", 0, &open)["session"]);
        let join = [
            "session", "join", &session, "--policy", policy, "--host", host,
        ];
        for party in ["keeper", "shop"] {
            self.told(party, 0, &join);
        }
        session
    }

    fn approve(&self, party: &str, session: &str) -> Value {
        let digest = self.policy.digest().to_string();
        self.told(party, 0, &["approve", session, "--digest", &digest])
    }

    fn release(&self, party: &str, session: &str, code: i32, options: &[&str]) -> Value {
        let digest = self.policy.digest().to_string();
        let mut line = vec!["release", session, "--digest", &digest];
        line.extend(options);
        self.told(party, code, &line)
    }

    /// Trains a model of so many rounds in a session, and has the keeper take its key: the object.
    fn trained(&self, session: &str, number: &str, rounds: &str) -> String {
        let train = ["submit", session, "train", "--now", "--", "3", rounds];
        let submitted = self.told("bank-a", 0, &train);
        assert_eq!(submitted["number"].to_string(), number);
        let watched = self.told("keeper", 0, &["watch", session, number]);
        assert_eq!(watched["custody"][0]["kept"], true, "{watched}");
        string(&watched["custody"][0]["object"])
    }

    /// The scores of the shop's applicants, from a job that it submits.
    fn scored(&self, session: &str, number: &str, options: &[&str]) -> Vec<f64> {
        self.release("shop", session, 0, &[]);
        let mut line = vec!["submit", session, "score", "--now"];
        line.extend(options);
        let submitted = self.told("shop", 0, &line);
        assert_eq!(submitted["number"].to_string(), number);
        let watch = ["watch", session, number, "--keep-sealed", "result"];
        let watched = self.told("shop", 0, &watch);
        assert_eq!(watched["status"], "succeeded");
        ended(
            &self.mc2("shop", &["open", "result", "--output", "scores"]),
            0,
        );
        let scores = fs::read_to_string(self.place.at("scores/scores")).unwrap();
        for folder in ["result", "scores"] {
            fs::remove_dir_all(self.place.at(folder)).unwrap();
        }
        let scores = scores.lines().skip(1);
        scores.map(|score| score.parse().unwrap()).collect()
    }
}

/// Every command of the page was typed, but for what scripts say instead of being asked.
#[track_caller]
fn assert_page_was_typed(scene: &Scene, session: &str, object: &str) {
    const LEFT_OUT: [&str; 2] = ["--json", "--now"];
    let workload = component("xgboost");
    let digest = format!("--digest {}", scene.policy.digest());
    let as_on_page = |typed: &String| {
        let typed = typed
            .replace(&digest, "")
            .replace(session, "3b7e91c0")
            .replace(object, "5f1c…")
            .replace(&scene.host, "https://enclaves.example:8443")
            .replace(workload.to_str().unwrap(), "xgboost.wasm");
        let words = typed.split_whitespace();
        let words: Vec<&str> = words.filter(|word| !LEFT_OUT.contains(word)).collect();
        words.join(" ")
    };
    let typed: Vec<String> = scene.typed.borrow().iter().map(as_on_page).collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/custody.md");
    let page = fs::read_to_string(page)
        .unwrap()
        .replace("3b7e… ", "3b7e91c0 ");
    let commands = page.lines().filter(|line| line.contains("$ mc2 "));
    let mut commands = commands.peekable();
    assert!(commands.peek().is_some());
    for command in commands {
        assert!(
            typed.iter().any(|one| one == command),
            "{command}\nis on the page; typed was {typed:#?}"
        );
    }
}

/// The example, with these parties' cards, the component that was built, and three runs in all.
fn policy(identities: &[Identity; 3]) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/score-only.toml");
    let mut policy = fs::read_to_string(file).unwrap();
    let example = Policy::parse(policy.as_bytes()).unwrap();
    for (theirs, own) in example.parties().iter().zip(identities) {
        assert_eq!(theirs.name(), own.card().name());
        policy = policy.replace(&theirs.to_string(), &own.card().to_string());
    }
    let workload = Digest::of(&fs::read(component("xgboost")).unwrap()).to_string();
    let named = example.components()[0].sha256.to_string();
    assert!(policy.contains("runs = 100"));
    policy
        .replace(&named, &workload)
        .replace("runs = 100", "runs = 3")
}

/// Whether somebody with this income and debt pays: what there is to be learnt.
fn defaults(row: u32) -> bool {
    debt(row) > income(row)
}

fn income(row: u32) -> u32 {
    row * 37 % 101
}

fn debt(row: u32) -> u32 {
    row * 53 % 97
}

fn table(rows: std::ops::Range<u32>, label: bool) -> String {
    let mut table = String::from(if label {
        "income,debt,defaulted\n"
    } else {
        "income,debt\n"
    });
    for row in rows {
        let _ = write!(table, "{},{}", income(row), debt(row));
        if label {
            let _ = write!(table, ",{}", u8::from(defaults(row)));
        }
        table.push('\n');
    }
    table
}

fn string(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Nine in ten are told right.
#[track_caller]
fn assert_told_right(scores: &[f64]) {
    assert_eq!(scores.len(), APPLICANTS.count());
    let right = APPLICANTS.zip(scores);
    let right = right.filter(|(row, score)| (**score > 0.5) == defaults(*row));
    let right = right.count();
    assert!(right >= 90, "{right} of {}", scores.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_nobody_reads_is_trained_kept_and_scored_with_by_the_commands_alone() {
    let scene = Scene::new().await;
    let session = scene.session();
    scene.approve("bank-a", &session);
    let approved = scene.approve("keeper", &session);
    // There is no model yet.
    assert_eq!(approved["released"], Value::Array(Vec::new()));
    assert_eq!(approved["left_out"][0]["dataset"], "model");

    // The bank trains, and gets nothing of it.
    let train = ["submit", &session, "train", "--now", "--", "3", "40"];
    let submitted = scene.told("bank-a", 0, &train);
    assert_eq!(submitted["read"][0]["name"], "history");
    let watch = |folder| ["watch", &session, "1", "--keep-sealed", folder];
    let watched = scene.told("bank-a", 0, &watch("trained"));
    let model = &watched["custody"][0];
    assert_eq!(
        (&model["output"], &model["holder"], &model["runs"]),
        (&"model".into(), &"keeper".into(), &3.into())
    );
    assert_eq!(model["kept"], false);
    let object = string(&model["object"]);
    let stderr = ended(
        &scene.mc2("bank-a", &["open", "trained", "--output", "model"]),
        64,
    );
    assert!(stderr.contains("model is in custody"), "{stderr}");

    // Nor does the keeper, who keeps the key.
    let watched = scene.told("keeper", 0, &["watch", &session, "1"]);
    assert_eq!(watched["custody"][0]["kept"], true);
    scene.told("keeper", 0, &watch("of-keeper"));
    assert_eq!(watched["custody"][0]["object"], object);
    let listed = scene.told("keeper", 0, &["list"]);
    let kept = &listed["custody"][0];
    assert_eq!(kept["object"], object);
    assert_eq!((&kept["runs"], &kept["released"]), (&3.into(), &0.into()));
    let open = ["open", "of-keeper", "--output", "x"];
    let stderr = ended(&scene.mc2("keeper", &open), 64);
    assert!(stderr.contains("model is in custody"), "{stderr}");
    assert!(!scene.place.at("x").exists() && !scene.place.at("model").exists());
    let verified = scene.mc2("keeper", &["verify", "of-keeper"]);
    ended(&verified, 0);
    let says = "model: in custody of keeper; nobody opens it";
    let stdout = text(&verified.stdout);
    assert!(stdout.contains(says), "{stdout}");
    let verified = scene.told("keeper", 0, &["verify", "of-keeper"]);
    assert_eq!(verified["custody"][0]["object"], object);
    let inspected = text(&scene.place.mc2(&["inspect", "of-keeper"]).stdout);
    assert!(inspected.contains("in custody of card"), "{inspected}");

    // The shop is told whose key is missing, and of what; the bank need not tell it the object.
    let score = ["submit", &session, "score", "--now"];
    let refused = scene.told("shop", 64, &score);
    let message = string(&refused["message"]);
    assert!(message.contains("in custody of keeper"), "{message}");
    let version = format!("model={object}");
    let named = ["submit", &session, "score", "--now", "--in", &version];
    let refused = scene.told("shop", 66, &named);
    let message = string(&refused["message"]);
    let missing = format!("the key of model, object {object}, from keeper");
    assert!(message.contains(&missing), "{message}");
    let status = scene.told("shop", 0, &["session", "status", &session]);
    let keys = status["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["dataset"] == "model").unwrap();
    assert_eq!((&key["owner"], &key["runs"]), (&"keeper".into(), &0.into()));

    let released = scene.release("keeper", &session, 0, &["--runs", "2"]);
    assert_eq!(released["released"][0]["dataset"], "model");
    assert_eq!(released["released"][0]["object"], object);
    let scores = scene.scored(&session, "2", &["--in", &version]);
    assert_told_right(&scores);

    // In another session, for the one run that is left, and not one more.
    let other = scene.session();
    scene.approve("bank-a", &other);
    let more = scene.release("keeper", &other, 66, &["--runs", "2"]);
    let message = string(&more["message"]);
    assert!(message.contains("model"), "{message}");
    let approved = scene.approve("keeper", &other);
    assert_eq!(approved["released"][0]["object"], object);
    assert_eq!(scene.scored(&other, "1", &["--in", &version]), scores);
    let spent = scene.release("keeper", &other, 0, &[]);
    assert_eq!(spent["released"], Value::Array(Vec::new()));
    let why = string(&spent["left_out"][0]["reason"]);
    assert!(why.contains("all 3 runs"), "{why}");
    let listed = scene.told("keeper", 0, &["list"]);
    assert_eq!(listed["custody"][0]["released"], 3);
    assert_page_was_typed(&scene, &session, &object);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_score_neither_trains_nor_opens_and_who_trains_does_not_score() {
    let scene = Scene::new().await;
    let session = scene.session();
    for party in ["bank-a", "keeper"] {
        scene.approve(party, &session);
    }
    let object = scene.trained(&session, "1", "5");
    scene.release("keeper", &session, 0, &[]);
    let refused = scene.told(
        "shop",
        66,
        &["submit", &session, "train", "--now", "--", "3", "5"],
    );
    let message = string(&refused["message"]);
    assert!(message.contains("train"), "{message}");
    let version = format!("model={object}");
    let line = ["submit", &session, "score", "--now", "--in", &version];
    let refused = scene.told("bank-a", 66, &line);
    let message = string(&refused["message"]);
    assert!(message.contains("score"), "{message}");
    // Whoever keeps another's key by its object has it to give, and nobody else.
    let refused = scene.release("bank-a", &session, 64, &["--data", &version]);
    let message = string(&refused["message"]);
    assert!(message.contains("none in its custody"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_models_one_is_named_and_what_was_revoked_is_released_no_more() {
    let scene = Scene::new().await;
    let session = scene.session();
    scene.release("bank-a", &session, 0, &["--runs", "2"]);
    for party in ["bank-a", "keeper"] {
        scene.approve(party, &session);
    }
    let first = scene.trained(&session, "1", "2");
    let second = scene.trained(&session, "2", "40");
    let released = scene.release("keeper", &session, 0, &[]);
    assert_eq!(released["released"], Value::Array(Vec::new()));
    let why = string(&released["left_out"][0]["reason"]);
    assert!(why.contains("2 versions"), "{why}");
    let data = format!("model={second}");
    let released = scene.release("keeper", &session, 0, &["--data", &data]);
    assert_eq!(released["released"][0]["object"], second);
    // Whoever trained knows both, so says which.
    assert_told_right(&scene.scored(&session, "3", &["--in", &data]));
    let nowhere = format!("model={}", Digest::of(b"no such object"));
    let refused = scene.release("keeper", &session, 64, &["--data", &nowhere]);
    let message = string(&refused["message"]);
    assert!(message.contains("in keeper's custody"), "{message}");

    scene.told("keeper", 0, &["revoke", "--object", &second]);
    let refused = scene.release("keeper", &session, 66, &["--data", &data]);
    let message = string(&refused["message"]);
    assert!(message.contains("revoked"), "{message}");
    // The other is not revoked, but the session began with this one.
    let data = format!("model={first}");
    let refused = scene.release("keeper", &session, 66, &["--data", &data]);
    let message = string(&refused["message"]);
    assert!(message.contains("the enclave refused"), "{message}");
}

/// A broker's folder, and the commands of who runs it.
struct Vault<'p>(&'p Place);

impl<'p> Vault<'p> {
    fn new(place: &'p Place) -> Self {
        fs::create_dir(place.at("run")).unwrap();
        fs::write(place.at("passphrase"), "correct horse\n").unwrap();
        let vault = Self(place);
        vault.good(&["init", "vault", "--passphrase-file", "passphrase"]);
        fs::write(place.at("vault.card"), vault.good(&["card"])).unwrap();
        vault
    }

    fn command(&self, home: &str, arguments: &[&str]) -> Command {
        let mut all = vec!["broker"];
        all.extend(arguments);
        let mut command = self.0.command_of(home, "mc2", &all);
        command
            .env("MC2_BROKER_HOME", self.0.at("vault"))
            .env("XDG_RUNTIME_DIR", self.0.at("run"));
        command
    }

    #[track_caller]
    fn good(&self, arguments: &[&str]) -> String {
        self.good_by("nobody", arguments)
    }

    /// What this person's command says, which must succeed.
    #[track_caller]
    fn good_by(&self, home: &str, arguments: &[&str]) -> String {
        let output = self.command(home, arguments).output().unwrap();
        ended(&output, 0);
        text(&output.stdout)
    }
}

/// A process that is ended by SIGKILL when dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nobody who trains, keeps or owns anything is at a keyboard when the shop scores.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_keeps_the_model_and_releases_it_while_its_owner_is_away() {
    let scene = Scene::with(|place, [bank, ..], policy| {
        let vault = Vault::new(place);
        let card: Card = parse(fs::read_to_string(place.at("vault.card")).unwrap().trim());
        let fingerprint = card.fingerprint();
        let sign = ["sign", "vault.card", "--fingerprint", &fingerprint];
        let sign = [sign.as_slice(), &["--as", bank.card().name().as_str()]].concat();
        let signed = vault.good_by("bank-a", &sign);
        let owner = "owner = \"bank-a\"\n";
        let brokered = format!("{owner}broker = \"{}\"\n", signed.trim());
        policy
            .replace(owner, &brokered)
            .replace("custody = \"keeper\"", "custody = \"vault\"")
    })
    .await;
    let (place, host) = (&scene.place, &scene.host);
    let vault = Vault(place);
    let state = place.state("vault");
    for party in PARTIES {
        let card = place.state(party).identity(party).unwrap().card().clone();
        let told: Fingerprint = parse(&card.fingerprint());
        let mut known = Parties::load(&state).unwrap();
        known.add(&state, &card, &told).unwrap();
    }
    fs::write(state.trust_store(), scene.stack.trust().to_bytes()).unwrap();
    let digest = scene.policy.digest().to_string();
    vault.good(&["accept", "score-only.toml", "--policy-digest", &digest]);

    // The bank gives the vault its history, and the shop brings its rows.
    let seal = ["seal", "history.csv", "--name", "history", "--as", "bank-a"];
    let sealed = place.command_of("bank-a", "mc2", &seal).output().unwrap();
    ended(&sealed, 0);
    let give = ["give", "history.sealed", "--broker", "vault.card"];
    let give = [give.as_slice(), &["--number", "1", "--as", "bank-a"]].concat();
    vault.good_by("bank-a", &give);
    let add = ["add", "history.sealed", "--passphrase-file", "passphrase"];
    vault.good(&add);
    scene.told("bank-a", 0, &["upload", "history.sealed", "--host", host]);
    let rows = ["upload", "applicants.csv", "--name", "applicants"];
    let rows = [rows.as_slice(), &["--host", host]].concat();
    scene.told("shop", 0, &rows);

    let serve = ["serve", "--host", host, "--every", "100", "--json"];
    let serve = [
        serve.as_slice(),
        &["--allow-simulated", "--passphrase-file", "passphrase"],
    ]
    .concat();
    let mut serving = vault.command("nobody", &serve);
    serving.stdout(Stdio::null()).stderr(Stdio::null());
    let _serving = Serving(serving.spawn().unwrap());
    let session = scene.session();
    for party in ["bank-a", "keeper"] {
        scene.approve(party, &session);
    }
    let wait = ["--wait", "2min"];
    let train = ["submit", &session, "train"];
    let train = [train.as_slice(), &wait, &["--", "3", "40"]].concat();
    scene.told("bank-a", 0, &train);
    let watched = scene.told("bank-a", 0, &["watch", &session, "1"]);
    let model = &watched["custody"][0];
    assert_eq!(
        (&model["holder"], &model["kept"]),
        (&"vault".into(), &false.into())
    );
    let object = string(&model["object"]);

    scene.release("shop", &session, 0, &[]);
    let version = format!("model={object}");
    let score = ["submit", &session, "score", "--in", &version];
    let score = [score.as_slice(), &wait].concat();
    scene.told("shop", 0, &score);
    let watch = ["watch", &session, "2", "--keep-sealed", "result"];
    scene.told("shop", 0, &watch);
    let open = ["open", "result", "--output", "scores"];
    ended(&scene.mc2("shop", &open), 0);
    let scores = fs::read_to_string(place.at("scores/scores")).unwrap();
    let scores = scores.lines().skip(1);
    let scores: Vec<f64> = scores.map(|score| score.parse().unwrap()).collect();
    assert_told_right(&scores);
    let log = vault.good(&["log"]);
    for line in ["kept     model", "release"] {
        assert!(log.contains(line), "no {line:?} in {log}");
    }
}

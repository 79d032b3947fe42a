//! `docs/fraud.md`, run as it stands: two banks and a card network train a model on tables that none
//! of them shows, one bank is away behind its broker, and a shop gets scores and nothing else.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use mc2_client::state::State;
use mc2_protocol::{Identity, Manifest, policy::Policy};
use mc2_tests::{Needle, Walkthrough, component, text};

/// A row shorter than this may stand anywhere.
const ROW: usize = 10;

#[test]
fn the_page_of_two_banks_a_network_and_a_shop_runs_as_it_stands() {
    let files = [component("sql"), component("xgboost")];
    let mut page = Walkthrough::of(&repository("docs/fraud.md"), &files);
    page.run();
    the_policy_is_the_example_s(&page);
    the_scores_are_right(&page);
    nobody_has_what_is_not_theirs(&page);
}

/// `policies/fraud-scores.toml` with other keys.
fn the_policy_is_the_example_s(page: &Walkthrough) {
    let example = fs::read(repository("policies/fraud-scores.toml")).unwrap();
    let written = fs::read(page.home("network").join("policy.toml")).unwrap();
    Policy::parse(&example).unwrap();
    assert_eq!(without_keys(&example), without_keys(&written));
}

/// The lines of a policy, without comments, cards, signatures, digests and its end.
fn without_keys(policy: &[u8]) -> Vec<String> {
    let policy = text(policy);
    let lines = policy
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let keys = ["card", "broker", "sha256", "expires"];
    let lines = lines.map(|line| match line.split_once(" = ") {
        Some((key, _)) if keys.contains(&key) => key.to_owned(),
        _ => line.to_owned(),
    });
    lines.collect()
}

/// By the rule that the data was made by, and by DuckDB and XGBoost.
fn the_scores_are_right(page: &Walkthrough) {
    let scores = fs::read_to_string(page.home("shop").join("scores/scores")).unwrap();
    let scores: Vec<f64> = scores
        .lines()
        .skip(1)
        .map(|score| score.parse().unwrap())
        .collect();
    let orders = fs::read_to_string(page.home("shop").join("orders.csv")).unwrap();
    let mut cards: Vec<u32> = orders
        .lines()
        .skip(1)
        .map(|card| card.parse().unwrap())
        .collect();
    cards.sort_unstable();
    assert_eq!((cards.len(), scores.len()), (80, 80));
    let mut found = 0;
    for (card, score) in cards.iter().zip(&scores) {
        let (months, abroad) = (card * 37 % 60, card * 53 % 7);
        let abused = months < 18 && abroad > 3;
        assert_eq!(*score > 0.5, abused, "card {card}: {score}");
        found += u32::from(abused);
    }
    assert_eq!(found, 11);

    let (Some(duckdb), Some(xgboost)) = (python("MC2_PYTHON"), python("MC2_PYTHON_XGBOOST")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let counted = ran(Command::new(duckdb)
        .arg(script("fraud_features.py"))
        .arg(page.home("network").join("policy.toml"))
        .arg(folder.path())
        .arg(page.home("network").join("payments.csv"))
        .arg(page.home("bank-a").join("accounts.csv"))
        .arg(page.home("bank-b.away").join("accounts.csv"))
        .arg(page.home("shop").join("orders.csv")));
    assert_eq!(counted.trim(), "700 87");
    let predicted = ran(Command::new(xgboost)
        .arg(script("fraud_scores.py"))
        .arg(folder.path())
        .args(["3", "20"]));
    let predicted: Vec<f64> = predicted
        .lines()
        .map(|score| score.parse().unwrap())
        .collect();
    assert_eq!(predicted.len(), scores.len());
    for ((card, score), expected) in cards.iter().zip(&scores).zip(predicted) {
        assert!(
            (score - expected).abs() < 1e-4,
            "card {card}: {score}, expected {expected}"
        );
    }
}

/// No row lies in clear with anybody but whose it is, no order or score at the host, and the model with
/// nobody.
fn nobody_has_what_is_not_theirs(page: &Walkthrough) {
    let accounts_a = rows(&page.home("bank-a").join("accounts.csv"));
    let accounts_b = rows(&page.home("bank-b.away").join("accounts.csv"));
    let payments = rows(&page.home("network").join("payments.csv"));
    let orders = fs::read(page.home("shop").join("orders.csv")).unwrap();
    let scores = fs::read(page.home("shop").join("scores/scores")).unwrap();
    let model = Needle::new("the model", b"\"learner_model_param\"");
    let own = [
        Needle::new("orders", &orders[..200]),
        Needle::new("scores", &scores[..200]),
    ];
    let others = [&accounts_a[..], &accounts_b, &payments].concat();

    let of_a_bank = |other: &[Needle]| [other, &payments].concat();
    let everybody_else_s = [
        ("host", [&others[..], &own].concat()),
        ("bank-a", of_a_bank(&accounts_b)),
        ("bank-b.away", of_a_bank(&accounts_a)),
        ("broker-b", others.clone()),
        ("network", [&accounts_a[..], &accounts_b].concat()),
        ("shop", others.clone()),
    ];
    for (machine, rows) in everybody_else_s {
        let files = files(&page.home(machine));
        assert!(!files.is_empty(), "{machine}");
        for path in files {
            nothing_of(&rows, &path);
            nothing_of(std::slice::from_ref(&model), &path);
        }
    }
    // Of all that is sealed at the host each opens its own, and nothing else.
    for (machine, opened) in [("bank-a", 1), ("network", 1), ("shop", 1)] {
        let state = State::at(page.home(machine).join(".local/share/mc2"));
        let identity = state.identity(machine).unwrap();
        let host = files(&page.home("host"));
        let sealed = host.iter().filter(|path| path.ends_with("manifest"));
        let opens = sealed.filter(|path| opens(path, &identity)).count();
        assert_eq!(opens, opened, "{machine}");
    }
    // What is looked for is what would be there.
    let models = repository("workloads/xgboost/core/tests/fixtures/models");
    for (needles, path) in [
        (&accounts_a[..], page.home("bank-a").join("accounts.csv")),
        (&payments, page.home("network").join("payments.csv")),
        (std::slice::from_ref(&model), models.join("hinge.json")),
    ] {
        let seen = fs::read(&path).unwrap();
        let found = needles.iter().all(|needle| needle.is_in(&seen));
        assert!(found, "{}", path.display());
    }
}

/// Whether whoever has this identity gets the key of a sealed object.
fn opens(manifest: &Path, identity: &Identity) -> bool {
    let manifest = Manifest::parse(&fs::read(manifest).unwrap()).unwrap();
    let owner = manifest.owner();
    owner.is_some_and(|owner| {
        let key = owner.open_as_owner(manifest.dataset(), identity.private_key());
        key.is_ok()
    })
}

#[track_caller]
fn nothing_of(needles: &[Needle], path: &Path) {
    let seen = fs::read(path).unwrap_or_default();
    for needle in needles {
        assert!(!needle.is_in(&seen), "{}: {}", path.display(), needle.what);
    }
}

/// Some rows of a table, each in every spelling.
fn rows(path: &Path) -> Vec<Needle> {
    let table = fs::read_to_string(path).unwrap();
    let rows = table
        .lines()
        .skip(1)
        .filter(|row| row.len() >= ROW)
        .step_by(101);
    rows.map(|row| Needle::new(row, row.as_bytes())).collect()
}

/// All files below a folder that are its own.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

fn ran(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", text(&stderr));
    text(&stdout)
}

fn python(variable: &str) -> Option<PathBuf> {
    let python = env::var_os(variable).map(PathBuf::from);
    if python.is_none() {
        eprintln!("skipped: {variable} is not set; `cargo xtask test` sets it");
    }
    python
}

fn script(name: &str) -> PathBuf {
    repository("tests/python").join(name)
}

fn repository(path: &str) -> PathBuf {
    let path = Path::new("..").join(path);
    fs::canonicalize(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

//! Licences and sources of every crate there is, against `deny.toml`.
//!
//! `cargo deny check` reads the same file and more: advisories, which have to be fetched. Public
//! continuous integration runs it. What needs no more than `cargo metadata` is checked here, on
//! every machine and without a tool to install first.

use std::collections::BTreeSet;
use std::fs;

use serde::Deserialize;
use serde_json::Value;

use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, capture, say};

/// The registry cargo has by default.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Fails where a crate's licence is not on the list, where a crate comes from elsewhere than the
/// registry, or where one of ours takes any version of another.
pub(crate) fn check(machine: &Machine) -> Outcome<()> {
    let file = machine.root.join("deny.toml");
    let doing = format!("reading {}", file.display());
    let rules = fs::read_to_string(&file).doing(&doing)?;
    let rules: Rules = toml::from_str(&rules).doing(&doing)?;
    let metadata = capture(machine.cargo().args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--all-features",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata).doing("reading cargo metadata")?;
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo metadata names no packages")?;
    let wrong: Vec<String> = packages
        .iter()
        .flat_map(|package| judge(package, &rules.licenses.allow))
        .collect();
    if wrong.is_empty() {
        say(format_args!(
            "{} crates have licences of deny.toml and come from the registry",
            packages.len()
        ));
        return Ok(());
    }
    Err(Failure::new(format!(
        "crates are not as deny.toml has them:\n  {}",
        wrong.join("\n  ")
    )))
}

#[derive(Deserialize)]
struct Rules {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
}

/// What is wrong with one package of `cargo metadata`.
fn judge(package: &Value, allow: &BTreeSet<String>) -> Vec<String> {
    let text = |field: &str| package[field].as_str();
    let name = format!(
        "{} {}",
        text("name").unwrap_or("?"),
        text("version").unwrap_or("?")
    );
    let mut wrong = Vec::new();
    match text("license") {
        None => wrong.push(format!("{name} states no licence")),
        Some(licence) => match allows(licence, allow) {
            Some(true) => {}
            Some(false) => wrong.push(format!(
                "{name} is under {licence}, which deny.toml does not list"
            )),
            None => wrong.push(format!(
                "{name} states a licence that reads as none: {licence}"
            )),
        },
    }
    if let Some(source) = text("source") {
        if source != REGISTRY {
            wrong.push(format!("{name} comes from {source}, not from the registry"));
        }
        return wrong;
    }
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let any = dependencies.filter(|one| one["req"] == "*" && one["path"].is_null());
    wrong.extend(any.map(|one| format!("{name} takes any version of {}", one["name"])));
    wrong
}

/// Whether the list satisfies an SPDX expression, or one in cargo's older way with `/` for `OR`;
/// `None` where it is neither.
fn allows(expression: &str, allow: &BTreeSet<String>) -> Option<bool> {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = spaced.split_whitespace().collect::<Vec<_>>();
    words.reverse();
    let allowed = either(&mut words, allow)?;
    words.is_empty().then_some(allowed)
}

/// `a OR b`; the next word is the last of `words`.
fn either(words: &mut Vec<&str>, allow: &BTreeSet<String>) -> Option<bool> {
    let mut allowed = both(words, allow)?;
    while words.pop_if(|word| *word == "OR").is_some() {
        allowed |= both(words, allow)?;
    }
    Some(allowed)
}

fn both(words: &mut Vec<&str>, allow: &BTreeSet<String>) -> Option<bool> {
    let mut allowed = one(words, allow)?;
    while words.pop_if(|word| *word == "AND").is_some() {
        allowed &= one(words, allow)?;
    }
    Some(allowed)
}

fn one(words: &mut Vec<&str>, allow: &BTreeSet<String>) -> Option<bool> {
    match words.pop()? {
        "(" => {
            let allowed = either(words, allow)?;
            words.pop_if(|word| *word == ")").map(|_| allowed)
        }
        ")" | "OR" | "AND" | "WITH" => None,
        licence => match words.pop_if(|word| *word == "WITH") {
            Some(_) => Some(allow.contains(&format!("{licence} WITH {}", words.pop()?))),
            None => Some(allow.contains(licence)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::{REGISTRY, allows, judge};

    fn list() -> BTreeSet<String> {
        ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]
            .map(str::to_owned)
            .into()
    }

    #[test]
    fn an_expression_is_met_or_not() {
        for (expression, met) in [
            ("MIT", Some(true)),
            ("GPL-3.0", Some(false)),
            ("GPL-3.0 OR MIT", Some(true)),
            ("GPL-3.0/MIT", Some(true)),
            ("MIT AND GPL-3.0", Some(false)),
            ("MIT AND ISC", Some(true)),
            ("(MIT OR GPL-3.0) AND ISC", Some(true)),
            ("MIT OR GPL-3.0 AND GPL-2.0", Some(true)),
            ("(MIT OR ISC) AND GPL-3.0", Some(false)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("Apache-2.0", Some(false)),
            ("MIT WITH LLVM-exception", Some(false)),
            ("", None),
            ("MIT ISC", None),
            ("(MIT", None),
            ("MIT OR", None),
        ] {
            assert_eq!(allows(expression, &list()), met, "{expression:?}");
        }
    }

    #[test]
    fn each_rule_has_its_line() {
        let good = json!({"name": "a", "version": "1.0.0", "license": "MIT", "source": REGISTRY});
        assert!(judge(&good, &list()).is_empty());
        let dependencies = json!([
            {"name": "b", "req": "*", "path": "/b"},
            {"name": "c", "req": "^1"},
            {"name": "d", "req": "*"},
        ]);
        let bad = [
            json!({"name": "a", "version": "1.0.0", "source": REGISTRY}),
            json!({"name": "a", "version": "1.0.0", "license": "GPL-3.0", "source": REGISTRY}),
            json!({"name": "a", "version": "1.0.0", "license": "MIT", "source": "git+https://a"}),
            json!({"name": "a", "version": "1.0.0", "license": "MIT", "dependencies": dependencies}),
        ];
        for package in bad {
            assert_eq!(judge(&package, &list()).len(), 1, "{package}");
        }
    }
}

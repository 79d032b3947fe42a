//! What a release is made of, as CycloneDX 1.6: every crate that `Cargo.lock` fixes and the release's
//! programs and components take in, with its digest and its licence.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::machine::Machine;
use crate::process::{Doing, Outcome, capture};

/// What is published, and whatever it depends on but for tests.
const ROOTS: [&str; 7] = [
    "mc2-client",
    "mc2-host",
    "mc2-runtime",
    "mc2-compile",
    "sql",
    "xgboost",
    "wordcount",
];

/// The document. It states no time and no serial number: the same source gives the same bytes.
pub(super) fn of(machine: &Machine) -> Outcome<Value> {
    let metadata = capture(machine.cargo().args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform=x86_64-unknown-linux-gnu",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata).doing("reading cargo metadata")?;
    let lock = machine.root.join("Cargo.lock");
    let lock = fs::read_to_string(&lock).doing(format_args!("reading {}", lock.display()))?;
    document(&metadata, &checksums(&lock)?)
}

fn document(metadata: &Value, checksums: &BTreeMap<(String, String), String>) -> Outcome<Value> {
    let graph = Graph::read(metadata)?;
    let used = graph.used();
    let components: Vec<Value> = graph
        .packages
        .iter()
        .filter(|(id, _)| used.contains(**id))
        .map(|(_, package)| component(package, checksums))
        .collect();
    let dependencies: Vec<Value> = used
        .iter()
        .map(|id| {
            let on: Vec<String> = graph
                .edges(id)
                .iter()
                .map(|id| graph.reference(id))
                .collect();
            json!({ "ref": graph.reference(id), "dependsOn": on })
        })
        .collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "mc2",
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// Packages and who depends on whom, as Cargo resolved them.
struct Graph<'a> {
    packages: BTreeMap<&'a str, &'a Value>,
    nodes: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Graph<'a> {
    fn read(metadata: &'a Value) -> Outcome<Self> {
        let by_id = |list: &'a Value| -> Outcome<BTreeMap<&'a str, &'a Value>> {
            let list = list.as_array().ok_or("cargo metadata lacks a list")?;
            Ok(list
                .iter()
                .filter_map(|one| Some((one["id"].as_str()?, one)))
                .collect())
        };
        Ok(Self {
            packages: by_id(&metadata["packages"])?,
            nodes: by_id(&metadata["resolve"]["nodes"])?,
        })
    }

    /// The published packages and all that they need to be built and to run.
    fn used(&self) -> BTreeSet<&'a str> {
        let roots = self.packages.iter().filter(|(_, package)| {
            let ours = package["source"].is_null();
            ours && package["name"]
                .as_str()
                .is_some_and(|name| ROOTS.contains(&name))
        });
        let mut waiting: Vec<&str> = roots.map(|(id, _)| *id).collect();
        let mut used = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            if used.insert(id) {
                waiting.extend(self.edges(id));
            }
        }
        used
    }

    fn edges(&self, id: &str) -> Vec<&'a str> {
        let all = self.nodes.get(id).and_then(|node| node["deps"].as_array());
        all.into_iter()
            .flatten()
            .filter(|dependency| {
                let kinds = dependency["dep_kinds"].as_array();
                kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"] != "dev"))
            })
            .filter_map(|dependency| dependency["pkg"].as_str())
            .collect()
    }

    fn reference(&self, id: &str) -> String {
        self.packages
            .get(id)
            .map_or_else(String::new, |package| address(package))
    }
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Value {
    let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
    let mut component = json!({
        "type": "library",
        "bom-ref": address(package),
        "name": text("name"),
        "version": text("version"),
        "purl": address(package),
    });
    if let Some(licence) = package["license"].as_str() {
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if let Some(digest) = checksums.get(&(text("name"), text("version"))) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": digest }]);
    }
    component
}

fn address(package: &Value) -> String {
    let text = |field: &str| package[field].as_str().unwrap_or_default();
    format!(
        "pkg:cargo/{}@{}",
        text("name"),
        text("version").replace('+', "%2B")
    )
}

fn checksums(lock: &str) -> Outcome<BTreeMap<(String, String), String>> {
    let lock: toml::Table = toml::from_str(lock).doing("reading Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    Ok(packages
        .into_iter()
        .flatten()
        .filter_map(|package| {
            let text = |field: &str| package.get(field)?.as_str().map(str::to_owned);
            Some(((text("name")?, text("version")?), text("checksum")?))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_tests_take_is_left_out_and_everything_else_is_there_with_its_digest() {
        let package = |name: &str, source: Option<&str>| json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source});
        let dependency =
            |name: &str, kind: Option<&str>| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [
                package("mc2-runtime", None),
                package("ring", Some("registry")),
                package("cc", Some("registry")),
                package("proptest", Some("registry")),
            ],
            "resolve": { "nodes": [
                {"id": "mc2-runtime", "deps": [dependency("ring", None), dependency("proptest", Some("dev"))]},
                {"id": "ring", "deps": [dependency("cc", Some("build"))]},
            ]},
        });
        let lock = "[[package]]\nname = \"ring\"\nversion = \"1.0.0\"\nchecksum = \"ab\"\n";
        let document = document(&metadata, &checksums(lock).unwrap()).unwrap();
        let components = document["components"].as_array().unwrap();
        let names: Vec<&str> = components
            .iter()
            .map(|component| component["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["cc", "mc2-runtime", "ring"]);
        assert_eq!(components[2]["hashes"][0]["content"], "ab");
        assert_eq!(components[2]["purl"], "pkg:cargo/ring@1.0.0");
        assert_eq!(
            components[2]["licenses"][0]["expression"],
            "MIT OR Apache-2.0"
        );
        assert!(
            document["dependencies"]
                .as_array()
                .unwrap()
                .contains(&json!({
                    "ref": "pkg:cargo/ring@1.0.0",
                    "dependsOn": ["pkg:cargo/cc@1.0.0"],
                }))
        );
    }
}

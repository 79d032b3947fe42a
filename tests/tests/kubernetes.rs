//! The chart and the manifest for nodes with a TEE: what Kubernetes is given is as its own schemas
//! have it. No cluster is asked.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use mc2_tests::{ended, package, text};

fn images() -> PathBuf {
    package().join("../host/images/kubernetes")
}

/// The chart filled in with a file of values, and held against the schemas of values and of
/// Kubernetes.
fn filled_in(values: &str) -> Output {
    let python = std::env::var_os("MC2_PYTHON_SERVICE")
        .expect("MC2_PYTHON_SERVICE, which `cargo xtask test --env` prints");
    Command::new(python)
        .arg(package().join("python/kubernetes.py"))
        .arg(images())
        .arg(values)
        .output()
        .expect("Python starts")
}

#[test]
fn the_manifest_is_the_chart_s_and_as_kubernetes_schemas_have_it() {
    let output = filled_in("-");
    ended(&output, 0);
    let manifest = fs::read_to_string(images().join("mc2-snp.yaml")).expect("the manifest");
    let without_words: String = manifest
        .split_inclusive('\n')
        .skip_while(|line| line.starts_with('#'))
        .collect();
    assert_eq!(text(&output.stdout), without_words);
}

#[test]
fn the_chart_with_values_for_tdx_is_as_kubernetes_schemas_have_it() {
    let values = images().join("values-tdx.yaml");
    let output = filled_in(values.to_str().expect("text"));
    ended(&output, 0);
    assert!(text(&output.stdout).contains("tdx-guest,id=tee"));
}

/// The port and the machine's number of vsock are the node's: of two pods there one does not start.
#[test]
fn no_two_releases_are_put_on_one_node() {
    let output = filled_in("-");
    ended(&output, 0);
    let manifest = text(&output.stdout);
    let (_, set) = manifest.split_once("kind: StatefulSet").expect("one");
    let (_, rule) = set.split_once("podAntiAffinity:").expect("a rule");
    let rule: Vec<&str> = rule.lines().skip(1).take(6).map(str::trim).collect();
    let expected = [
        "requiredDuringSchedulingIgnoredDuringExecution:",
        "- topologyKey: kubernetes.io/hostname",
        "namespaceSelector: {}",
        "labelSelector:",
        "matchLabels:",
        "app.kubernetes.io/name: mc2",
    ];
    assert_eq!(rule, expected);
}

#[test]
fn an_image_without_its_digest_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let values = fs::read_to_string(images().join("chart/values.yaml")).expect("values");
    let (before, _) = values.split_once("@sha256:").expect("a digest");
    let rest = values.split_once("\n# Which TEE").expect("more").1;
    let file = folder.path().join("values.yaml");
    fs::write(&file, format!("{before}:latest\n# Which TEE{rest}")).expect("a file");
    let output = filled_in(file.to_str().expect("text"));
    assert!(ended(&output, 1).contains("latest"));
}

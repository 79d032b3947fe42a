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

/// The chart with the values that this release has for another kind of nodes.
fn for_nodes_with(tee: &str) -> String {
    let values = images().join(format!("values-{tee}.yaml"));
    let output = filled_in(values.to_str().expect("text"));
    ended(&output, 0);
    text(&output.stdout)
}

/// The last word of the only line that has this in it.
fn said_behind<'m>(manifest: &'m str, words: &str) -> &'m str {
    let mut found = manifest.split(words).skip(1);
    let rest = found.next().expect("said once");
    assert!(found.next().is_none(), "{words} is said once");
    rest.split_whitespace().next().expect("a word")
}

#[test]
fn the_chart_with_values_for_tdx_is_as_kubernetes_schemas_have_it() {
    let manifest = for_nodes_with("tdx");
    assert!(manifest.contains("tdx-guest"));
    // Without it a TD is given no quote.
    assert!(
        manifest.contains(r#""quote-generation-socket":{"type":"vsock","cid":"2","port":"4050"}"#)
    );
}

/// Where the runtime looks for its host is measured, so the host has to be there.
#[test]
fn the_host_waits_where_the_measured_command_line_of_a_machine_says() {
    let own = text(&filled_in("-").stdout);
    for manifest in [own, for_nodes_with("tdx")] {
        let listens = said_behind(&manifest, "--runtime-listen=vsock:4294967295:");
        let dials = said_behind(&manifest, "--host vsock:2:");
        assert_eq!(listens, dials);
        assert!(!manifest.contains("name: enclave"));
    }
}

#[test]
fn the_chart_for_nodes_with_sgx_starts_the_enclave_whose_manifest_is_measured() {
    let manifest = for_nodes_with("sgx");
    let template = images().join("../sgx/mc2-runtime.manifest.template");
    let measured = fs::read_to_string(template).expect("Gramine's manifest");
    let listens = said_behind(&manifest, "--runtime-listen=");
    assert!(
        measured.contains(&format!(r#""--host", "{listens}""#)),
        "{listens}"
    );
    let size = said_behind(&manifest, "sgx.intel.com/epc: ").trim_end_matches('i');
    assert!(
        measured.contains(&format!(r#"enclave_size = "{size}""#)),
        "{size}"
    );
    assert!(manifest.contains("- gramine-sgx\n            - mc2-runtime\n"));
    assert!(!manifest.contains("qemu"));
}

#[test]
fn the_chart_for_nodes_with_nitro_enclaves_starts_one_that_is_not_debugged() {
    let manifest = for_nodes_with("nitro");
    assert_eq!(
        said_behind(&manifest, "--eif-path "),
        "/usr/lib/mc2/mc2.eif"
    );
    assert!(!manifest.contains("debug"));
    assert!(!manifest.contains("qemu"));
    let pages = said_behind(&manifest, "hugepages-1Gi: ");
    assert!(manifest.contains(&format!("value: \"{}\"", pages.trim_end_matches("Mi"))));
}

#[test]
fn values_of_no_tee_and_of_two_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("values.yaml");
    let sgx = fs::read_to_string(images().join("values-sgx.yaml")).expect("values");
    for values in [
        "machine: null\n".to_owned(),
        sgx.replace("machine: null\n", ""),
    ] {
        fs::write(&file, &values).expect("a file");
        let output = filled_in(file.to_str().expect("text"));
        assert!(ended(&output, 1).contains("ValidationError"), "{values}");
    }
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
    let image = before.lines().last().expect("the image");
    let file = folder.path().join("values.yaml");
    fs::write(&file, format!("{image}:latest\n")).expect("a file");
    let output = filled_in(file.to_str().expect("text"));
    assert!(ended(&output, 1).contains("latest"));
}

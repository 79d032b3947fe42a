//! What is not in `mc2-runtime` cannot be used against it: it is built alone, and the symbols in its
//! file show what it is made of.

use std::{env, fs, hint::black_box, process::Command};

use mc2_attestation::{
    releases::RELEASE_KEYS,
    test_util::{factory, forger::any},
};
use mc2_tests::{contains, package, program};

/// A program's file, what is no text in it replaced.
struct Program {
    name: &'static str,
    text: String,
}

impl Program {
    fn read(name: &'static str) -> Self {
        Self::of(name, &fs::read(program(name)).expect("the program"))
    }

    fn of(name: &'static str, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        Self { name, text }
    }

    fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// Whether symbols of a crate are in it: they hold the crate's name behind its length.
    fn links(&self, name: &str) -> bool {
        self.has(&format!("{}{name}", name.len()))
    }
}

/// What the claims below rest on: the file has its symbols, and all of the runtime is in it.
#[test]
fn the_runtime_s_file_holds_the_runtime() {
    let runtime = Program::read("mc2-runtime");
    for name in [
        "mc2_runtime",
        "mc2_sandbox",
        "mc2_protocol",
        "mc2_wire",
        "wasmtime",
        "hyper",
        "ml_kem",
    ] {
        assert!(runtime.links(name), "no symbol of {name} in mc2-runtime");
    }
    for text in ["/v1/control", "urn:mc2:receipt:v1"] {
        assert!(runtime.has(text), "{text} is not in mc2-runtime");
    }
}

/// Row 8.
#[test]
fn the_runtime_holds_no_simulator() {
    let (runtime, simulator) = (
        Program::read("mc2-runtime"),
        Program::read("mc2-runtime-sim"),
    );
    for text in [
        // What it tells the client that started it.
        "MC2-SIM-KEY",
        // What its evidence calls itself.
        "application/vnd.mc2.sim-report.v1+json",
        "NOT SECURE: simulated enclave",
    ] {
        assert!(simulator.has(text), "{text}: look for another");
        assert!(!runtime.has(text), "{text} is in mc2-runtime");
    }
    absent(
        &runtime,
        &simulator,
        &["mc2_runtime_sim", "mc2_attestation"],
    );
}

/// Row 16.
#[test]
fn the_runtime_holds_no_compiler() {
    let (runtime, compiler) = (Program::read("mc2-runtime"), Program::read("mc2-compile"));
    let crates = [
        "cranelift_codegen",
        "regalloc2",
        "wasmtime_internal_cranelift",
    ];
    absent(&runtime, &compiler, &crates);
}

/// It judges no evidence, speaks no TLS and listens to nobody.
#[test]
fn the_runtime_holds_nothing_of_clients_and_hosts() {
    let runtime = Program::read("mc2-runtime");
    let crates = ["mc2_client", "mc2_attestation", "rustls", "clap_builder"];
    absent(&runtime, &Program::read("mc2-run"), &crates);
    absent(&runtime, &Program::read("mc2-host"), &["mc2_host", "axum"]);
}

/// Row 8: neither what tests forge evidence with, nor the roots that they have believed.
#[test]
fn no_released_program_holds_a_forger_or_its_roots() {
    // Links the forger into this test, which shows that it would be found.
    black_box(any::roots());
    let own = env::current_exe().expect("a test has an executable");
    let own = Program::of("this test", &fs::read(own).expect("the test"));
    // Put together here, for else this test would hold them in any case.
    let names = ["SGX Root CA", "ARK-", "aws.nitro-enclaves"];
    let names = names.map(|name| format!("Forged {name}"));
    let roots = package().join("../attestation/conformance/roots");
    let roots = fs::read_dir(roots).expect("the published roots");
    let roots: Vec<_> = roots
        .map(|root| fs::read(root.expect("a root").path()).expect("a root"))
        .collect();
    assert!(!roots.is_empty());
    assert!(own.links("forger"));
    for name in &names {
        assert!(own.has(name), "{name}: look for another");
    }
    for program in RELEASED {
        let bytes = fs::read(mc2_tests::program(program)).expect("the program");
        let released = Program::of(program, &bytes);
        assert!(!released.links("forger"), "a forger is in {program}");
        for name in &names {
            assert!(!released.has(name), "{name} is in {program}");
        }
        for root in &roots {
            // Its key and signature.
            let half = &root[root.len() / 2..];
            assert!(!contains(&bytes, half), "a root is in {program}");
        }
    }
}

/// Row 8: the one release key whose secret half everybody has.
#[test]
fn no_released_program_believes_the_release_key_of_tests() {
    let key = factory::release_key().verifying_key().to_bytes();
    assert_eq!(black_box(RELEASE_KEYS), [key]);
    let own = env::current_exe().expect("a test has an executable");
    let own = fs::read(own).expect("the test");
    assert!(contains(&own, &key), "it would be found");
    for program in RELEASED {
        let bytes = fs::read(mc2_tests::program(program)).expect("the program");
        assert!(!contains(&bytes, &key), "{program}");
    }
}

/// What is built without its tests has no feature that only tests turn on.
#[test]
fn a_build_of_the_programs_turns_on_nothing_that_is_for_tests() {
    let released = features_of_attestation("no-dev");
    assert!(released.iter().all(|one| one == "verify"), "{released:?}");
    let tested = features_of_attestation("normal,dev");
    assert!(
        tested.iter().any(|one| one.contains("test-util")),
        "{tested:?}"
    );
}

/// Every set of features in which a build with these dependencies has the verifiers of evidence.
fn features_of_attestation(edges: &str) -> Vec<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--locked",
            "--workspace",
            "--edges",
            edges,
        ])
        .args(["--prefix", "none", "--format", "{lib} {f}"])
        .current_dir(package())
        .output()
        .expect("cargo starts");
    let said = String::from_utf8(tree.stdout).expect("text");
    let features: Vec<String> = said
        .lines()
        .filter_map(|line| line.strip_prefix("mc2_attestation "))
        .map(|features| features.trim_end_matches(" (*)").to_owned())
        .collect();
    assert!(
        !features.is_empty(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    features
}

/// What a release has, and the simulator.
const RELEASED: [&str; 6] = [
    "mc2",
    "mc2-run",
    "mc2-host",
    "mc2-runtime",
    "mc2-runtime-sim",
    "mc2-compile",
];

/// `runtime` links none of these crates; `other` does, which shows that they would be found.
fn absent(runtime: &Program, other: &Program, crates: &[&str]) {
    for name in crates {
        let found = other.links(name);
        assert!(
            found,
            "no symbol of {name} in {}: look for another",
            other.name
        );
        assert!(
            !runtime.links(name),
            "{name} is in mc2-runtime: build it alone, as `cargo xtask build` does"
        );
    }
}

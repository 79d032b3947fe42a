//! What is not in `mc2-runtime` cannot be used against it: it is built alone, and the symbols in its
//! file show what it is made of.

use std::fs;

use mc2_tests::program;

/// A program's file, what is no text in it replaced.
struct Program {
    name: &'static str,
    text: String,
}

impl Program {
    fn read(name: &'static str) -> Self {
        let bytes = fs::read(program(name)).expect("the program");
        let text = String::from_utf8_lossy(&bytes).into_owned();
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

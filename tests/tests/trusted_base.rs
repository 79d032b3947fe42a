//! What is not in `mc2-runtime` cannot be used against it: it is built alone, and its file shows it.

use std::fs;

use mc2_tests::program;

fn has(binary: &str, text: &str) -> bool {
    let bytes = fs::read(program(binary)).expect("the program");
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Row 8.
#[test]
fn the_runtime_holds_no_simulator() {
    for text in [
        // What it tells the client that started it.
        "MC2-SIM-KEY",
        // What its evidence calls itself.
        "application/vnd.mc2.sim-report.v1+json",
        "NOT SECURE: simulated enclave",
    ] {
        assert!(has("mc2-runtime-sim", text), "{text}: look for another");
        assert!(!has("mc2-runtime", text), "{text}");
    }
}

/// Row 16.
#[test]
fn the_runtime_holds_no_compiler() {
    // The compiler's sources, as its panics name them.
    for text in ["cranelift-codegen-0.", "regalloc2-0."] {
        assert!(has("mc2-compile", text), "{text}: look for another");
        assert!(
            !has("mc2-runtime", text),
            "{text} is in mc2-runtime: build it alone, as `cargo xtask build` does"
        );
    }
}

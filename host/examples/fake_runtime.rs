//! A process that speaks the runtime's side of the control and storage interfaces and runs
//! nothing: the peer of the tests in `host/tests`, and the smallest example of that side.
//!
//! `fake_runtime [--no-key] --host ADDRESS --engine-profile PROFILE`

use std::io::Write as _;

#[path = "../tests/support/peer.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod peer;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)).cloned()
    };
    let address = after("--host").and_then(|address| address.parse().ok());
    let address = address.expect("--host ADDRESS");
    assert!(
        after("--engine-profile").is_some(),
        "--engine-profile PROFILE"
    );
    if arguments.iter().any(|argument| argument == "--no-key") {
        eprintln!("no key \u{1b}[31mtoday");
        return;
    }
    println!("MC2-SIM-KEY {}", "5a".repeat(32));
    std::io::stdout().flush().expect("standard output");
    peer::Peer::new(address, *b"the fake runtime").run().await;
}

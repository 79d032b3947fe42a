//! Row 17: a guest has four folders, and nothing else is there.

use std::{collections::BTreeMap, net::TcpListener};

use mc2_tests::{Finished, Run, Stack, StackOptions};

fn all_refused(finished: &Finished, at_least: usize) {
    let stdout = finished.stdout();
    assert_eq!(finished.reason(), "succeeded", "{stdout}");
    let refused = stdout
        .lines()
        .filter(|line| line.starts_with("refused "))
        .count();
    assert_eq!(stdout.lines().count(), refused, "{stdout}");
    assert!(
        refused >= at_least,
        "only {refused} things were tried:\n{stdout}"
    );
}

async fn no_way_out(profile: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address").to_string();
    let options = StackOptions {
        engine_profile: profile.to_owned(),
        ..Default::default()
    };
    let stack = Stack::with(options).await;
    let run = Run::of("hostile", &["escape", &address]).input("data", b"mine".to_vec());
    all_refused(&stack.run(&run).await.expect("a receipt"), 80);
    assert!(listener.accept().is_err(), "the guest reached the network");
}

/// Row 17.
#[tokio::test]
async fn there_is_no_way_out_of_the_sandbox() {
    no_way_out("vm").await;
}

/// Row 17.
#[tokio::test]
async fn there_is_no_way_out_in_the_other_profile_either() {
    no_way_out("sgx").await;
}

/// Row 17.
#[tokio::test]
async fn inputs_cannot_be_changed() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["write-in"]).input("data", b"as it was".to_vec());
    all_refused(&stack.run(&run).await.expect("a receipt"), 6);
}

/// Row 17.
#[tokio::test]
async fn a_guest_has_no_environment_and_only_its_own_command_line() {
    let stack = Stack::start().await;
    let finished = stack
        .run(&Run::of("hostile", &["env"]))
        .await
        .expect("a receipt");
    assert_eq!(finished.reason(), "succeeded");
    let stdout = finished.stdout();
    assert!(!stdout.contains("variable "), "{stdout}");
    let arguments: Vec<&str> = stdout
        .lines()
        .filter_map(|line| line.strip_prefix("argument "))
        .collect();
    assert_eq!(arguments.len(), 2, "{stdout}");
    assert_eq!(arguments[1], "env");
}

/// Row 17.
#[tokio::test]
async fn nothing_of_one_job_is_there_for_the_next_or_the_one_beside_it() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["dirs", "20"]);
    let session = stack.session(&run).await.expect("a session");
    let nothing = BTreeMap::new();
    // Each makes the same folders and would be refused where they are there.
    let (one, other) = tokio::join!(
        stack.submit(&session, &run, &nothing),
        stack.submit(&session, &run, &nothing),
    );
    let third = stack.submit(&session, &run, &nothing).await;
    for finished in [one, other, third] {
        assert_eq!(finished.expect("a receipt").stdout(), "made 20\n");
    }
}

/// Row 17: randomness is the enclave's, and another in every run.
#[tokio::test]
async fn two_runs_do_not_share_randomness() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["random"]);
    let session = stack.session(&run).await.expect("a session");
    let first = stack
        .submit(&session, &run, &BTreeMap::new())
        .await
        .expect("a receipt");
    let second = stack
        .submit(&session, &run, &BTreeMap::new())
        .await
        .expect("a receipt");
    assert_eq!(first.stdout().len(), 17);
    assert_ne!(first.stdout(), second.stdout());
}

//! A step of several instances: what they can say to each other, what becomes of all when one
//! fails, and that they share what one would have alone. On both engine profiles.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use mc2_client::bare::{BareOptions, BareOutcome, run_bare};
use mc2_protocol::{
    documents::{control::JobState, storage::Event},
    policy::Policy,
};
use mc2_sandbox::Failure;
use mc2_tests::{Finished, Liar, Run, Stack, StackOptions, component, draft, program};

const MIB: u64 = 1 << 20;
const PROFILES: [&str; 2] = ["vm", "sgx"];

fn run(instances: u32, arguments: &[&str]) -> Run {
    Run::of("peers", arguments).instances(instances)
}

async fn stack(profile: &str) -> Stack {
    Stack::with(StackOptions {
        engine_profile: profile.to_owned(),
        ..Default::default()
    })
    .await
}

async fn succeed(stack: &Stack, run: &Run) -> Finished {
    let finished = stack.run(run).await.expect("a receipt");
    let said = text(&finished, "error");
    assert_eq!(
        finished.reason(),
        "succeeded",
        "{:?}: {said}",
        run.arguments
    );
    finished
}

/// Runs what must fail well before its time limit.
async fn fail(stack: &Stack, run: &Run, reason: &str) -> Finished {
    let started = Instant::now();
    let finished = stack.run(run).await.expect("a receipt");
    assert_eq!(finished.reason(), reason, "{:?}", run.arguments);
    let limit = Duration::from_millis(run.limits.time.millis());
    assert!(started.elapsed() < limit, "{:?}: waited", run.arguments);
    for name in finished.outputs.keys() {
        assert!(
            ["stdout", "stderr", "error"].contains(&name.as_str()),
            "{name}"
        );
    }
    finished
}

fn text(finished: &Finished, output: &str) -> String {
    String::from_utf8_lossy(finished.outputs.get(output).map_or(&[], Vec::as_slice)).into_owned()
}

#[tokio::test]
async fn instances_greet_each_other_and_are_accounted_one_by_one() {
    for profile in PROFILES {
        let stack = stack(profile).await;
        let finished = succeed(&stack, &run(3, &["greet"])).await;
        assert_eq!(
            text(&finished, "stderr"),
            "rank 0 of 3\n1 greets 0\n2 greets 0\n\
             rank 1 of 3\n0 greets 1\n2 greets 1\n\
             rank 2 of 3\n0 greets 2\n1 greets 2\n"
        );
        assert_eq!(finished.receipt.steps.len(), 1);
        let usage = finished.usage(0);
        assert_eq!(usage.len(), 3);
        assert!(usage.iter().all(|one| one.memory_peak > 0));
    }
}

#[tokio::test]
async fn megabytes_go_around_a_ring() {
    for profile in PROFILES {
        let stack = stack(profile).await;
        let finished = succeed(&stack, &run(3, &["ring", "64"])).await;
        assert!(
            finished.stdout().starts_with("64 MiB around 3"),
            "{}",
            finished.stdout()
        );
    }
}

#[tokio::test]
async fn sums_are_the_same_everywhere_whatever_their_length() {
    for profile in PROFILES {
        let stack = stack(profile).await;
        for (instances, count) in [(2, "1"), (2, "131072"), (3, "40001"), (5, "20000")] {
            succeed(&stack, &run(instances, &["allreduce", count, "3"])).await;
        }
        let gathered = succeed(&stack, &run(4, &["gather"])).await;
        assert_eq!(
            gathered.stdout(),
            "0 gave 0\n1 gave 200000\n2 gave 400000\n3 gave 600000\n"
        );
    }
}

#[tokio::test]
async fn as_many_as_a_policy_allows_run_together() {
    let stack = Stack::start().await;
    let finished = succeed(&stack, &run(16, &["allreduce", "10000", "2"])).await;
    assert_eq!(finished.usage(0).len(), 16);
}

#[tokio::test]
async fn a_single_byte_is_a_message_too() {
    for profile in PROFILES {
        let stack = stack(profile).await;
        succeed(&stack, &run(2, &["small-writes", "20000"])).await;
        let finished = succeed(&stack, &run(2, &["reopen"])).await;
        assert_eq!(finished.stdout(), "refused: BrokenPipe\n");
    }
}

#[tokio::test]
async fn one_that_fails_fails_all_at_once_and_says_why() {
    for profile in PROFILES {
        let stack = stack(profile).await;
        for (how, reason, said) in [
            ("trap", "trap", ""),
            ("exit", "exit", ""),
            ("error", "exit", "rank 1 gives up"),
        ] {
            let finished = fail(&stack, &run(3, &["fail", "1", how]), reason).await;
            assert_eq!(text(&finished, "error"), said, "{how}");
            // Of those that waited nobody was told that the wait ended.
            let stderr = text(&finished, "stderr");
            assert!(
                stderr.starts_with(&format!("rank 1 fails by {how}\n")),
                "{stderr}"
            );
            assert!(!stderr.contains("wait ended"), "{stderr}");
            assert_eq!(finished.usage(0).len(), 3);
        }
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_writer() {
    let stack = Stack::start().await;
    let finished = fail(&stack, &run(2, &["fail", "1", "early-exit"]), "exit").await;
    let said = text(&finished, "error");
    assert!(said.contains("failed to fill whole buffer"), "{said}");
}

#[tokio::test]
async fn a_writer_whose_reader_has_ended_is_told() {
    for profile in PROFILES {
        let stack = stack(profile).await;
        let finished = succeed(&stack, &run(2, &["never-read", "2"])).await;
        assert_eq!(finished.stdout(), "refused: BrokenPipe\n");
    }
}

#[tokio::test]
async fn all_waiting_for_each_other_ends_at_once_and_has_a_name() {
    for profile in PROFILES {
        let stack = stack(profile).await;
        for (instances, how) in [(2, "read"), (2, "write"), (4, "ring")] {
            let finished = fail(&stack, &run(instances, &["deadlock", how]), "deadlock").await;
            assert_eq!(text(&finished, "error"), "", "{how}");
        }
    }
}

#[tokio::test]
async fn nobody_is_a_peer_of_its_own_and_one_alone_has_none() {
    for profile in PROFILES {
        let stack = stack(profile).await;
        let alone = succeed(&stack, &run(1, &["own"])).await;
        assert_eq!(alone.stdout(), "0 of 1 has []\n");
        let three = succeed(&stack, &run(3, &["own"])).await;
        assert_eq!(three.stdout(), "0 of 3 has [\"1\", \"2\"]\n");
    }
}

#[tokio::test]
async fn outputs_of_all_are_put_together_and_none_is_left_twice() {
    let stack = Stack::start().await;
    let outputs = run(3, &["outputs"]).output("result").output("parts/");
    let finished = succeed(&stack, &outputs).await;
    assert_eq!(finished.outputs["result"], b"by 2");
    for rank in 0..3 {
        let part = &finished.outputs[&format!("parts/of/{rank}")];
        assert_eq!(*part, format!("part {rank}").into_bytes());
    }
    let file = run(2, &["both-write", "file"]).output("result");
    fail(&stack, &file, "repeated-output").await;
    let folder = run(2, &["both-write", "folder"]).output("parts/");
    fail(&stack, &folder, "repeated-output").await;
}

#[tokio::test]
async fn the_first_prints_and_tells_progress_and_all_complain_in_turn() {
    let stack = Stack::start().await;
    let print = run(3, &["print"]);
    let session = stack.session(&print).await.unwrap();
    let job = draft(&session, &print, &Default::default());
    let running = session.submit(&stack.me, &job).await.unwrap();
    let told = Mutex::new(Vec::new());
    let listen = |event: Event| told.lock().unwrap().push(event.text);
    running.wait(&stack.me, listen).await.unwrap();
    let finished = stack.finish(&session, &stack.me, &running).await.unwrap();
    assert_eq!(finished.stdout(), "stdout of 0\n");
    let lines: Vec<String> = (0..9)
        .map(|line| format!("stderr of {}, line {}\n", line / 3, line % 3))
        .collect();
    assert_eq!(text(&finished, "stderr"), lines.concat());
    for text in told.into_inner().unwrap() {
        assert_eq!(text, "progress of 0");
    }
}

#[tokio::test]
async fn what_one_may_use_is_what_all_may_use() {
    for profile in PROFILES {
        let stack = stack(profile).await;
        let minute = Duration::from_secs(60);
        let alloc = run(2, &["alloc", "40"]).limits(128 * MIB, minute, MIB);
        let finished = succeed(&stack, &alloc).await;
        assert_eq!(finished.stdout(), "all got 40 MiB\n");
        let less = alloc.limits(64 * MIB, minute, MIB);
        fail(&stack, &less, "memory-limit").await;

        let flood = run(2, &["flood"]).limits(64 * MIB, minute, MIB);
        let finished = fail(&stack, &flood, "output-limit").await;
        let written = finished.figures.0[0]
            .usage
            .iter()
            .flat_map(|usage| &usage.0);
        let written: u64 = written.map(|one| one.output_bytes).sum();
        assert!(written <= MIB, "{written}");

        let scratch = run(2, &["scratch", "20"]).scratch(64 * MIB);
        let finished = succeed(&stack, &scratch).await;
        let spilled = finished.observed(0);
        assert_eq!(spilled.instances.len(), 2);
        assert!(
            spilled
                .instances
                .iter()
                .map(|one| one.spilled_bytes)
                .all(|bytes| bytes > MIB)
        );
        fail(&stack, &scratch.scratch(32 * MIB), "scratch-limit").await;
        // Not even the streams between 16 have room here.
        let tiny = run(16, &["own"]).limits(48 * MIB, minute, MIB);
        fail(&stack, &tiny, "memory-limit").await;
    }
}

#[tokio::test]
async fn what_instances_tell_each_other_the_host_never_sees() {
    let (to_runtime, to_client) = (Liar::new(), Liar::new());
    let stack = Stack::with(StackOptions {
        wrap_runtime: Some(to_runtime.wrap()),
        wrap_client: Some(to_client.wrap()),
        ..Default::default()
    })
    .await;
    let canary = "canary-between-instances-4711";
    let whisper = run(2, &["whisper", canary, "8"]);
    let session = stack.session(&whisper).await.unwrap();
    to_runtime.remember();
    to_client.remember();
    for (arguments, success) in [
        (&["whisper", canary, "8"][..], true),
        (&["fail", "1", "error"], false),
        (&["deadlock", "read"], false),
    ] {
        let asked = run(2, arguments);
        let job = draft(&session, &asked, &Default::default());
        let running = session.submit(&stack.me, &job).await.unwrap();
        let state = running.wait(&stack.me, |_| ()).await.unwrap();
        let expected = if success {
            JobState::Done
        } else {
            JobState::Failed
        };
        assert_eq!(state, expected, "{arguments:?}");
        let finished = stack.finish(&session, &stack.me, &running).await.unwrap();
        assert_eq!(finished.reason() == "succeeded", success);
    }
    let mut receipts = Vec::new();
    for exchange in to_runtime.memory().iter().chain(&to_client.memory()) {
        for bytes in [&exchange.request, &exchange.response] {
            let found = bytes
                .windows(canary.len())
                .any(|window| window == canary.as_bytes());
            assert!(!found, "{} {}", exchange.asked.method, exchange.asked.path);
        }
        if exchange.asked.path.ends_with("/receipt") && exchange.asked.method == "PUT" {
            receipts.push(exchange.asked.query.clone().unwrap());
        }
    }
    // All that the host is told of how they ended.
    assert_eq!(receipts, ["success=true", "success=false", "success=false"]);
}

/// As `mc2-run --bare` runs them.
async fn bare(instances: u32, arguments: &[&str]) -> BareOutcome {
    let options = BareOptions {
        arguments: arguments.iter().map(|one| (*one).to_owned()).collect(),
        instances,
        memory: 1 << 30,
        timeout: Some(Duration::from_secs(60)),
        ..BareOptions::new(component("peers"))
    };
    run_bare(options).await.unwrap()
}

#[tokio::test]
async fn without_an_enclave_they_have_the_same_streams() {
    for (instances, arguments, stdout) in [
        (3, &["own"][..], "0 of 3 has [\"1\", \"2\"]\n"),
        (1, &["own"], "0 of 1 has []\n"),
        (2, &["small-writes", "2000"], ""),
        (2, &["never-read", "2"], "refused: BrokenPipe\n"),
        (2, &["reopen"], "refused: BrokenPipe\n"),
        (3, &["gather"], "0 gave 0\n1 gave 200000\n2 gave 400000\n"),
    ] {
        let outcome = bare(instances, arguments).await;
        assert_eq!(outcome.result, Ok(()), "{arguments:?}: {:?}", outcome.error);
        assert_eq!(
            String::from_utf8_lossy(&outcome.stdout),
            stdout,
            "{arguments:?}"
        );
    }
    let outcome = bare(3, &["ring", "8"]).await;
    assert_eq!(outcome.result, Ok(()), "{:?}", outcome.error);
    let outcome = bare(3, &["allreduce", "20000", "3"]).await;
    assert_eq!(outcome.result, Ok(()), "{:?}", outcome.error);

    let outcome = bare(3, &["fail", "1", "error"]).await;
    assert_eq!(outcome.result, Err(Failure::Exit(1)));
    assert_eq!(outcome.error.as_deref(), Some("rank 1 gives up"));
    let trapped = bare(3, &["fail", "1", "trap"]).await;
    assert!(matches!(trapped.result, Err(Failure::Trap(_))));
    for (instances, how) in [(2, "read"), (2, "write"), (4, "ring")] {
        let outcome = bare(instances, &["deadlock", how]).await;
        assert_eq!(outcome.result, Err(Failure::Deadlock), "{how}");
    }
}

fn mc2_run(folder: &std::path::Path, arguments: &[&str]) -> Output {
    fs::create_dir_all(folder.join("tmp")).unwrap();
    Command::new(program("mc2-run"))
        .arg(component("peers"))
        .args(arguments)
        .current_dir(folder)
        .env("MC2_HOME", folder.join("home"))
        .env("TMPDIR", folder.join("tmp"))
        .env("XDG_CACHE_HOME", mc2_tests::cache_folder())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn ended(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

#[test]
fn mc2_run_starts_as_many_as_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for bare in [&[][..], &["--bare"]] {
        let arguments = [bare, &["--instances", "3", "--", "own"]].concat();
        let output = mc2_run(folder.path(), &arguments);
        ended(&output, 0);
        assert_eq!(output.stdout, b"0 of 3 has [\"1\", \"2\"]\n");
    }
    for wrong in ["0", "17", "x"] {
        ended(
            &mc2_run(folder.path(), &["--instances", wrong, "--", "own"]),
            64,
        );
    }
    for bare in [&[][..], &["--bare"]] {
        let deadlock = [bare, &["--instances", "2", "--", "deadlock", "read"]].concat();
        let said = ended(&mc2_run(folder.path(), &deadlock), 1);
        assert!(said.contains("all waited for each other"), "{said}");
    }
}

#[test]
fn mc2_run_refuses_another_number_than_the_policy_s() {
    let folder = tempfile::tempdir().unwrap();
    // A first run makes the identity.
    ended(&mc2_run(folder.path(), &["--", "own"]), 0);
    let policy = written_policy(folder.path(), 2);
    let policy = policy.to_str().unwrap();
    let output = mc2_run(folder.path(), &["--policy", policy, "--", "own"]);
    ended(&output, 0);
    assert_eq!(output.stdout, b"0 of 2 has [\"1\"]\n");
    let same = ["--policy", policy, "--instances", "2", "--", "own"];
    ended(&mc2_run(folder.path(), &same), 0);
    let other = ["--policy", policy, "--instances", "3", "--", "own"];
    let said = ended(&mc2_run(folder.path(), &other), 66);
    assert!(said.contains("instances = 2"), "{said}");
}

/// A policy of this folder's default identity for so many instances.
fn written_policy(folder: &std::path::Path, instances: u32) -> PathBuf {
    let home = folder.join("home");
    let state = mc2_client::state::State::at(home);
    let me = state.default_identity().unwrap();
    let policy: Policy = run(instances, &[]).policy(&me);
    let path = folder.join("policy.toml");
    fs::write(&path, policy.bytes()).unwrap();
    path
}

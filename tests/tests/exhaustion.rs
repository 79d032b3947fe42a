//! Row 15: a guest that takes all it can get gets what its job allows, for as long as its job
//! allows; the runtime and its neighbours go on.

use std::{collections::BTreeMap, fs, ops::RangeInclusive, time::Duration};

use mc2_client::{
    bare::{BareOptions, run_bare},
    session::{Session, SessionError},
};
use mc2_protocol::documents::receipt::Status;
use mc2_sandbox::Failure;
use mc2_tests::{Finished, Run, Stack, component, draft, parse, policy_of};

const MIB: u64 = 1 << 20;
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// The time of a job here: on a busy machine too, a neighbour is done before.
const TIME: Duration = Duration::from_secs(4);

/// What every job here may use: 64 MiB of memory, four seconds, 2 MiB of output, 8 MiB of scratch.
fn hostile(arguments: &[&str]) -> Run {
    Run::of("hostile", arguments)
        .limits(64 * MIB, TIME, 2 * MIB)
        .scratch(8 * MIB)
}

/// Runs the hostile job and, in the same session and at the same time, a well-behaved one.
async fn beside_another(stack: &Stack, session: &Session<'_>, arguments: &[&str]) -> Finished {
    let (hostile, good) = (hostile(arguments), hostile(&["echo", "well behaved"]));
    let nothing = BTreeMap::new();
    let (hostile, good) = tokio::join!(
        stack.submit(session, &hostile, &nothing),
        stack.submit(session, &good, &nothing),
    );
    let good = good.expect("a neighbour's receipt");
    assert_eq!(good.reason(), "succeeded", "the neighbour of {arguments:?}");
    assert_eq!(
        good.stdout(),
        "well behaved\n",
        "the neighbour of {arguments:?}"
    );
    let hostile = hostile.expect("a receipt");
    for output in hostile.outputs.values() {
        assert!(
            output.len() as u64 <= 2 * MIB,
            "{arguments:?}: {} bytes",
            output.len()
        );
    }
    hostile
}

/// What a guest takes without end, and how its job ends.
const ENDS: &[(&[&str], &str)] = &[
    (&["loop"], "time-limit"),
    (&["sleep", "1000"], "time-limit"),
    (&["alloc", "500"], "memory-limit"),
    (&["stack"], "stack-overflow"),
    (&["stdout-flood"], "output-limit"),
    (&["stderr-flood"], "output-limit"),
    (&["progress-flood"], "output-limit"),
    (&["host-calls", "1000000000"], "time-limit"),
];

/// What a guest takes until it is refused, and the least and the most it gets of it. One who stops
/// then may end well.
const STOPS: &[(&[&str], u64, u64)] = &[
    (&["alloc-many"], 32, 64),
    (&["open-files"], 1_000, 1_024),
    (&["dirs"], 32_000, 32_768),
];

fn refused_within(stdout: &str, expected: RangeInclusive<u64>, arguments: &[&str]) {
    let refused = stdout
        .strip_prefix("refused after ")
        .expect("it was refused");
    let digits: String = refused.chars().take_while(char::is_ascii_digit).collect();
    let after: u64 = digits.parse().expect("a number");
    assert!(expected.contains(&after), "{arguments:?}: {stdout}");
}

/// Row 15.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_guest_exhausts_is_its_own() {
    let stack = Stack::start().await;
    let session = stack.session(&hostile(&[])).await.expect("a session");
    for (arguments, reason) in ENDS {
        let finished = beside_another(&stack, &session, arguments).await;
        assert_eq!(finished.reason(), *reason, "{arguments:?}");
    }
    for (arguments, least, most) in STOPS {
        let finished = beside_another(&stack, &session, arguments).await;
        assert_eq!(finished.reason(), "succeeded", "{arguments:?}");
        refused_within(&finished.stdout(), *least..=*most, arguments);
    }
    // A full disk is the guest's to deal with: this one goes on asking, and ends by itself.
    let finished = beside_another(&stack, &session, &["scratch-flood"]).await;
    assert!(
        ["succeeded", "scratch-limit"].contains(&finished.reason()),
        "{}",
        finished.reason()
    );
    assert!(finished.observed(0).instances[0].spilled_bytes <= 8 * MIB);
    // One that gives up says why.
    let finished = beside_another(&stack, &session, &["spill", "12"]).await;
    assert_eq!(finished.reason(), "scratch-limit");
    // All of it went through one process.
    let [runtime] = stack.runtimes().try_into().expect("one runtime");
    let status = fs::read_to_string(format!("/proc/{runtime}/status")).expect("its status");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("its peak");
    let peak: u64 = peak
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    assert!(peak < 1024 * 1024, "the runtime took {peak} KiB");
}

/// Row 15: without an enclave the same limits hold, by the same names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_enclave_the_same_limits_hold() {
    let bare = async |arguments: &[&str]| {
        let options = BareOptions {
            arguments: arguments.iter().map(|one| (*one).to_owned()).collect(),
            memory: 64 * MIB,
            timeout: Some(TIME),
            output: Some(2 * MIB),
            scratch: Some(8 * MIB),
            cache: Some(mc2_tests::cache_folder().join("bare")),
            ..BareOptions::new(component("hostile"))
        };
        let outcome = run_bare(options).await.expect("a run");
        let reason = outcome
            .result
            .as_ref()
            .map_or_else(Failure::kind, |()| "succeeded");
        (
            reason,
            String::from_utf8_lossy(&outcome.stdout).into_owned(),
        )
    };
    for (arguments, reason) in ENDS {
        assert_eq!(bare(arguments).await.0, *reason, "{arguments:?}");
    }
    for (arguments, least, most) in STOPS {
        let (reason, stdout) = bare(arguments).await;
        assert_eq!(reason, "succeeded", "{arguments:?}");
        refused_within(&stdout, *least..=*most, arguments);
    }
    assert_eq!(bare(&["spill", "12"]).await.0, "scratch-limit");
}

/// Row 15.
#[tokio::test]
async fn an_output_without_end_is_released_to_nobody() {
    let stack = Stack::start().await;
    let run = hostile(&["out-flood"]).output("result");
    let finished = stack.run(&run).await.expect("a receipt");
    assert_eq!(finished.reason(), "output-limit");
    assert!(!finished.outputs.contains_key("result"));
}

/// Row 15.
#[tokio::test]
async fn a_session_runs_four_jobs_at_once_and_says_so_of_the_fifth() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["sleep", "1000"]).limits(64 * MIB, TEN_MINUTES, 2 * MIB);
    let session = stack.session(&run).await.expect("a session");
    let mut running = Vec::new();
    for _ in 0..4 {
        let job = draft(&session, &run, &BTreeMap::new());
        running.push(session.submit(&stack.me, &job).await.expect("a job"));
    }
    let job = draft(&session, &run, &BTreeMap::new());
    match session.submit(&stack.me, &job).await {
        Err(SessionError::Refused { refused, .. }) => assert_eq!(refused.code, "busy"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a fifth job"),
    }
    for job in &running {
        job.cancel(&stack.me).await.expect("it is stopped");
        let finished = stack
            .finish(&session, &stack.me, job)
            .await
            .expect("a receipt");
        assert_eq!(finished.reason(), "cancelled");
    }
    let finished = stack
        .submit(&session, &hostile(&["echo", "now"]), &BTreeMap::new())
        .await;
    assert_eq!(finished.expect("a receipt").stdout(), "now\n");
}

/// Runs several steps of the hostile component under one job's limits.
async fn steps(stack: &Stack, limits: &str, steps: &[&[&str]]) -> Finished {
    let component = stack.component("hostile").await;
    let mut job = format!("submit = [\"me\"]\nruns = 1\nlimits = {{ {limits} }}\n");
    for _ in steps {
        job += "[[job.step]]\ncomponent = \"workload\"\nargs = \"any\"\npadding = \"exact\"\n";
    }
    let policy = policy_of(&[&stack.me], &component, &[], &job);
    let session = stack.open_session(&stack.remote, policy).await;
    let session = session.expect("a session");
    let arguments = steps.iter().map(|step| {
        let words = step.iter().map(|&word| word.to_owned());
        words.collect()
    });
    let job = session
        .policy()
        .draft(
            &parse("run"),
            &BTreeMap::new(),
            arguments.collect(),
            [7; 32],
        )
        .expect("a job the policy allows");
    let finished = stack.submit_job(&session, &stack.me, &job).await;
    finished.expect("a receipt")
}

/// Row 15: what a guest asks for beyond its job's memory it does not get.
#[tokio::test]
async fn a_run_s_limits_are_not_the_guest_s_to_raise() {
    let stack = Stack::start().await;
    let finished = stack.run(&hostile(&["alloc", "100"])).await;
    assert_eq!(finished.expect("a receipt").reason(), "memory-limit");
}

/// Row 40: all steps of a run together have the job's time, output and scratch. Each step here
/// stays below what the job has, and the last one goes beyond what the others left of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_step_used_is_not_there_for_the_next() {
    let stack = Stack::start().await;
    let (long, short) = ("x".repeat(40_000), "x".repeat(25_000));
    let memory = r#"memory = "64MiB""#;
    // Long enough that a busy machine does not take what the others leave.
    let time = format!(r#"{memory}, time = "5s", output = "1MiB", scratch = "8MiB""#);
    let output = format!(r#"{memory}, time = "20s", output = "64KiB", scratch = "8MiB""#);
    let scratch = format!(r#"{memory}, time = "20s", output = "1MiB", scratch = "8MiB""#);
    let (second, third): (&[&str], &[&str]) = (&["sleep", "3"], &["sleep", "1.75"]);
    for (limits, step, times, reason) in [
        (&time, second, 2, "time-limit"),
        (&time, third, 3, "time-limit"),
        (&output, &["echo", &long][..], 2, "output-limit"),
        (&output, &["echo", &short], 3, "output-limit"),
        (&scratch, &["spill", "5"], 2, "scratch-limit"),
        (&scratch, &["spill", "3"], 3, "scratch-limit"),
    ] {
        let what = format!("{limits}, {} {times} times", step[0]);
        let enough = steps(&stack, limits, &vec![step; times - 1]).await;
        assert_eq!(enough.reason(), "succeeded", "{what}, but once");
        let finished = steps(&stack, limits, &vec![step; times]).await;
        let failed = Status::Failed {
            step: times as u32 - 1,
            reason: reason.to_owned(),
        };
        assert_eq!(finished.receipt.status, failed, "{what}");
    }
}

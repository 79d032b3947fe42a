//! Row 31: under `visible = "volume"` all that a host is asked, in which order and how much of it,
//! is the same whatever the data are and whatever the guest does with them.

use std::collections::BTreeMap;

use mc2_client::session::Session;
use mc2_protocol::{Digest, documents::job::Job, policy::Policy};
use mc2_tests::{Exchange, Finished, Liar, Lie, Stack, draft_job, policy_showing, release};
use std::time::{Duration, SystemTime};

/// Bytes of the input, none of which but the first four mean anything.
const LENGTH: usize = 3 << 20;
/// Room for everything the guest does here.
const MEMORY: &str = "64MiB";

/// A step whose streams and result all go to its submitter, in one length.
const STEERED: &str = r#"
[[job.step]]
component = "workload"
inputs = { data = "dataset:data" }
args = "any"
padding = { fixed = "1MiB" }
outputs = { result = ["me"], stdout = ["me"], stderr = ["me"], error = ["me"], progress = ["me"] }
"#;

struct Watched {
    stack: Stack,
    host: Liar,
    component: Digest,
}

impl Watched {
    async fn new() -> Self {
        let (stack, host) = Stack::lying_to_runtime().await;
        let component = stack.component("hostile").await;
        Self {
            stack,
            host,
            component,
        }
    }

    fn policy(&self, visible: &str, memory: &str, steps: &str) -> Policy {
        self.policy_over(&["data"], visible, memory, "50s", steps)
    }

    fn policy_over(
        &self,
        datasets: &[&str],
        visible: &str,
        memory: &str,
        time: &str,
        steps: &str,
    ) -> Policy {
        let job = format!(
            "submit = [\"me\"]\nruns = 9\nlimits = {{ memory = \"{memory}\", time = \"{time}\", \
             output = \"8MiB\" }}\n{steps}"
        );
        let me = &self.stack.me;
        let datasets: Vec<_> = datasets.iter().map(|name| (*name, me)).collect();
        policy_showing(visible, &[me], &self.component, &datasets, &job)
    }

    /// Runs the steps' command lines over `data` in a session of its own: how it ended, and what
    /// the host saw from the job's submission to its receipt.
    async fn run(&self, policy: Policy, data: &[u8], steps: &[&[&str]]) -> (Finished, Vec<String>) {
        let stack = &self.stack;
        let session = stack
            .open_session(&stack.remote, policy)
            .await
            .expect("a session");
        let job = self.prepared(&session, data, steps).await;
        self.host.remember();
        let finished = stack
            .submit_job(&session, &stack.me, &job)
            .await
            .expect("a receipt");
        (finished, trace(&self.host.memory()))
    }

    /// A job of a session whose policy's datasets all are `data`, sealed and released.
    async fn prepared(&self, session: &Session<'_>, data: &[u8], steps: &[&[&str]]) -> Job {
        let stack = &self.stack;
        let mut objects = BTreeMap::new();
        let mut keys = Vec::new();
        for dataset in session.policy().datasets() {
            let sealed = stack.seal(dataset.name.as_str(), data).await;
            objects.insert(dataset.name.clone(), sealed.object);
            keys.push(release(dataset.name.as_str(), &sealed, 1));
        }
        let released = session.release(&stack.me, &stack.ledger, keys, SystemTime::now());
        released.await.expect("a release");
        draft_job(session, "run", &objects, steps)
    }

    /// The same as [`run`](Self::run), for what `data` makes the guest do.
    async fn steered(&self, visible: &str, steer: [u8; 4]) -> (Finished, Vec<String>) {
        let policy = self.policy(visible, MEMORY, STEERED);
        self.run(policy, &steering(steer), &[&["steered", "data", "result"]])
            .await
    }
}

/// Data of one length that make the guest do that; see `hostile/steer.rs`.
fn steering(steer: [u8; 4]) -> Vec<u8> {
    let mut data = vec![steer[0]; LENGTH];
    data[..4].copy_from_slice(&steer);
    data
}

/// What a host sees of its exchanges, with every random name replaced by when it came up first.
fn trace(seen: &[Exchange]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut named = |path: &str| {
        let parts = path.split('/').map(|part| {
            let random = part.len() >= 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !random {
                return part.to_owned();
            }
            let known = names.iter().position(|name| name == part);
            let number = known.unwrap_or_else(|| {
                names.push(part.to_owned());
                names.len() - 1
            });
            format!("#{number}")
        });
        parts.collect::<Vec<_>>().join("/")
    };
    let line = |exchange: &Exchange| {
        let asked = &exchange.asked;
        format!(
            "{} {} {:?} {:?}: {} bytes, {} and {} bytes",
            asked.method,
            named(&asked.path),
            asked.query,
            asked.range,
            exchange.request.len(),
            exchange.status,
            exchange.response.len()
        )
    };
    seen.iter().map(line).collect()
}

fn differs(a: &[String], b: &[String]) -> String {
    let pairs = a.iter().zip(b).enumerate();
    let different = pairs.filter(|(_, (a, b))| a != b).take(3);
    let different: Vec<String> = different
        .map(|(at, (a, b))| format!("{at}: {a}\n   {b}"))
        .collect();
    format!(
        "{} and {} exchanges:\n{}",
        a.len(),
        b.len(),
        different.join("\n")
    )
}

/// Row 31.
#[tokio::test]
async fn what_a_guest_reads_writes_and_says_leaves_no_trace_at_the_host() {
    let watched = Watched::new().await;
    let (quiet, little) = watched.steered("volume", [0, 0, 0, 0]).await;
    let (busy, much) = watched.steered("volume", [48, 60, 40, 0]).await;
    assert_eq!((quiet.reason(), busy.reason()), ("succeeded", "succeeded"));
    assert_eq!(quiet.outputs["result"].len(), 0);
    assert_eq!(busy.outputs["result"], vec![b'x'; 60_000]);
    assert_eq!(busy.stdout().lines().count(), 40);
    assert!(little == much, "{}", differs(&little, &much));
    // Everything is fetched before anything is left, each part once and in order.
    let kind = |line: &String| line.contains("/files/") && line.starts_with("GET");
    assert_eq!(
        much.iter().filter(|line| kind(line)).count(),
        LENGTH.div_ceil(1 << 20) + 1
    );
    assert!(
        !much.iter().any(|line| line.contains("/spill/")),
        "{much:?}"
    );

    // What this test would see of the same two runs elsewhere.
    let (_, little) = watched.steered("access", [0, 0, 0, 0]).await;
    let (_, much) = watched.steered("access", [48, 60, 40, 0]).await;
    assert!(little != much);
}

/// Row 31.
#[tokio::test]
async fn why_a_run_failed_and_how_far_it_came_leaves_no_trace_at_the_host() {
    let watched = Watched::new().await;
    let mut first: Option<Vec<String>> = None;
    for (steer, reason) in [
        ([0, 0, 0, 1], "trap"),
        ([48, 60, 40, 1], "trap"),
        ([9, 33, 7, 2], "exit"),
        ([9, 1, 0, 3], "missing-output"),
        ([200, 20, 3, 4], "undeclared-output"),
    ] {
        let (finished, trace) = watched.steered("volume", steer).await;
        assert_eq!(finished.reason(), reason, "{steer:?}");
        assert!(!finished.outputs.contains_key("result"));
        let first = first.get_or_insert_with(|| trace.clone());
        assert!(*first == trace, "{steer:?}: {}", differs(first, &trace));
    }
}

/// Row 31: nor does what one step leaves for the next.
#[tokio::test]
async fn what_steps_leave_for_each_other_stays_in_the_enclave() {
    const STEPS: &str = r#"
[[job.step]]
component = "workload"
inputs = { data = "dataset:data" }
args = "any"
padding = { fixed = "1MiB" }
outputs = { middle = "step", "parts/" = "step" }
[[job.step]]
component = "workload"
inputs = { middle = "step:middle", parts = "step:parts", data = "dataset:data" }
args = "any"
padding = { fixed = "1MiB" }
outputs = { result = ["me"], stdout = ["me"] }
"#;
    let watched = Watched::new().await;
    let mut first: Option<Vec<String>> = None;
    for (steer, length) in [([1, 1, 0, 0], 1000), ([30, 200, 9, 0], 200_000)] {
        let policy = watched.policy("volume", MEMORY, STEPS);
        let steps: [&[&str]; 2] = [
            &["steered", "data", "middle"],
            &["copy", "middle", "result"],
        ];
        let (finished, trace) = watched.run(policy, &steering(steer), &steps).await;
        assert_eq!(finished.reason(), "succeeded");
        assert_eq!(finished.outputs["result"], vec![b'x'; length]);
        let first = first.get_or_insert_with(|| trace.clone());
        assert!(*first == trace, "{}", differs(first, &trace));
    }
}

#[tokio::test]
async fn a_folder_that_a_step_leaves_is_a_folder_for_the_next() {
    const STEPS: &str = r#"
[[job.step]]
component = "workload"
args = "any"
padding = { fixed = "1MiB" }
outputs = { "parts/" = "step" }
[[job.step]]
component = "workload"
inputs = { parts = "step:parts", data = "dataset:data" }
args = "any"
padding = "power-of-two"
outputs = { list = ["me"] }
"#;
    let watched = Watched::new().await;
    let policy = watched.policy("volume", MEMORY, STEPS);
    let steps: [&[&str]; 2] = [
        &["fill-folder", "parts", "a=100000", "b/c=3", "b/d=0"],
        &["list", "parts", "list"],
    ];
    let (finished, _) = watched.run(policy, b"data", &steps).await;
    let list = String::from_utf8_lossy(&finished.outputs["list"]);
    let expected = "100003 bytes\na 100000 100000 right\nb/c 3 3 right\nb/d 0 0 right\n";
    assert_eq!(list, expected);
}

/// Row 31: what does not fit into the job's memory fails it, and nothing of it is asked for.
#[tokio::test]
async fn inputs_and_scratch_count_as_memory_and_nothing_spills() {
    let watched = Watched::new().await;
    let policy = watched.policy("volume", "2MiB", STEERED);
    let steps: [&[&str]; 1] = [&["steered", "data", "result"]];
    let (finished, trace) = watched.run(policy, &steering([0; 4]), &steps).await;
    assert_eq!(finished.reason(), "memory-limit");
    assert!(
        !trace.iter().any(|line| line.contains("/files/")),
        "{trace:?}"
    );

    // 240 × 64 KiB in the guest's own memory, as many in scratch, and 3 MiB of input.
    for (visible, memory, reason) in [
        ("volume", "64MiB", "succeeded"),
        ("volume", "32MiB", "memory-limit"),
        ("access", "32MiB", "succeeded"),
    ] {
        let policy = watched.policy(visible, memory, STEERED);
        let (finished, trace) = watched.run(policy, &steering([0, 240, 0, 0]), &steps).await;
        assert_eq!(finished.reason(), reason, "{visible}, {memory}");
        let spilled = trace.iter().any(|line| line.contains("/spill/"));
        assert_eq!(spilled, visible == "access", "{memory}");
    }
}

/// Row 31: what a step leaves takes memory from the next one's inputs, of which the host sees that
/// all were fetched or none.
#[tokio::test]
async fn how_much_a_step_leaves_does_not_show_in_how_many_inputs_the_next_one_gets() {
    const STEPS: &str = r#"
[[job.step]]
component = "workload"
args = "any"
padding = { fixed = "1MiB" }
outputs = { "parts/" = "step" }
[[job.step]]
component = "workload"
inputs = { parts = "step:parts", a = "dataset:a", b = "dataset:b", c = "dataset:c" }
args = "any"
padding = { fixed = "1MiB" }
outputs = { list = ["me"] }
"#;
    const EACH: usize = 2 << 20;
    const ALL: usize = 3 * ((EACH >> 20) + 1);
    let watched = Watched::new().await;
    let data = vec![7; EACH];
    let mut seen = Vec::new();
    for mib in 1..=7 {
        let policy = watched.policy_over(&["a", "b", "c"], "volume", "14MiB", "50s", STEPS);
        let left = format!("x={}", mib << 20);
        let steps: [&[&str]; 2] = [&["fill-folder", "parts", &left], &["list", "parts", "list"]];
        let (finished, trace) = watched.run(policy, &data, &steps).await;
        let kind = |line: &&String| line.contains("/files/") && line.starts_with("GET");
        let fetched = trace.iter().filter(kind).count();
        // The inputs may fit and leave the guest too little.
        assert!([0, ALL].contains(&fetched), "{mib} MiB: {fetched}");
        let succeeded = finished.reason() == "succeeded";
        assert!(succeeded || finished.reason() == "memory-limit");
        assert!(fetched == ALL || !succeeded);
        seen.push((fetched, succeeded));
    }
    assert_eq!(seen.first(), Some(&(ALL, true)));
    assert_eq!(seen.last(), Some(&(0, false)));
}

/// Fetching inputs whole takes of the job's time, and its submitter can stop it.
#[tokio::test]
async fn a_host_that_never_sends_an_input_holds_a_job_no_longer_than_its_time() {
    let watched = Watched::new().await;
    let stack = &watched.stack;
    for (time, reason) in [("2s", "time-limit"), ("50s", "cancelled")] {
        let policy = watched.policy_over(&["data"], "volume", MEMORY, time, STEERED);
        let session = stack.open_session(&stack.remote, policy).await;
        let session = session.expect("a session");
        let steps: [&[&str]; 1] = [&["steered", "data", "result"]];
        let job = watched.prepared(&session, &steering([0; 4]), &steps).await;
        watched.host.lie(Lie::Silent, |asked| asked.is_file());
        let running = session.submit(&stack.me, &job).await;
        let running = running.expect("it is submitted");
        while watched.host.lies() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if reason == "cancelled" {
            running.cancel(&stack.me).await.expect("it is stopped");
        }
        let finished = stack.finish(&session, &stack.me, &running).await;
        let finished = finished.expect("a receipt");
        assert_eq!(finished.reason(), reason);
        watched.host.repent();
    }
}

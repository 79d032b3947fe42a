//! Jobs of several steps: what one leaves for the next is read as it was written, whatever its
//! length was padded to.

use std::{collections::BTreeMap, time::SystemTime};

use mc2_client::http::Request;
use mc2_protocol::{
    Digest, Manifest, Name,
    documents::receipt::Status,
    policy::{Policy, STREAMS},
};
use mc2_tests::{Finished, Stack, identity, parse, policy_of, policy_showing, release};

const PADDINGS: [&str; 3] = ["\"exact\"", "\"power-of-two\"", "{ fixed = \"512KiB\" }"];

/// A step of the component under test: its arguments, inputs and outputs.
struct Step {
    arguments: Vec<String>,
    inputs: &'static str,
    outputs: &'static str,
}

fn step(arguments: &[&str], inputs: &'static str, outputs: &'static str) -> Step {
    Step {
        arguments: arguments.iter().map(|&one| one.to_owned()).collect(),
        inputs,
        outputs,
    }
}

fn policy(stack: &Stack, component: &Digest, steps: &[Step], padding: &str) -> Policy {
    let mut job = "submit = [\"me\"]\nruns = 100\n\
                   limits = { memory = \"256MiB\", time = \"60s\", output = \"8MiB\" }\n"
        .to_owned();
    for step in steps {
        let Step {
            inputs, outputs, ..
        } = step;
        job += &format!(
            "[[job.step]]\ncomponent = \"workload\"\nargs = \"any\"\ninputs = {{ {inputs} }}\n\
             outputs = {{ {outputs} }}\npadding = {padding}\n"
        );
    }
    policy_of(&[&stack.me], component, &[("data", &stack.me)], &job)
}

/// Runs the steps over `data`, which is the dataset of that name.
async fn run(stack: &Stack, guest: &str, steps: &[Step], padding: &str, data: &[u8]) -> Finished {
    let component = stack.component(guest).await;
    let policy = policy(stack, &component, steps, padding);
    let session = stack.open_session(&stack.remote, policy).await;
    let session = session.expect("a session");
    let sealed = stack.seal("data", data).await;
    session
        .release(
            &stack.me,
            &stack.ledger,
            vec![release("data", &sealed, 1)],
            SystemTime::now(),
        )
        .await
        .expect("a release");
    let objects = BTreeMap::from([(parse::<Name>("data"), sealed.object)]);
    let arguments = steps.iter().map(|step| step.arguments.clone()).collect();
    let job = session
        .policy()
        .draft(&parse("run"), &objects, arguments, [7; 32])
        .expect("a job the policy allows");
    let finished = stack.submit_job(&session, &stack.me, &job).await;
    finished.expect("a receipt")
}

/// Around the borders of nothing, of segments and of powers of two.
fn lengths() -> [Vec<u8>; 4] {
    [0, 1, 65_480, 200_003].map(|length| (0..length).map(|at| (at % 251) as u8 + 1).collect())
}

#[tokio::test]
async fn what_a_step_leaves_for_the_next_is_read_at_its_true_length() {
    let two = [
        step(
            &["copy", "data", "first"],
            "data = \"dataset:data\"",
            "first = \"step\"",
        ),
        step(
            &["copy", "first", "result"],
            "first = \"step:first\"",
            "result = [\"me\"]",
        ),
    ];
    let three = [
        step(
            &["copy", "data", "first"],
            "data = \"dataset:data\"",
            "first = \"step\"",
        ),
        step(
            &["copy", "first", "second"],
            "first = \"step:first\"",
            "second = \"step\"",
        ),
        step(
            &["copy", "second", "result"],
            "second = \"step:second\", first = \"step:first\"",
            "result = [\"me\"]",
        ),
    ];
    for padding in PADDINGS {
        // Each policy has a runtime of its own, and a host has so many.
        let stack = Stack::start().await;
        for data in lengths() {
            for steps in [&two[..], &three] {
                let finished = run(&stack, "hostile", steps, padding, &data).await;
                let what = format!("{} bytes, {} steps, {padding}", data.len(), steps.len());
                assert_eq!(
                    finished.reason(),
                    "succeeded",
                    "{what}: {}",
                    finished.stdout()
                );
                assert!(finished.outputs["result"] == data, "{what}");
            }
        }
    }
}

/// Around the same borders, and a file that ends where the next begins.
const FILES: [&str; 5] = ["a=0", "b/c=65500", "b/d.csv=1", "b/e/f=200003", "g=0"];

#[tokio::test]
async fn a_folder_a_step_leaves_for_the_next_has_the_same_files() {
    let fill = [&["fill-folder", "files"], &FILES[..]].concat();
    let fill = || step(&fill, "data = \"dataset:data\"", "\"files/\" = \"step\"");
    let two = [
        fill(),
        step(
            &["list", "files", "result"],
            "files = \"step:files\"",
            "result = [\"me\"]",
        ),
    ];
    let three = [
        fill(),
        step(
            &["list", "files", "listed"],
            "files = \"step:files\"",
            "listed = \"step\"",
        ),
        step(
            &["copy", "listed", "result"],
            "listed = \"step:listed\", files = \"step:files\"",
            "result = [\"me\"]",
        ),
    ];
    let expected = "265504 bytes\na 0 0 right\nb/c 65500 65500 right\nb/d.csv 1 1 right\n\
                    b/e/f 200003 200003 right\ng 0 0 right\n";
    for padding in PADDINGS {
        // Each policy has a runtime of its own, and a host has so many.
        let stack = Stack::start().await;
        for steps in [&two[..], &three] {
            let finished = run(&stack, "hostile", steps, padding, b"x").await;
            let what = format!("{} steps, {padding}", steps.len());
            assert_eq!(
                finished.reason(),
                "succeeded",
                "{what}: {}",
                finished.stdout()
            );
            let found = String::from_utf8_lossy(&finished.outputs["result"]);
            assert_eq!(found, expected, "{what}");
        }
    }
}

/// The policy's word, whether what the first step leaves is with the host or stays in the enclave.
#[tokio::test]
async fn what_an_output_is_to_hold_is_told_to_who_writes_it_and_to_who_reads_it() {
    let job = r#"
submit = ["me"]
runs = 9
limits = { memory = "64MiB", time = "60s", output = "1MiB" }
[[job.step]]
component = "workload"
args = "any"
inputs = { data = "dataset:data" }
outputs = { first = { to = "step", media_type = "text/csv" } }
padding = "power-of-two"
[[job.step]]
component = "workload"
args = "any"
inputs = { first = "step:first" }
outputs = { result = { to = ["me"], media_type = "application/json" } }
padding = "power-of-two"
"#;
    for visible in ["access", "volume"] {
        let stack = Stack::start().await;
        let component = stack.component("hostile").await;
        let datasets = [("data", &stack.me)];
        let policy = policy_showing(visible, &[&stack.me], &component, &datasets, job);
        let session = stack.open_session(&stack.remote, policy).await;
        let session = session.expect("a session");
        let sealed = stack.seal("data", b"x").await;
        let keys = vec![release("data", &sealed, 1)];
        let now = SystemTime::now();
        let released = session.release(&stack.me, &stack.ledger, keys, now).await;
        released.expect("a release");
        let objects = BTreeMap::from([(parse::<Name>("data"), sealed.object)]);
        let arguments = [
            ["media-types", "data", "first"],
            ["media-types", "first", "result"],
        ];
        let arguments = arguments.map(|step| step.map(str::to_owned).to_vec());
        let job = session
            .policy()
            .draft(&parse("run"), &objects, arguments.to_vec(), [7; 32])
            .expect("a job the policy allows");
        let finished = stack.submit_job(&session, &stack.me, &job).await;
        let finished = finished.expect("a receipt");
        assert_eq!(finished.reason(), "succeeded", "{visible}");
        let said = String::from_utf8_lossy(&finished.outputs["result"]);
        assert_eq!(said, "text/csv application/json", "{visible}");
        let released = finished.receipt.outputs.iter();
        let mut objects = released.filter(|output| output.name.as_str() == "result");
        let object = objects.next().expect("the result").object;
        let path = format!("/v1/objects/{object}/manifest");
        let answer = stack.http().send(&Request::get(path, 1 << 24)).await;
        let manifest = Manifest::parse(&answer.expect("a manifest").body).expect("a manifest");
        assert_eq!(manifest.media_type().as_str(), "application/json");
    }
}

/// Two parties, and three steps; what the first leaves is released as well as what the last does.
const THREE: &str = r#"
submit = ["me"]
approve = { who = "all", when = "job" }
runs = 9
limits = { memory = "64MiB", time = "60s", output = "1MiB" }
errors = "full"
[[job.step]]
component = "workload"
args = "any"
inputs = { data = "dataset:data" }
outputs = { early = ["me"], stdout = ["me"] }
padding = "power-of-two"
[[job.step]]
component = "workload"
args = "any"
inputs = { data = "dataset:data" }
outputs = { second = "step", stdout = ["me"], stderr = ["me"] }
padding = "power-of-two"
[[job.step]]
component = "workload"
args = "any"
inputs = { second = "step:second" }
outputs = { result = ["me"], stdout = ["me"] }
padding = "power-of-two"
"#;

/// One approval is good for all steps of one job, one receipt tells of each, and where one step
/// fails no file of any step leaves.
#[tokio::test]
async fn a_job_of_several_steps_is_approved_once_and_released_whole_or_not_at_all() {
    let stack = Stack::start().await;
    let (me, you) = (&stack.me, identity("you"));
    let component = stack.component("hostile").await;
    let policy = policy_of(&[me, &you], &component, &[("data", me)], THREE);
    let session = stack.open_session(&stack.remote, policy).await;
    let session = session.expect("a session");
    let sealed = stack.seal("data", b"rows").await;
    let keys = vec![release("data", &sealed, 4)];
    let now = SystemTime::now();
    let released = session.release(me, &stack.ledger, keys, now).await;
    released.expect("a release");
    let objects = BTreeMap::from([(parse::<Name>("data"), sealed.object)]);
    let good = [
        &["copy", "data", "early"][..],
        &["copy", "data", "second"],
        &["copy", "second", "result"],
    ];
    for (broken, arguments) in [
        (None, &[][..]),
        (Some(0), &["fail", "secret"]),
        (Some(1), &["panic"]),
        (Some(2), &["fail", "secret"]),
    ] {
        let mut steps = good;
        if let Some(step) = broken {
            steps[step] = arguments;
        }
        let steps = steps.map(|step| step.iter().map(|&one| one.to_owned()).collect());
        let salt = [broken.map_or(9, |step: usize| step as u8); 32];
        let job = session
            .policy()
            .draft(&parse("run"), &objects, steps.to_vec(), salt);
        let job = job.expect("a job the policy allows");
        let digest = Digest::of(&job.to_bytes());
        for party in [me, &you] {
            let approved = session.approve(party, &parse("run"), &digest).await;
            approved.expect("an approval");
        }
        let finished = stack.submit_job(&session, me, &job).await;
        let finished = finished.expect("a receipt");
        let receipt = &finished.receipt;
        assert_eq!(receipt.steps.len(), 3, "{broken:?}");
        assert_eq!(receipt.approvals.len(), 2, "{broken:?}");
        let files: Vec<&str> = receipt
            .outputs
            .iter()
            .map(|output| output.name.as_str())
            .filter(|name| !STREAMS.contains(name))
            .collect();
        let Some(broken) = broken else {
            assert_eq!(finished.reason(), "succeeded", "{}", finished.stdout());
            assert_eq!(files, ["early", "result"]);
            assert_eq!(finished.outputs["early"], b"rows");
            assert_eq!(finished.outputs["result"], b"rows");
            continue;
        };
        assert!(files.is_empty(), "step {broken}: {files:?}");
        let Status::Failed { step, .. } = receipt.status else {
            panic!("step {broken} succeeded");
        };
        assert_eq!(step as usize, broken);
        let mut of = receipt.outputs.iter().map(|output| output.step as usize);
        assert!(of.all(|step| step == broken), "{:?}", receipt.outputs);
    }
}

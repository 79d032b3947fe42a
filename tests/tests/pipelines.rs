//! Jobs of several steps: what one leaves for the next is read as it was written, whatever its
//! length was padded to.

use std::{collections::BTreeMap, time::SystemTime};

use mc2_protocol::{Digest, Name, policy::Policy};
use mc2_tests::{Finished, Stack, parse, policy_of, release};

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

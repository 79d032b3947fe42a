//! Row 18: of a run that failed no more of the guest's own words comes out than the policy's
//! `errors` says, whoever the policy names for its streams.

use std::collections::BTreeMap;

use mc2_client::session::Session;
use mc2_protocol::{Identity, policy::Policy};
use mc2_tests::{Finished, Stack, identity, parse, policy_of};

/// What the guest is to say, and nobody may read.
const SECRET: &str = "canary-4711";

struct Two {
    stack: Stack,
    you: Identity,
    component: mc2_protocol::Digest,
}

impl Two {
    async fn new() -> Self {
        let stack = Stack::start().await;
        let component = stack.component("hostile").await;
        Self {
            stack,
            you: identity("you"),
            component,
        }
    }

    /// A job of so many steps, whose streams all go to its submitter.
    fn policy(&self, errors: &str, steps: usize) -> Policy {
        let step = "[[job.step]]\ncomponent = \"workload\"\nargs = \"any\"\n\
                    padding = \"power-of-two\"\noutputs = { stdout = [\"me\"], stderr = [\"me\"], \
                    error = [\"me\"], progress = [\"me\"] }\n";
        let job = format!(
            "submit = [\"me\"]\napprove = {{ who = \"all\", when = \"session\" }}\nruns = 100\n\
             errors = {errors}\n\
             limits = {{ memory = \"64MiB\", time = \"20s\", output = \"1MiB\" }}\n{}",
            step.repeat(steps)
        );
        policy_of(&[&self.stack.me, &self.you], &self.component, &[], &job)
    }

    async fn session(&self, errors: &str, steps: usize) -> Session<'_> {
        let parties = [&self.stack.me, &self.you];
        self.stack
            .approved(self.policy(errors, steps), &parties)
            .await
    }

    /// Runs a command line for each step, and keeps what was told meanwhile.
    async fn run(
        &self,
        session: &Session<'_>,
        steps: &[&[&str]],
    ) -> (Finished, Vec<(u16, String)>) {
        let words = |words: &&[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let arguments = steps.iter().map(words).collect();
        let mut salt = [0; 32];
        rand_core::Rng::fill_bytes(&mut mc2_tests::rng(), &mut salt);
        let job = session
            .policy()
            .draft(&parse("run"), &BTreeMap::new(), arguments, salt)
            .expect("a job the policy allows");
        let me = &self.stack.me;
        let running = session.submit(me, &job).await.expect("a job");
        let mut events = Vec::new();
        let told = running.wait(me, |event| {
            events.push((event.permille, event.text.clone()))
        });
        told.await.expect("its end");
        let finished = self.stack.finish(session, me, &running).await;
        (finished.expect("a receipt"), events)
    }
}

fn names(finished: &Finished) -> Vec<&str> {
    finished.outputs.keys().map(String::as_str).collect()
}

/// Row 18.
#[tokio::test]
async fn under_none_a_failed_run_says_nothing_and_progress_is_numbers() {
    let two = Two::new().await;
    let session = two.session("\"none\"", 1).await;
    for (arguments, reason) in [
        (&["tell", SECRET][..], "exit"),
        (&["leak", SECRET], "undeclared-output"),
        (&["fail", SECRET], "exit"),
        (&["panic"], "trap"),
    ] {
        let (finished, events) = two.run(&session, &[arguments]).await;
        assert_eq!(finished.reason(), reason);
        assert!(finished.receipt.outputs.is_empty(), "{arguments:?}");
        assert!(events.iter().all(|(_, text)| text.is_empty()), "{events:?}");
        if arguments[0] == "tell" {
            assert_eq!(events, [(500, String::new())]);
        }
    }
    // What a run says that succeeds are outputs as any other.
    let (finished, _) = two.run(&session, &[&["echo", SECRET]]).await;
    assert_eq!(finished.stdout(), format!("{SECRET}\n"));
}

/// Row 18.
#[tokio::test]
async fn under_codes_one_code_an_input_s_name_and_two_numbers_pass() {
    let two = Two::new().await;
    let session = two
        .session("{ codes = [\"bad-row\", \"no-rows\"] }", 1)
        .await;
    for (said, passed) in [
        ("bad-row", "bad-row"),
        ("no-rows 17 4294967295", "no-rows 17 4294967295"),
        ("bad-row 17\ncanary-4711", "bad-row 17"),
        ("bad-row canary-4711", ""),
        ("bad-row 1 2 4711", ""),
        (SECRET, ""),
    ] {
        let (finished, _) = two.run(&session, &[&["fail", said]]).await;
        assert_eq!(finished.reason(), "exit");
        assert_eq!(names(&finished), ["error"], "{said:?}");
        let error = String::from_utf8_lossy(&finished.outputs["error"]);
        assert_eq!(error, passed, "{said:?}");
    }
    let (finished, events) = two.run(&session, &[&["tell", "bad-row 4711"]]).await;
    assert_eq!(finished.outputs["error"], b"bad-row 4711");
    assert_eq!(names(&finished), ["error"]);
    assert_eq!(events, [(500, String::new())]);
    let (finished, _) = two.run(&session, &[&["leak", SECRET]]).await;
    assert_eq!(
        (names(&finished), &finished.outputs["error"][..]),
        (vec!["error"], &b""[..])
    );
}

#[tokio::test]
async fn under_full_all_of_it_passes() {
    let two = Two::new().await;
    let session = two.session("\"full\"", 1).await;
    let (finished, events) = two.run(&session, &[&["tell", SECRET]]).await;
    assert_eq!(names(&finished), ["error", "stderr", "stdout"]);
    assert_eq!(finished.outputs["error"], SECRET.as_bytes());
    assert_eq!(finished.stdout(), format!("{SECRET}\n"));
    assert_eq!(events, [(500, SECRET.to_owned())]);
}

/// Row 18: of a pipeline that fails in one step, what another one printed does not come out either.
#[tokio::test]
async fn a_failed_pipeline_says_no_more_than_its_failed_step_may() {
    let two = Two::new().await;
    for (errors, expected) in [
        ("\"none\"", &[][..]),
        ("{ codes = [\"bad-row\"] }", &[("error", "bad-row 7")]),
        (
            "\"full\"",
            &[
                ("error", "bad-row 7\ncanary-4711"),
                ("stderr", "error: bad-row 7\ncanary-4711\n"),
                ("stdout", ""),
            ],
        ),
    ] {
        let session = two.session(errors, 3).await;
        let steps: [&[&str]; 3] = [
            &["echo", SECRET],
            &["fail", "bad-row 7\ncanary-4711"],
            &["echo", SECRET],
        ];
        let (finished, _) = two.run(&session, &steps).await;
        assert_eq!(finished.reason(), "exit");
        let outputs = finished.outputs.iter();
        let outputs: Vec<(&str, String)> = outputs
            .map(|(name, bytes)| (name.as_str(), String::from_utf8_lossy(bytes).into_owned()))
            .collect();
        let outputs: Vec<(&str, &str)> = outputs
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        assert_eq!(outputs, expected, "{errors}");
    }
}

//! Rows 18 and 19: whatever a guest says goes to those the policy names, or to nobody; and a run
//! that did not end well has no outputs.

use std::collections::BTreeMap;

use mc2_client::{session::Session, verify::failure};
use mc2_protocol::{
    Digest, Identity,
    documents::{
        control::JobState,
        message::{Approve, Body},
    },
    policy::Policy,
};
use mc2_tests::{Finished, Run, Stack, approve, draft, identity, policy_of};

struct Two {
    stack: Stack,
    you: Identity,
    component: Digest,
}

/// What both parties' policies here begin with; a step's outputs follow.
const JOB: &str = r#"
submit = ["me"]
approve = { who = ["me", "you"], when = "session" }
errors = "full"
runs = 100
limits = { memory = "64MiB", time = "10s", output = "1MiB" }
[[job.step]]
component = "workload"
args = "any"
padding = "power-of-two"
"#;

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

    fn policy(&self, outputs: &str) -> Policy {
        let job = format!("{JOB}{outputs}");
        policy_of(&[&self.stack.me, &self.you], &self.component, &[], &job)
    }

    /// A session under a policy with this job, approved by both.
    async fn session_of(&self, job: &str) -> Session<'_> {
        let parties = [&self.stack.me, &self.you];
        let policy = policy_of(&parties, &self.component, &[], job);
        self.stack.approved(policy, &parties).await
    }

    async fn session(&self, outputs: &str) -> Session<'_> {
        self.session_of(&format!("{JOB}{outputs}")).await
    }

    /// Runs as `me`; what I get of it, and what you do.
    async fn run(
        &self,
        session: &Session<'_>,
        arguments: &[&str],
    ) -> (Finished, BTreeMap<String, Vec<u8>>) {
        let run = Run::of("hostile", arguments);
        let finished = self
            .stack
            .submit(session, &run, &BTreeMap::new())
            .await
            .expect("a receipt");
        let yours = self
            .stack
            .open_outputs(&finished.receipt, &finished.session, &self.you);
        let yours = yours.await.expect("what is yours");
        (finished, yours)
    }
}

fn names(outputs: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
    outputs.keys().map(String::as_str).collect()
}

/// Row 18.
#[tokio::test]
async fn where_the_policy_is_silent_nobody_gets_the_streams() {
    let two = Two::new().await;
    for outputs in [
        "",
        "outputs = { stdout = [], stderr = [], progress = [], error = [] }",
    ] {
        let session = two.session(outputs).await;
        for (arguments, reason) in [
            (&["echo", "secret"][..], "succeeded"),
            (&["leak", "secret"], "undeclared-output"),
            (&["panic"], "trap"),
            (&["fail", "secret"], "exit"),
        ] {
            let (mine, yours) = two.run(&session, arguments).await;
            assert_eq!(mine.reason(), reason, "{arguments:?}");
            assert!(
                mine.receipt.outputs.is_empty(),
                "{arguments:?}: {:?}",
                mine.receipt.outputs
            );
            assert!(mine.outputs.is_empty() && yours.is_empty(), "{arguments:?}");
            let text = String::from_utf8_lossy(mine.envelope.payload.as_slice()).into_owned();
            assert!(
                !text.contains("secret"),
                "{arguments:?}: the receipt says it"
            );
            let status = two
                .stack
                .remote
                .job_status(&mine.session, mine.receipt.number, 0)
                .await;
            assert!(
                status.expect("its status").events.is_empty(),
                "{arguments:?}: progress"
            );
        }
    }
}

/// Row 18.
#[tokio::test]
async fn streams_go_to_those_the_policy_names_and_to_no_other() {
    let two = Two::new().await;
    let outputs = r#"outputs = { result = ["me"], stdout = ["you"], stderr = ["me"], error = ["you"], progress = ["you"] }"#;
    let session = two.session(outputs).await;
    let (mine, yours) = two.run(&session, &["leak", "secret"]).await;
    assert_eq!(mine.reason(), "trap");
    assert_eq!(names(&mine.outputs), ["stderr"]);
    assert_eq!(names(&yours), ["error", "stdout"]);
    assert_eq!(yours["stdout"], b"secret\n");
    let status = two
        .stack
        .remote
        .job_status(&mine.session, mine.receipt.number, 0)
        .await;
    let events = status.expect("its status").events;
    assert!(
        events
            .iter()
            .all(|event| event.card == *two.you.card().digest()),
        "{events:?}"
    );
    for event in &events {
        let key = session.appraised().signing_public_key();
        assert!(event.open(&mine.session, &key, &two.stack.me).is_err());
        assert!(event.open(&mine.session, &key, &two.you).is_ok());
    }
}

/// Row 18.
#[tokio::test]
async fn an_output_goes_to_its_recipients_and_its_length_to_nobody_else() {
    let two = Two::new().await;
    let session = two
        .session(r#"outputs = { result = ["you"], stdout = ["me"] }"#)
        .await;
    let (mine, yours) = two.run(&session, &["overwrite"]).await;
    assert_eq!(mine.reason(), "succeeded");
    assert_eq!(names(&mine.outputs), ["stdout"]);
    assert_eq!(names(&yours), ["result"]);
    assert_eq!(yours["result"].len(), 100_003);
    // Neither I nor the host: what I can read of the receipt has no length in it.
    let payload = String::from_utf8_lossy(mine.envelope.payload.as_slice());
    assert!(!payload.contains("100003") && !payload.contains("100012"));
    assert!(mine.figures.0[0].usage.is_none());
    // The host sees a power of two.
    let manifest = two
        .stack
        .remote
        .manifest(&mine.receipt.outputs[0].object)
        .await;
    let stored = manifest.expect("a manifest").length();
    assert_eq!(
        stored,
        if mine.receipt.outputs[0].name == "result" {
            1 << 17
        } else {
            16
        }
    );
}

/// Row 18: what the host is told of a run is that it ended, and whether well.
#[tokio::test]
async fn the_host_is_told_done_or_failed_and_no_more() {
    let two = Two::new().await;
    let session = two.session("").await;
    for (arguments, state) in [
        (&["echo", "secret"][..], JobState::Done),
        (&["trap"], JobState::Failed),
        (&["exit", "7"], JobState::Failed),
        (&["fail", "secret"], JobState::Failed),
    ] {
        let (mine, _) = two.run(&session, arguments).await;
        let status = two
            .stack
            .remote
            .job_status(&mine.session, mine.receipt.number, 0)
            .await;
        assert_eq!(status.expect("its status").state, state, "{arguments:?}");
    }
}

/// Rows 13 and 18: without the other's consent nothing runs at all.
#[tokio::test]
async fn one_party_alone_runs_nothing() {
    let two = Two::new().await;
    let opened = two
        .stack
        .open_session(&two.stack.remote, two.policy(""))
        .await;
    let session = opened.expect("a session");
    let run = Run::of("hostile", &["echo", "secret"]);
    let job = draft(&session, &run, &BTreeMap::new());
    let refused = |outcome: Result<_, mc2_client::session::SessionError>| match outcome {
        Err(mc2_client::session::SessionError::Refused { refused, .. }) => refused.code,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it ran"),
    };
    let me = &two.stack.me;
    assert_eq!(
        refused(session.submit(me, &job).await.map(drop)),
        "not-approved"
    );
    // Twice from me is once.
    for _ in 0..2 {
        approve(&session, me).await;
    }
    assert_eq!(
        refused(session.submit(me, &job).await.map(drop)),
        "not-approved"
    );
    // For another policy is for nothing.
    let other = Body::Approve(Approve::Policy(Digest::of(b"another policy")));
    two.stack.say(&session, &two.you, 1, &other).await;
    assert_eq!(
        refused(session.submit(me, &job).await.map(drop)),
        "not-approved"
    );
    // You may approve and not submit.
    approve(&session, &two.you).await;
    assert_eq!(
        refused(session.submit(&two.you, &job).await.map(drop)),
        "not-a-submitter"
    );
    let finished = two
        .stack
        .submit_job(&session, me, &job)
        .await
        .expect("a receipt");
    assert_eq!(finished.reason(), "succeeded");
}

/// Row 19.
#[tokio::test]
async fn a_run_that_does_not_end_well_has_failed_and_releases_no_outputs() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &[]).output("result");
    let session = stack.session(&run).await.expect("a session");
    for (arguments, reason) in [
        (&["trap"][..], "trap"),
        (&["panic"], "trap"),
        (&["abort"], "trap"),
        (&["exit", "3"], "exit"),
        (&["exit", "1"], "exit"),
        (&["fail", "a reason"], "exit"),
        (&["partial-out"], "exit"),
        (&["leak", "text"], "trap"),
        (&["exit", "0"], "missing-output"),
        (&["echo", "and no output"], "missing-output"),
    ] {
        let run = Run {
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            ..run.clone()
        };
        let finished = stack
            .submit(&session, &run, &BTreeMap::new())
            .await
            .expect("a receipt");
        assert_eq!(finished.reason(), reason, "{arguments:?}");
        assert!(!finished.outputs.contains_key("result"), "{arguments:?}");
        let status = stack
            .remote
            .job_status(&finished.session, finished.receipt.number, 0)
            .await;
        assert_eq!(
            status.expect("its status").state,
            JobState::Failed,
            "{arguments:?}"
        );
        if arguments[0] == "partial-out" {
            assert_eq!(finished.stdout(), "half written\n");
        }
        if arguments[0] == "fail" {
            assert_eq!(finished.outputs["error"], b"a reason");
        }
    }
}

/// Row 18.
#[tokio::test]
async fn a_job_that_tries_to_make_an_undeclared_output_has_failed() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["undeclared-output"]);
    let finished = stack.run(&run).await.expect("a receipt");
    let stdout = finished.stdout();
    assert!(!stdout.contains("GOT"), "{stdout}");
    assert!(
        stdout.starts_with("refused create /out/undeclared\n"),
        "{stdout}"
    );
    assert_eq!(finished.reason(), "undeclared-output");
    for output in &finished.receipt.outputs {
        assert!(
            ["stdout", "stderr", "error"].contains(&output.name.as_str()),
            "{output:?}"
        );
    }
}

impl Two {
    /// What a failed job tells this reader alone.
    fn failed_output(&self, finished: &Finished, reader: &Identity) -> Option<String> {
        let readers = std::slice::from_ref(reader);
        let detail = failure::detail(&finished.receipt, &finished.session, readers);
        detail.output.map(|name| name.to_string())
    }
}

/// Rows 18 and 36: which of the policy's outputs a guest left out is its choice, so the submitter
/// learns it and no other reader.
#[tokio::test]
async fn a_failed_job_s_submitter_learns_which_output_was_missing_or_left_twice() {
    let two = Two::new().await;
    let mut lengths = std::collections::BTreeSet::new();
    for (outputs, arguments, reason, output) in [
        (
            r#"outputs = { result = ["you"], "a-much-longer-name" = [] }"#,
            &["echo"][..],
            "missing-output",
            Some("result"),
        ),
        (
            r#"outputs = { "a-much-longer-name" = ["you"], result = [] }"#,
            &["overwrite"],
            "missing-output",
            Some("a-much-longer-name"),
        ),
        (
            "instances = 2\noutputs = { result = [\"you\"] }",
            &["overwrite"],
            "repeated-output",
            Some("result"),
        ),
        (r#"outputs = { result = ["you"] }"#, &["trap"], "trap", None),
    ] {
        let session = two.session(outputs).await;
        let (mine, yours) = two.run(&session, arguments).await;
        assert_eq!(mine.reason(), reason);
        assert!(yours.is_empty(), "{yours:?}");
        let found = two.failed_output(&mine, &two.stack.me);
        assert_eq!(found.as_deref(), output);
        assert_eq!(two.failed_output(&mine, &two.you), None);
        let sealed = mine.receipt.failure.as_ref().expect("it failed");
        lengths.insert(sealed.sealed.ciphertext.0.len());
    }
    assert_eq!(lengths.len(), 1);
}

/// Rows 18 and 36: a name that no policy wrote is the guest's word, for those who get `error`.
#[tokio::test]
async fn the_name_of_an_undeclared_output_reaches_the_recipients_of_error_alone() {
    let two = Two::new().await;
    for (outputs, told) in [
        (r#"outputs = { error = ["you"] }"#, true),
        (r#"outputs = { stderr = ["you"] }"#, false),
    ] {
        let session = two.session(outputs).await;
        let (mine, yours) = two.run(&session, &["undeclared-output"]).await;
        assert_eq!(mine.reason(), "undeclared-output");
        assert_eq!(two.failed_output(&mine, &two.stack.me), None);
        assert!(mine.outputs.is_empty());
        let payload = String::from_utf8_lossy(mine.envelope.payload.as_slice());
        assert!(!payload.contains("undeclared\""), "{payload}");
        let text = yours.get("error").map(|text| String::from_utf8_lossy(text));
        let named = |text: &str| text.contains("/out/\"undeclared\" is no output");
        assert_eq!(text.as_deref().is_some_and(named), told, "{text:?}");
    }
    // It counts as output: where what the guest printed leaves no room, it is left out.
    let job = format!("{JOB}outputs = {{ error = [\"you\"] }}").replace("\"1MiB\"", "\"40B\"");
    let session = two.session_of(&job).await;
    let (mine, yours) = two.run(&session, &["undeclared-output"]).await;
    assert_eq!(mine.reason(), "undeclared-output");
    assert!(yours["error"].len() <= 40, "{:?}", yours["error"]);
    assert!(!yours["error"].ends_with(b"declares\n"));
}

/// An output that does not fit its fixed padding is the guest's doing, not the host's.
#[tokio::test]
async fn an_output_longer_than_its_fixed_padding_is_too_much_output() {
    let two = Two::new().await;
    let job = format!("{JOB}outputs = {{ result = [\"you\"] }}");
    let job = job.replace("\"power-of-two\"", "{ fixed = \"100003B\" }");
    for (job, reason) in [
        (job.clone(), "succeeded"),
        (job.replace("100003B", "100002B"), "output-limit"),
    ] {
        let session = two.session_of(&job).await;
        let (mine, yours) = two.run(&session, &["overwrite"]).await;
        assert_eq!(mine.reason(), reason);
        assert_eq!(yours.contains_key("result"), reason == "succeeded");
    }
}

//! Row 5: a policy is its exact bytes, and they have one meaning.

use std::{collections::BTreeMap, fs, sync::Arc};

use mc2_attestation::Outcome as CheckOutcome;
use mc2_client::{
    http::{HttpError, Request},
    remote::RemoteError,
};
use mc2_protocol::{
    Digest, Identity,
    documents::{
        control::{AskChallenge, MAX_LEN, OpenSession},
        message::{Body, Outcome},
    },
    encoding::{Hex, to_json},
};
use mc2_tests::{
    Asked, Lie, Run, RunFailed, Stack, draft, identity,
    messages::{code, submission},
};
use mc2_wire::routes::{CHALLENGES_PATH, SESSIONS_PATH};

fn echo() -> Run {
    Run::of("hostile", &["echo", "done"])
}

/// Row 5.
#[tokio::test]
async fn a_policy_with_an_unknown_or_repeated_field_opens_no_session() {
    let stack = Stack::start().await;
    let run = echo();
    let good = run.policy(&stack.me);
    let good = String::from_utf8(good.bytes().to_vec()).expect("text");
    stack
        .store_component(fs::read(&run.component).expect("it"))
        .await
        .expect("a component");
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1).into_bytes()
    };
    for (policy, named) in [
        (
            with("version = 1", "version = 1\nversion = 1"),
            "duplicate key",
        ),
        (with("version = 1", "version = 2"), "version"),
        (with("version = 1\n", ""), "version"),
        (with("version = 1", "version = 1\nsecret = true"), "secret"),
        (
            with("runs = 100", "runs = 100\nruns = 1000"),
            "duplicate key",
        ),
        (
            with("runs = 100", "\"runs\" = 100\nruns = 1000"),
            "duplicate key",
        ),
        (with("runs = 100", "runs = 100\nRuns = 1000"), "Runs"),
        (with("runs = 100", "runs = 1_00.0"), "runs"),
        (with("[enclave]", "[enclave]\ndebug = true"), "debug"),
        (with("tee = [\"sim\"]", "tee = []"), "tee"),
        (with("tee = [\"sim\"]", "tee = [\"sim\", \"tdx\"]"), "sim"),
        (with("platforms = \"any\"", "platforms = []"), "platforms"),
        (with("submit = [\"me\"]", "submit = []"), "submit"),
        (
            with("submit = [\"me\"]", "submit = [\"me\", \"me\"]"),
            "submit",
        ),
        (with("submit = [\"me\"]", "submit = [\"ME\"]"), "submit"),
        (
            with("stdout = [\"me\"]", "stdout = [\"me\"]\nstdout = []"),
            "duplicate key",
        ),
        ([b"\xff\xfe".as_slice(), good.as_bytes()].concat(), ""),
        ([good.as_bytes(), b"\xff"].concat(), ""),
        ([good.as_bytes(), b"\0"].concat(), ""),
        (Vec::new(), ""),
    ] {
        let text = String::from_utf8_lossy(&policy).into_owned();
        let challenge = stack.remote.challenge(&Digest::of(&policy)).await;
        let challenge = challenge.expect("a challenge");
        let open = OpenSession::sign(&policy, Hex([1; 32]), challenge, &stack.me);
        let body = to_json(&open);
        let call = Request::post(SESSIONS_PATH.to_owned(), body, MAX_LEN);
        match stack.http().send(&call).await {
            Err(HttpError::Refused {
                status: 422,
                problem,
                ..
            }) => {
                assert_eq!(problem.code, "policy-refused", "{text}");
                assert!(
                    problem.detail.contains(named),
                    "{named}: {}",
                    problem.detail
                );
            }
            other => panic!("{text}\n{other:?}"),
        }
    }
}

/// Row 5.
#[tokio::test]
async fn a_policy_the_host_rewrites_is_another_policy_whatever_it_means() {
    let (stack, liar) = Stack::lying_to_client().await;
    let run = echo();
    let policy = run.policy(&stack.me);
    let text = std::str::from_utf8(policy.bytes())
        .expect("text")
        .to_owned();
    let rewrites: [fn(String) -> String; 4] = [
        |text| text + "\n",
        |text| text.replace("version = 1", "version  = 1"),
        |text| text.replace("runs = 100", "runs = 1000"),
        |text| format!("# the same\n{text}"),
    ];
    for rewrite in rewrites {
        let rewritten = rewrite(text.clone()).into_bytes();
        liar.tell(move |asked| instead(asked, rewritten.clone(), None));
        match stack.session_under(&run, policy.clone()).await {
            Err(RunFailed::Remote(RemoteError::Http(error))) => {
                assert_eq!(error.code(), Some("not-the-opener"), "{error}");
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("a policy that nobody signed for"),
        }
    }

    // In league with a stranger, who signs for a policy of its own.
    let stranger = Arc::new(identity("me"));
    let theirs = run.policy(&stranger).bytes().to_vec();
    liar.tell(move |asked| instead(asked, theirs.clone(), Some(Arc::clone(&stranger))));
    match stack.session_under(&run, policy).await {
        Err(RunFailed::Appraisal(checks)) => {
            let failed = checks
                .iter()
                .find(|check| check.outcome == CheckOutcome::Failed);
            let failed = failed.expect("a check that failed");
            assert_eq!(failed.what, "policy digest", "{failed}");
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a stranger's policy was taken for the own one"),
    }
}

/// Has the process for another policy challenge, and opens a session under that policy.
fn instead(asked: &Asked, policy: Vec<u8>, signer: Option<Arc<Identity>>) -> Option<Lie> {
    match asked.path.as_str() {
        CHALLENGES_PATH => Some(Lie::request(move |_, _| {
            to_json(&AskChallenge {
                policy: Digest::of(&policy),
            })
        })),
        SESSIONS_PATH => Some(Lie::request(move |_, body| {
            let mut open: OpenSession = serde_json::from_slice(&body).expect("a request");
            if let Some(signer) = &signer {
                open = OpenSession::sign(&policy, open.nonce, open.challenge, signer);
            }
            open.policy = policy.clone().into();
            to_json(&open)
        })),
        _ => None,
    }
}

/// Row 5: a job is exact bytes too.
#[tokio::test]
async fn a_job_with_an_unknown_or_repeated_field_is_no_job() {
    let stack = Stack::start().await;
    let session = stack.session(&echo()).await.expect("a session");
    let good = draft(&session, &echo(), &BTreeMap::new()).to_bytes();
    let good = String::from_utf8(good).expect("text");
    let other = format!(r#""policy":"{}""#, Digest::of(b"another policy"));
    let policy = format!(r#""policy":"{}""#, session.policy().digest());
    let mut sequence = 0;
    for (from, to, expected) in [
        (
            r#""name":"run""#,
            r#""name":"run","name":"run""#,
            "not-a-job",
        ),
        (
            r#""name":"run""#,
            r#""name":"run","extra":null"#,
            "not-a-job",
        ),
        (r#""name":"run""#, r#""name":"other""#, "unknown-job"),
        (r#""version":1"#, r#""version":1.0"#, "not-a-job"),
        (r#""version":1"#, r#""version":2"#, "not-a-job"),
        (
            r#""arguments":["#,
            r#""arguments":["more"],"arguments":["#,
            "not-a-job",
        ),
        (r#""instances":1"#, r#""instances":2"#, "wrong-instances"),
        (&policy, &other, "other-policy"),
    ] {
        assert!(good.contains(from), "{from} in {good}");
        sequence += 1;
        let job = good.replacen(from, to, 1).into_bytes();
        let body: Body = submission(&session, job);
        let outcome = stack.say(&session, &stack.me, sequence, &body).await;
        assert_eq!(code(&outcome), expected, "{to}: {outcome:?}");
    }
    let body = submission(&session, [good.as_bytes(), b" {}"].concat());
    let outcome = stack.say(&session, &stack.me, sequence + 1, &body).await;
    assert_eq!(code(&outcome), "not-a-job", "{outcome:?}");
    let body = submission(&session, good.into_bytes());
    let outcome = stack.say(&session, &stack.me, sequence + 2, &body).await;
    assert!(
        matches!(outcome, Outcome::Submitted { number: 1 }),
        "{outcome:?}"
    );
}

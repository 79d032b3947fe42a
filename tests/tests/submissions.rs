//! Jobs that parties submit: proposed to those who approve them, one by one where the policy says so,
//! and found again by a process that did not hear what became of one.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::io::{BufRead as _, BufReader};

use mc2_protocol::{Digest, documents::proposal::Proposal};
use mc2_tests::{ALL, Lie, Several, ended, parse, rng, string, text};

const EACH: &str = "approve = { who = [\"bank-a\", \"bank-b\"], when = \"job\" }\n";

/// Rows 34 and 44.
#[tokio::test(flavor = "multi_thread")]
async fn each_job_is_approved_by_those_who_were_shown_it_and_no_other_with_it() {
    let several = Several::new(EACH).await;
    several.upload_all();
    let session = several.session();
    let refused = several.submit(&session, 66);
    let message = string(&refused["message"]);
    for waited in ["bank-a, bank-b", "the key of accounts", "from bank-a"] {
        assert!(message.contains(waited), "no {waited:?} in {message}");
    }
    let job = several.place.state("analyst").submissions().unwrap()[0].job;
    let job = job.to_string();
    for party in ["bank-a", "bank-b"] {
        let status = several.told(party, 0, &["session", "status", &session]);
        assert_eq!(status["proposals"][0]["job"], job, "{status}");
        assert_eq!(status["proposals"][0]["proposer"], "analyst");
        // Nobody is asked, and so nothing signed; but all of it was shown.
        let output = several.mc2(party, &["approve", &session, "--job", &job[..8]]);
        let stderr = ended(&output, 64);
        for shown in [
            "what         job\n",
            &job,
            "2 of 3: \"transactions\"\n",
            "by  analyst",
        ] {
            assert!(stderr.contains(shown), "no {shown:?} in {stderr}");
        }
        let told = several.told(
            party,
            0,
            &["approve", &session, "--job", &job, "--digest", &job],
        );
        assert_eq!(
            (&told["approved"], &told["digest"]),
            (&"job".into(), &job.clone().into())
        );
        assert_eq!(told["released"][0]["runs"], 1);
    }
    // The others' approvals are of that job, whatever else has the same name and arguments.
    let refused = several.submit(&session, 66);
    assert!(string(&refused["message"]).contains("bank-a, bank-b"));
    // Evidence that was asked for since has another nonce, which the receipt then repeats.
    several.told("analyst", 0, &["attest", &session]);
    let submitted = several.told("analyst", 0, &["submit", &session, "--again", &job[..9]]);
    assert_eq!(submitted["job"], job);
    let watched = several.told("analyst", 0, &["watch", &session, &job]);
    assert_eq!(watched["status"], "succeeded");
    // It ran once, and that is that.
    several.told("analyst", 64, &["submit", &session, "--again", &job]);
}

/// Row 42: its process was killed between the enclave's answer and its own note of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_submission_whose_process_died_is_found_by_its_receipt_and_not_run_twice() {
    let several = Several::new(ALL).await;
    several.upload_all();
    let session = several.session();
    several.approve("bank-a", &session);
    several.approve("bank-b", &session);
    let job = string(&several.submit(&session, 0)["job"]);
    several.told("analyst", 0, &["watch", &session, "1"]);
    let state = several.place.state("analyst");
    let kept = || state.submissions().unwrap().remove(0);
    let mut unheard = kept();
    unheard.number = None;
    state.store_submission(&unheard).unwrap();
    let told = several.told("analyst", 64, &["submit", &session, "--again", &job]);
    assert!(string(&told["message"]).contains("as number 1"), "{told}");
    assert_eq!(kept().number, Some(1));

    // In a session that is over, so that nobody answers what ran in it, as well.
    state.store_submission(&unheard).unwrap();
    let messages = format!("/v1/sessions/{session}/messages");
    several
        .liar
        .lie(Lie::Status(410), move |asked| asked.path == messages);
    let told = several.told("analyst", 64, &["submit", &session, "--again", &job]);
    assert!(string(&told["message"]).contains("as number 1"), "{told}");
    assert!(several.liar.lies() > 0);
    assert_eq!(kept().number, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_says_for_whom_it_waits_and_goes_on_by_itself() {
    let one =
        "approve = { who = { of = [\"bank-a\", \"bank-b\"], at_least = 1 }, when = \"session\" }\n";
    let several = Several::new(one).await;
    several.upload_all();
    let session = several.session();
    let versions = several.versions();
    let line = [
        "submit",
        &session,
        "run",
        "--allow-simulated",
        "--wait",
        "2min",
        "--in",
        &versions[0],
        "--in",
        &versions[1],
        "--",
        "accounts",
    ];
    let mut command = several.place.command_of("analyst", "mc2", &line);
    command.stdout(std::process::Stdio::piped());
    let mut waiting = command
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(waiting.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("waiting for") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    for waited in [
        "waiting for 1 more approval, by any of bank-a, bank-b",
        "from bank-a",
    ] {
        assert!(said.contains(waited), "no {waited:?} in {said}");
    }
    let digest = several.policy.digest().to_string();
    several.told("bank-b", 0, &["release", &session, "--digest", &digest]);
    several.approve("bank-a", &session);
    let output = waiting.wait_with_output().unwrap();
    ended(&output, 0);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("number     1\n"), "{stdout}");
}

/// Rows 12 and 34: nobody but who signs for a party of the policy proposes anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_can_neither_propose_a_job_nor_alter_one() {
    let several = Several::new(EACH).await;
    several.upload_all();
    let session = several.session();
    several.liar.remember();
    several.submit(&session, 66);
    let posted = several
        .liar
        .recall(|asked| asked.is("POST", "/v1/sessions/") && asked.path.ends_with("/notes"));
    assert_eq!(posted.len(), 2);
    let remote = &several.stack.remote;
    let bank_a = several.identities[0].card();
    let digest: Digest = parse(&session);
    let job = several
        .place
        .state("analyst")
        .submissions()
        .unwrap()
        .remove(0);
    let eve = mc2_tests::identity("eve");
    let forged = [
        b"not a proposal".to_vec(),
        Proposal::seal(&digest, job.bytes.as_slice(), &eve, bank_a, &mut rng()),
        Proposal::seal(
            &Digest::of(b"other"),
            job.bytes.as_slice(),
            &several.identities[2],
            bank_a,
            &mut rng(),
        ),
        // A party that may not submit it.
        Proposal::seal(
            &digest,
            job.bytes.as_slice(),
            &several.identities[1],
            bank_a,
            &mut rng(),
        ),
        // What the policy does not allow.
        Proposal::seal(&digest, b"{}", &several.identities[2], bank_a, &mut rng()),
    ];
    for note in forged {
        remote
            .post_note(&digest, bank_a.digest(), note)
            .await
            .unwrap();
    }
    let status = several.told("bank-a", 0, &["session", "status", &session]);
    let proposals = status["proposals"].as_array().unwrap();
    assert_eq!(proposals.len(), 1, "{proposals:?}");
    assert_eq!(proposals[0]["job"], job.job.to_string());
    several.liar.lie(Lie::Flip(2000), |asked| {
        asked.is("GET", "/v1/sessions/") && asked.path.ends_with("/notes")
    });
    let output = several.mc2(
        "bank-a",
        &[
            "approve",
            &session,
            "--job",
            &job.job.to_string(),
            "--digest",
            &job.job.to_string(),
            "--digest",
            &job.job.to_string(),
        ],
    );
    assert_ne!(output.status.code(), Some(0));
    assert_eq!(several.ledger("bank-a"), "");
}

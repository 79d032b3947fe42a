//! `mc2 submit` where a session runs as many jobs as it may: it waits in the host's queue, says where
//! in it, and what it submits is taken once whatever ends or lies on the way.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStderr, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use mc2_tests::{ALL, Asked, Lie, Several, ended, parse, string, text, until};
use serde_json::Value;

/// As many jobs as a session runs at once.
const PLACES: u64 = 4;

/// A session in which the analyst may submit, and nothing runs.
async fn started() -> (Several, String) {
    let several = Several::new(ALL).await;
    let session = several.session();
    several.approve("analyst", &session);
    (several, session)
}

fn nap<'a>(session: &'a str, time: &'a str) -> [&'a str; 6] {
    ["submit", session, "nap", "--now", "--", time]
}

/// All places taken, for ever.
fn fill(several: &Several, session: &str) {
    for number in 1..=PLACES {
        let told = several.told("analyst", 0, &nap(session, "1000"));
        assert_eq!(told["number"], number);
    }
}

/// An `mc2 submit` that has said that it is queued.
struct Queued {
    process: Child,
    /// Open, or it could say nothing more.
    _stderr: BufReader<ChildStderr>,
}

impl Queued {
    fn start(several: &Several, session: &str) -> Self {
        let line = ["submit", session, "nap", "--allow-simulated", "--", "1000"];
        let mut command = several.place.command_of("analyst", "mc2", &line);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("queued at the host") {
            assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
        }
        Self {
            process,
            _stderr: stderr,
        }
    }
}

/// Says that it knows none of these tickets, and has no receipt.
fn hiding(
    session: &str,
    tickets: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> impl Fn(&Asked) -> Option<Lie> + Send + Sync + 'static {
    let unknown = format!("/v1/sessions/{session}/tickets/{}", "0".repeat(32));
    move |asked| {
        if asked.path.contains("/tickets/") && tickets(&asked.path) {
            return Some(Lie::Instead(unknown.clone()));
        }
        asked.path.ends_with("/receipt").then_some(Lie::Status(404))
    }
}

/// The ticket of a submission whose answer was not heard.
fn ticket_of(several: &Several, job: &str) -> String {
    let left = several.place.state("analyst").left(&parse(job)).unwrap();
    left.unwrap().ticket.unwrap().to_string()
}

/// The one submission whose number is not known here.
fn unheard(several: &Several) -> String {
    let state = several.place.state("analyst");
    let mut kept = state.submissions().unwrap();
    kept.retain(|one| one.number.is_none());
    let [one] = &kept[..] else {
        panic!("{} submissions are not known to be taken", kept.len());
    };
    one.job.to_string()
}

/// The numbers of the jobs that the enclave says it runs.
fn running(several: &Several, session: &str) -> Vec<u64> {
    let status = several.told("analyst", 0, &["session", "status", session]);
    let jobs = status["jobs"].as_array().unwrap();
    let mut numbers: Vec<u64> = jobs
        .iter()
        .map(|job| job["number"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn more_submissions_at_once_than_a_session_has_places_are_all_taken_once() {
    let (several, session) = started().await;
    let line = [
        "submit",
        &session,
        "nap",
        "--allow-simulated",
        "--json",
        "--",
        "1",
    ];
    let start = || {
        let mut command = several.place.command_of("analyst", "mc2", &line);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let at_once: Vec<Child> = (0..PLACES * 3).map(|_| start()).collect();
    let mut numbers = BTreeSet::new();
    for process in at_once {
        let output = process.wait_with_output().unwrap();
        ended(&output, 0);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        numbers.insert(told["number"].as_u64().unwrap());
    }
    assert_eq!(numbers, (1..=PLACES * 3).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_says_that_it_is_queued_and_goes_on_when_a_place_is_free() {
    let (several, session) = started().await;
    fill(&several, &session);
    // Who does not want to wait is told so.
    let refused = several.told("analyst", 79, &nap(&session, "1000"));
    assert!(string(&refused["message"]).contains("refused"), "{refused}");
    let waiting = Queued::start(&several, &session);
    several.told("analyst", 0, &["cancel", &session, "1"]);
    let output = waiting.process.wait_with_output().unwrap();
    ended(&output, 0);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("number     5\n"), "{stdout}");
}

/// Row 42.
#[tokio::test(flavor = "multi_thread")]
async fn a_submission_whose_process_is_killed_in_the_queue_is_taken_once_and_found_again() {
    let (several, session) = started().await;
    fill(&several, &session);
    let mut waiting = Queued::start(&several, &session);
    waiting.process.kill().unwrap();
    waiting.process.wait().unwrap();
    let job = unheard(&several);
    // The same, typed again by somebody who does not know, is not another one.
    let again = ["submit", &session, "nap", "--", "1000"];
    let refused = several.told("analyst", 64, &again);
    assert!(string(&refused["message"]).contains(&job), "{refused}");
    several.told("analyst", 0, &["cancel", &session, "1"]);
    let told = several.told("analyst", 0, &["submit", &session, "--again", &job]);
    assert_eq!(
        (&told["job"], &told["number"]),
        (&job.clone().into(), &5.into())
    );
    assert_eq!(running(&several, &session), [2, 3, 4, 5]);
    several.told("analyst", 64, &["submit", &session, "--again", &job]);
}

/// Row 42: the host forgets tickets, and hides receipts.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hides_what_became_of_a_submission_does_not_get_it_run_twice() {
    let (several, session) = started().await;
    let submit = |time| ["submit", &session, "nap", "--", time];
    several.liar.tell(hiding(&session, |_| true));
    several.told("analyst", 79, &submit("1000"));
    let job = unheard(&several);
    let ticket = ticket_of(&several, &job);
    several
        .liar
        .tell(hiding(&session, move |path| path.ends_with(&ticket)));
    // It runs, as the enclave says.
    let told = several.told("analyst", 0, &["submit", &session, "--again", &job]);
    assert_eq!(told["number"], 1);
    assert_eq!(running(&several, &session), [1]);
    several.told("analyst", 0, &["cancel", &session, "1"]);

    // Once a job has ended, nothing but its receipt would say that it ran.
    several.liar.tell(hiding(&session, |_| true));
    several.told("analyst", 79, &submit("0"));
    let job = unheard(&several);
    let ticket = ticket_of(&several, &job);
    until(|| running(&several, &session).is_empty());
    several
        .liar
        .tell(hiding(&session, move |path| path.ends_with(&ticket)));
    let again = ["submit", &session, "--again", &job];
    let refused = several.told("analyst", 79, &again);
    let message = string(&refused["message"]);
    assert!(message.contains("--even-twice"), "{message}");
    let twice = ["submit", &session, "--again", &job, "--even-twice"];
    assert_eq!(several.told("analyst", 0, &twice)["number"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_full_or_has_no_runtime_yet_is_asked_again_when_it_says() {
    let (several, session) = started().await;
    for (status, says_full) in [(429, true), (503, false)] {
        let refused = AtomicUsize::new(0);
        several.liar.tell(move |asked| {
            let leaves = asked.is("POST", "/v1/sessions/") && asked.path.ends_with("/jobs");
            let refuses = leaves && refused.fetch_add(1, Ordering::Relaxed) < 3;
            refuses.then_some(Lie::Status(status))
        });
        let output = several.mc2("analyst", &["submit", &session, "nap", "--", "0"]);
        let stderr = ended(&output, 0);
        assert_eq!(stderr.contains("queue is full"), says_full, "{stderr}");
        assert_eq!(several.liar.lies(), 3);
    }
}

//! `mc2-run --host` under a policy of several parties: one process that gives what is its own, waits
//! for the others by name, and goes on by itself.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStderr, Stdio},
};

use mc2_tests::{ALL, Several, component, string};
use rustix::process::{Pid, Signal, kill_process};

const EACH: &str = "approve = { who = [\"bank-a\", \"bank-b\"], when = \"job\" }\n";

/// An `mc2-run` of the analyst that waits.
struct Waiting {
    process: Child,
    said: Lines<BufReader<ChildStderr>>,
}

impl Waiting {
    /// Copies bank b's data, with these options too.
    fn start(several: &Several, options: &[&str]) -> Self {
        let workload = component("hostile");
        let mut line = vec![workload.to_str().unwrap(), "--host", &several.host];
        line.extend(["--policy", "p.toml", "--job", "run", "--allow-simulated"]);
        line.extend(["--out", "result=result.txt"]);
        line.extend(options);
        line.extend(["--", "copy", "transactions", "result"]);
        let mut command = several.place.command_of("analyst", "mc2-run", &line);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let said = BufReader::new(process.stderr.take().unwrap()).lines();
        Self { process, said }
    }

    /// The next line with all of these words.
    #[track_caller]
    fn until_said(&mut self, words: &[&str]) -> String {
        let mut all = String::new();
        for line in self.said.by_ref() {
            let line = line.unwrap();
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
            all.push_str(&line);
            all.push('\n');
        }
        panic!("it ended before it said {words:?}:\n{all}");
    }

    /// The session it says it is in.
    fn session(&mut self) -> String {
        let line = self.until_said(&["session ", "mc2 session join"]);
        let session = line.split_whitespace().find(|word| word.len() == 64);
        session.unwrap().to_owned()
    }

    #[track_caller]
    fn ended(mut self, code: i32) -> String {
        let rest: Vec<String> = self.said.map_while(Result::ok).collect();
        let rest = rest.join("\n");
        assert_eq!(self.process.wait().unwrap().code(), Some(code), "{rest}");
        rest
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_the_others_by_name_and_goes_on_once_they_came() {
    let several = Several::new(ALL).await;
    let mut run = Waiting::start(&several, &[]);
    let session = run.session();
    run.until_said(&["waiting for the key of accounts from bank-a", "from bank-b"]);

    several.upload("bank-a", "accounts", "one\n");
    several.told("bank-a", 0, &several.join(&session));
    several.approve("bank-a", &session);
    run.until_said(&["waiting for the key of transactions from bank-b"]);
    assert!(!several.place.at("result.txt").exists());
    several.upload("bank-b", "transactions", "two\n");
    several.told("bank-b", 0, &several.join(&session));
    several.approve("bank-b", &session);

    run.ended(0);
    let result = fs::read_to_string(several.place.at("result.txt")).unwrap();
    assert_eq!(result, "two\n");
    // The session is the others' too: it is open still, and known here.
    let listed = several.told("analyst", 0, &["session", "list"]);
    assert_eq!(listed["sessions"][0]["session"], session);
    assert_eq!(listed["sessions"][0]["own"], true);
    several.told("bank-a", 0, &["attest", &session]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_joins_a_session_and_proposes_its_job_where_each_is_approved_by_itself() {
    let several = Several::new(EACH).await;
    several.upload_all();
    let session = several.session();
    let versions = several.versions();
    let options = [
        "--session",
        &session,
        "--data",
        &versions[0],
        "--data",
        &versions[1],
    ];
    let mut run = Waiting::start(&several, &options);
    assert_eq!(run.session(), session);
    run.until_said(&["waiting for the approval of bank-a, bank-b"]);
    for party in ["bank-a", "bank-b"] {
        let status = several.told(party, 0, &["session", "status", &session]);
        let job = string(&status["proposals"][0]["job"]);
        assert_eq!(status["proposals"][0]["proposer"], "analyst");
        let approve = ["approve", &session, "--job", &job, "--digest", &job];
        let told = several.told(party, 0, &approve);
        assert_eq!(told["approved"], "job");
    }
    run.ended(0);
    let result = fs::read_to_string(several.place.at("result.txt")).unwrap();
    assert_eq!(result, "two\n");
    let listed = several.told("analyst", 0, &["list"]);
    assert_eq!(listed["jobs"][0]["number"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_interrupted_submits_nothing_and_says_so_by_its_code() {
    let several = Several::new(ALL).await;
    let mut run = Waiting::start(&several, &[]);
    let session = run.session();
    run.until_said(&["waiting for"]);
    let pid = i32::try_from(run.process.id()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    run.ended(130);
    assert!(!several.place.at("result.txt").exists());
    assert_eq!(several.place.state("analyst").submissions().unwrap(), []);
    several.told("bank-a", 0, &several.join(&session));
}

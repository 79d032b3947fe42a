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
    time::Duration,
};

use mc2_protocol::{
    Digest,
    documents::{control::JobState, hosting::SessionState},
};
use mc2_tests::{ALL, Lie, Several, component, policy_of, string, until};
use rustix::process::{Pid, Signal, kill_process};

/// Between two looks at something.
const GLANCE: Duration = Duration::from_millis(50);
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
        Self::spawn(several, "analyst", &line)
    }

    /// Any `mc2-run` of one of them.
    fn spawn(several: &Several, party: &str, line: &[&str]) -> Self {
        let mut command = several.place.command_of(party, "mc2-run", line);
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

    /// As Ctrl-C does.
    fn interrupt(&self) {
        let pid = i32::try_from(self.process.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
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
    run.interrupt();
    run.ended(130);
    assert!(!several.place.at("result.txt").exists());
    assert_eq!(several.place.state("analyst").submissions().unwrap(), []);
    several.told("bank-a", 0, &several.join(&session));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_one_party_that_is_interrupted_before_it_heard_of_its_job_leaves_none() {
    let several = Several::new(ALL).await;
    // The enclave takes the job, and the host does not say so.
    several
        .liar
        .lie(Lie::Silent, |asked| asked.path.contains("/tickets/"));
    let workload = component("hostile");
    let line = [
        workload.to_str().unwrap(),
        "--host",
        &several.host,
        "--allow-simulated",
        "--",
        "sleep",
        "1000",
    ];
    let run = Waiting::spawn(&several, "analyst", &line);
    until(|| several.liar.lies() > 0);
    let state = several.place.state("analyst");
    let [submission] = &state.submissions().unwrap()[..] else {
        panic!("one job was submitted");
    };
    let remote = &several.stack.remote;
    let jobs = async || remote.jobs(&submission.session).await.unwrap();
    while jobs().await.is_empty() {
        tokio::time::sleep(GLANCE).await;
    }
    run.interrupt();
    run.ended(130);
    // Its session, which nobody else has, is over, and the job with it.
    let sessions = async || remote.session(&submission.session).await.unwrap();
    while sessions().await.state != SessionState::Over {
        tokio::time::sleep(GLANCE).await;
    }
    let [job] = &jobs().await[..] else {
        panic!("one job ran");
    };
    assert_eq!(job.state, JobState::Failed);
    assert!(state.left(&submission.job).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_in_the_queue_says_how_to_hear_of_its_job() {
    let several = Several::new(ALL).await;
    let session = several.session();
    several.approve("analyst", &session);
    for number in 1..=4 {
        let nap = ["submit", &session, "nap", "--now", "--", "1000"];
        assert_eq!(several.told("analyst", 0, &nap)["number"], number);
    }
    let workload = component("hostile");
    let mut line = vec![workload.to_str().unwrap(), "--host", &several.host];
    line.extend(["--policy", "p.toml", "--session", &session]);
    line.extend(["--job", "nap", "--allow-simulated", "--", "sleep", "1000"]);
    let mut run = Waiting::spawn(&several, "analyst", &line);
    run.until_said(&["queued at the host"]);
    run.interrupt();
    let said = run.ended(130);
    let state = several.place.state("analyst");
    let submissions = state.submissions().unwrap();
    let left = submissions.iter().find(|one| one.number.is_none());
    let job = left.unwrap().job.to_string();
    let again = format!("mc2 submit {session} --again {job}");
    assert!(said.contains(&again), "{said}");
    several.told("analyst", 0, &["cancel", &session, "1"]);
    let told = several.told("analyst", 0, &["submit", &session, "--again", &job]);
    assert_eq!(told["number"], 5);
}

/// What bank a runs itself, over data of both.
const OF_BANK_A: &str = "submit = [\"bank-a\"]\nruns = 9\nerrors = \"full\"\n\
     approve = { who = [\"bank-a\"], when = \"job\" }\n\
     limits = { memory = \"1GiB\", time = \"1min\", output = \"1MiB\" }\n\
     [[job.step]]\ncomponent = \"workload\"\npadding = \"exact\"\n\
     args = [\"copy\", \"accounts\", \"result\"]\n\
     [job.step.inputs]\naccounts = \"dataset:accounts\"\n\
     transactions = \"dataset:transactions\"\n\
     [job.step.outputs]\nresult = [\"bank-a\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_joins_its_session_again_releases_no_second_key_while_its_files_are_the_same() {
    let mut several = Several::new(ALL).await;
    let workload = component("hostile");
    let digest = Digest::of(&fs::read(&workload).unwrap());
    let [bank_a, bank_b, analyst] = &several.identities[..] else {
        unreachable!("there are three");
    };
    let datasets = [("accounts", bank_a), ("transactions", bank_b)];
    several.policy = policy_of(&[bank_a, bank_b, analyst], &digest, &datasets, OF_BANK_A);
    fs::write(several.place.at("p.toml"), several.policy.bytes()).unwrap();
    fs::write(several.place.at("accounts.txt"), "one\n").unwrap();
    let line = |session: Option<&str>| {
        let mut line = vec![workload.to_str().unwrap().to_owned()];
        let options = ["--host", &several.host, "--policy", "p.toml"];
        line.extend(options.map(str::to_owned));
        let options = ["--allow-simulated", "--in", "accounts=accounts.txt"];
        line.extend(options.map(str::to_owned));
        line.extend(["--out", "result=result.txt"].map(str::to_owned));
        line.extend(
            session
                .iter()
                .flat_map(|it| ["--session".to_owned(), it.to_string()]),
        );
        line.extend(["--", "copy", "accounts", "result"].map(str::to_owned));
        line
    };
    let start = |session: Option<&str>| {
        let line = line(session);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        Waiting::spawn(&several, "bank-a", &line)
    };
    let releases = || {
        let ledger = several.ledger("bank-a");
        ledger.lines().filter(|it| it.contains("release")).count()
    };
    let missing = ["waiting for the key of transactions from bank-b"];
    let mut run = start(None);
    let session = run.session();
    // The policy is shown before the key leaves, though it is each job that is approved.
    run.until_said(&["approving"]);
    run.until_said(&missing);
    run.interrupt();
    run.ended(130);
    assert_eq!(releases(), 1);

    let mut run = start(Some(&session));
    run.until_said(&["has the key of accounts for 1 more runs"]);
    run.until_said(&missing);
    assert_eq!(releases(), 1);
    several.upload("bank-b", "transactions", "three\n");
    several.told("bank-b", 0, &several.join(&session));
    several.approve("bank-b", &session);
    run.ended(0);
    let result = || fs::read_to_string(several.place.at("result.txt")).unwrap();
    assert_eq!((result().as_str(), releases()), ("one\n", 1));

    // For another run the key of the same version.
    fs::remove_file(several.place.at("result.txt")).unwrap();
    let mut run = start(Some(&session));
    run.until_said(&["waiting for the key of transactions, object", "from bank-b"]);
    assert_eq!(releases(), 2);
    let digest = several.policy.digest().to_string();
    several.told("bank-b", 0, &["release", &session, "--digest", &digest]);
    run.ended(0);
    assert_eq!(result(), "one\n");

    // Of other data the session would take no key: none is spent for it.
    fs::write(several.place.at("accounts.txt"), "two\n").unwrap();
    let said = start(Some(&session)).ended(66);
    assert!(said.contains("has another version of accounts"), "{said}");
    assert_eq!(releases(), 2);
}

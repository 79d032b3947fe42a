//! Row 22: the client is killed (SIGKILL) before and after each request of each verb. Afterwards a
//! job is done or was never begun, the command typed again goes on or says what to do, what was
//! announced opens, and no run is spent a second time unsaid.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    fs,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use mc2_client::state::ledger::Entry;
use mc2_tests::{ALL, Lie, Several, component, ended, string, text};
use tokio::runtime::Handle;

/// No verb asks so often.
const MOST: usize = 200;
/// How long a process has to come as far as it is wanted, or to its end.
const PATIENCE: Duration = Duration::from_secs(60);

/// When a process is killed, by its requests, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The host has not heard of this one.
    Before(usize),
    /// The host has answered this one, and the process has not heard so.
    After(usize),
}

impl Moment {
    fn all() -> impl Iterator<Item = Self> {
        (0..MOST).flat_map(|number| [Self::Before(number), Self::After(number)])
    }

    const fn number(self) -> usize {
        match self {
            Self::Before(number) | Self::After(number) => number,
        }
    }

    const fn lie(self) -> Lie {
        match self {
            Self::Before(_) => Lie::Silent,
            Self::After(_) => Lie::Withhold,
        }
    }
}

/// Kills a process at this moment; what it printed, where it ended before by itself.
fn kill_at(several: &Several, moment: Moment, mut command: Command) -> Option<Output> {
    let liar = &several.liar;
    let asked = AtomicUsize::new(0);
    liar.remember();
    liar.tell(move |_| {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        (number == moment.number()).then(|| moment.lie())
    });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let reached = || match moment {
        Moment::Before(_) => liar.lies() > 0,
        Moment::After(number) => liar.lies() > 0 && liar.memory().len() > number,
    };
    loop {
        if reached() {
            kill(&mut child);
            liar.repent();
            return None;
        }
        if child.try_wait().unwrap().is_some() {
            liar.repent();
            return Some(child.wait_with_output().unwrap());
        }
        assert!(begun.elapsed() < PATIENCE, "{moment:?}: {command:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn kill(child: &mut Child) {
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Kills `mc2 LINE` of a party at every moment, each time in what `prepare` makes, and has `then` look
/// at what is left. How often it was killed.
async fn sweep<T>(
    party: &str,
    prepare: impl AsyncFn() -> (Arc<Several>, T, Vec<String>),
    mut then: impl FnMut(&Several, Moment, T, &[&str]),
) {
    for moment in Moment::all() {
        let (several, prepared, line) = prepare().await;
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        if let Some(output) = kill_at(&several, moment, mc2(&several, party, &line)) {
            ended(&output, 0);
            assert!(moment.number() > 0, "{line:?} asks the host nothing");
            return;
        }
        then(&several, moment, prepared, &line);
    }
    panic!("more than {MOST} requests");
}

fn mc2(several: &Several, party: &str, line: &[&str]) -> Command {
    let mut all = line.to_vec();
    let at = all.iter().position(|one| *one == "--");
    all.insert(at.unwrap_or(all.len()), "--allow-simulated");
    several.place.command_of(party, "mc2", &all)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A session that both banks approved, with keys for so many runs.
fn approved(several: &Several, runs: &str) -> String {
    let session = several.session();
    let digest = several.policy.digest().to_string();
    for party in ["bank-a", "bank-b"] {
        let line = ["approve", &session, "--digest", &digest, "--runs", runs];
        several.told(party, 0, &line);
    }
    session
}

/// How many jobs a session had, by the host.
fn jobs(several: &Several, session: &str) -> usize {
    let session = session.parse().unwrap();
    let listed = several.stack.remote.jobs(&session);
    let listed = tokio::task::block_in_place(|| Handle::current().block_on(listed));
    listed.unwrap().len()
}

/// The same, of jobs that an enclave has just taken, perhaps: the host hears of one a moment later.
fn taken(several: &Several, session: &str) -> usize {
    for _ in 0..15 {
        let found = jobs(several, session);
        if found > 0 {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    0
}

/// For how many runs a party's ledger says it released keys.
fn released(several: &Several, party: &str) -> u64 {
    let mut runs = 0;
    let ledger = several.place.state(party).ledger();
    let read = ledger.entries(|recorded| {
        if let Entry::Release(release) = &recorded.entry {
            runs += u64::from(release.runs);
        }
        std::ops::ControlFlow::Continue(())
    });
    read.unwrap();
    runs
}

/// Follows the job of this number to its end, and opens what it left.
fn opens(several: &Several, session: &str, number: &str) {
    let line = ["watch", session, number, "--keep-sealed", "kept"];
    let watched = several.told("analyst", 0, &line);
    assert_eq!(watched["status"], "succeeded", "{watched}");
    let open = ["open", "kept", "--output", "out"];
    ended(&several.mc2("analyst", &open), 0);
    let result = several.place.at("out/result");
    assert_eq!(fs::read_to_string(result).unwrap(), "two\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_killed_anywhere_is_whole_when_it_is_typed_again() {
    let several = Arc::new(Several::new(ALL).await);
    several.upload("bank-a", "accounts", "one\n");
    fs::write(several.place.at("t.txt"), "two\n").unwrap();
    let host = several.host.clone();
    let upload = ["upload", "t.txt", "--name", "transactions", "--host", &host];
    let prepare = async || (Arc::clone(&several), (), words(&upload));
    sweep("bank-b", prepare, |several, _, (), again| {
        several.told("bank-b", 0, again);
    })
    .await;
    let session = approved(&several, "1");
    let number = several.submit(&session, 0)["number"].to_string();
    opens(&several, &session, &number);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_opener_was_killed_is_opened_anew_or_found_and_joined() {
    let several = Arc::new(Several::new(ALL).await);
    several.upload_all();
    let workload = component("hostile");
    let host = several.host.clone();
    let open = [
        "session",
        "open",
        "p.toml",
        "--host",
        &host,
        "--component",
        workload.to_str().unwrap(),
    ];
    let mut found = 0;
    let prepare = async || (Arc::clone(&several), (), words(&open));
    sweep("bank-a", prepare, |several, moment, (), again| {
        let listed = several.told("bank-a", 0, &["session", "list", "--host", &host]);
        let listed = listed["sessions"].as_array().unwrap();
        let unknown = listed.iter().filter(|session| session["known"] == false);
        for session in unknown {
            found += 1;
            let session = string(&session["session"]);
            several.told("bank-a", 0, &several.join(&session));
            assert!(moment.number() > 0, "{moment:?}");
        }
        let opened = several.told("bank-a", 0, again);
        let session = string(&opened["session"]);
        several.told("bank-b", 0, &several.join(&session));
    })
    .await;
    assert!(found > 0, "no session was opened and not heard of");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_killed_anywhere_is_given_when_it_is_typed_again_and_tells_of_runs_released() {
    let prepare = async || {
        let several = Several::new(ALL).await;
        several.upload_all();
        let session = several.open();
        let digest = several.policy.digest().to_string();
        let line = words(&["approve", &session, "--digest", &digest]);
        (Arc::new(several), session, line)
    };
    let mut in_vain = 0;
    sweep("bank-a", prepare, |several, moment, session, again| {
        let before = released(several, "bank-a");
        let output = mc2(several, "bank-a", again).output().unwrap();
        let told = ended(&output, 0);
        assert_eq!(released(several, "bank-a"), before + 1, "{moment:?}");
        // One whose answer nobody heard stays in the ledger, and is told before the next.
        let tells = told.contains("1 of 9 were released before");
        assert_eq!(tells, before == 1, "{moment:?}: {told}");
        in_vain += before;
        let status = several.told("bank-a", 0, &["session", "status", &session]);
        let approvals = status["approvals"].as_array().unwrap();
        let own = approvals.iter().find(|one| one["party"] == "bank-a");
        assert_eq!(own.unwrap()["approved"], true, "{moment:?}: {status}");
        let keys = status["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["dataset"] == "accounts");
        let held = key.unwrap()["runs"].as_u64().unwrap();
        assert!((1..=before + 1).contains(&held), "{moment:?}: {status}");
    })
    .await;
    assert!(in_vain > 0, "no run was released and not heard of");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_killed_anywhere_runs_once_and_says_so_when_it_is_typed_again() {
    let prepare = async || {
        let several = Several::new(ALL).await;
        several.upload_all();
        // For more runs than there are to be.
        let session = approved(&several, "3");
        let versions = several.versions();
        let line = words(&[
            "submit",
            &session,
            "run",
            "--in",
            &versions[0],
            "--in",
            &versions[1],
            "--now",
            "--",
            "transactions",
        ]);
        (Arc::new(several), session, line)
    };
    let mut unheard = 0;
    sweep("analyst", prepare, |several, moment, session, again| {
        let taken = taken(several, &session);
        let kept = several.place.state("analyst").submissions().unwrap();
        let output = mc2(several, "analyst", again).output().unwrap();
        if output.status.code() != Some(0) {
            // It may have been taken: another is not sent unasked, and it says how to go on.
            let told = ended(&output, 64);
            let job = kept[0].job.to_string();
            let go_on = format!("--again {job}");
            assert!(told.contains(&go_on), "{moment:?}: {told}");
            let line = ["submit", &session, "--again", &job];
            let output = mc2(several, "analyst", &line).output().unwrap();
            let told = text(&output.stderr) + &text(&output.stdout);
            let says = match output.status.code() {
                Some(0) => "number     1",
                _ => "as number 1",
            };
            assert!(told.contains(says), "{moment:?}: {told}");
        }
        unheard += taken;
        opens(several, &session, "1");
        assert_eq!(jobs(several, &session), 1, "{moment:?}");
    })
    .await;
    assert!(unheard > 0, "no job was taken and not heard of");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_killed_anywhere_and_an_opening_killed_at_any_time_go_on_when_typed_again() {
    let several = Arc::new(Several::new(ALL).await);
    several.upload_all();
    let session = approved(&several, "1");
    several.submit(&session, 0);
    let watch = ["watch", &session, "1", "--keep-sealed", "kept"];
    let prepare = async || (Arc::clone(&several), (), words(&watch));
    sweep("analyst", prepare, |several, _, (), again| {
        several.told("analyst", 0, again);
        fs::remove_dir_all(several.place.at("kept")).unwrap();
    })
    .await;
    for wait in [0, 1, 2, 4, 8, 16, 32, 64] {
        let out = format!("out-{wait}");
        let open = ["open", "kept", "--output", &out];
        let mut child = mc2(&several, "analyst", &open).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        kill(&mut child);
        let result = several.place.at(&out).join("result");
        if !result.exists() {
            ended(&mc2(&several, "analyst", &open).output().unwrap(), 0);
        }
        assert_eq!(fs::read_to_string(&result).unwrap(), "two\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_at_a_host_killed_anywhere_leaves_nothing_half_and_runs_when_it_is_typed_again() {
    let several = Several::new(ALL).await;
    let workload = component("hostile");
    let line = [
        workload.to_str().unwrap(),
        "--host",
        &several.host,
        "--allow-simulated",
        "--in",
        "data=data.txt",
        "--out",
        "copy=copy.txt",
        "--",
        "copy",
        "data",
        "copy",
    ];
    let run = || several.place.command_of("analyst", "mc2-run", &line);
    let copy = several.place.at("copy.txt");
    let data = fs::read(several.place.at("data.txt")).unwrap();
    let whole = |moment| {
        assert_eq!(fs::read(&copy).unwrap(), data, "{moment:?}");
        fs::remove_file(&copy).unwrap();
    };
    for moment in Moment::all() {
        let output = kill_at(&several, moment, run());
        if copy.exists() {
            whole(moment);
        }
        if let Some(output) = output {
            ended(&output, 0);
            assert!(moment.number() > 10, "{moment:?}");
            break;
        }
        ended(&run().output().unwrap(), 0);
        whole(moment);
    }
    several.place.assert_clean();
}

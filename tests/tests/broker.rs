//! An owner who is away: a broker releases the owner's keys, counts what it released, answers for
//! the start of jobs, keeps what a job leaves in its custody, and says no where it must.

use std::{
    fs,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use mc2_client::{
    session::{Running, Session},
    state::ledger::Entry,
};
use mc2_protocol::{
    Digest,
    documents::message::{JobPhase, Kind, SealedMessage},
};
use mc2_tests::{
    BrokerScene as Scene, Liar, Lie, StackOptions, Watch,
    broker::{GLANCE, PATIENCE, TEXT, Work},
    now, program, text,
};

#[tokio::test]
async fn jobs_run_over_the_data_of_an_owner_who_is_away_until_the_runs_are_spent() {
    let scene = Scene::new(3600).await;
    let session = scene.session().await;
    let serving = scene.serve();
    for salt in [1, 2] {
        let finished = scene.run(&session, salt).await;
        assert_eq!(finished.reason(), "succeeded");
        assert_eq!(finished.outputs["copy"], TEXT);
    }
    // Over all sessions: another gets nothing either.
    scene.until_refused("runs-spent").await;
    let other = scene.session().await;
    let begun = scene.refusals().len();
    let waited = Instant::now();
    while scene.refusals().len() == begun {
        assert!(
            waited.elapsed() < PATIENCE,
            "the second session was not refused"
        );
        tokio::time::sleep(GLANCE).await;
    }
    assert!(scene.held(&other).await.is_none());
    drop(serving);

    let entries = scene.entries();
    let starts = entries
        .iter()
        .filter(|entry| matches!(entry, Entry::Start(_)));
    assert_eq!((scene.released(), starts.count()), (2, 2));
    let log = scene.mc2(&["log", "--json"]);
    let log = String::from_utf8(log.stdout).unwrap();
    assert_eq!(log.lines().count(), entries.len());
    assert!(log.contains("runs-spent"), "{log}");
}

/// The host loses every release, or says so: it may have kept them.
#[tokio::test]
async fn a_host_that_drops_releases_costs_a_session_one_run_and_gets_it_no_other() {
    let liar = Liar::new();
    let drops: Watch = Arc::new(|asked, body, _| {
        let message = SealedMessage::parse(body);
        let release = message.is_ok_and(|message| message.kind == Kind::Release);
        !(asked.path.ends_with("/messages") && release)
    });
    liar.lie(Lie::Watch(drops), |_| true);
    let options = StackOptions {
        wrap_client: Some(liar.wrap()),
        ..StackOptions::default()
    };
    let scene = Scene::with(Work::Copy, 3600, options).await;
    let session = scene.session().await;
    let serving = scene.serve();
    scene.until_refused("unacknowledged").await;
    assert!(scene.held(&session).await.is_none());
    assert_eq!(scene.released(), 1);
    // Nor after another start, which knows of it by the ledger alone.
    drop(serving);
    liar.repent();
    let _serving = scene.serve();
    let other = scene.session().await;
    scene.until_released(&other).await;
    assert!(scene.held(&session).await.is_none());
    assert_eq!(scene.released(), 2);
}

/// Row 44.
#[tokio::test]
async fn a_policy_is_accepted_by_who_was_shown_it_or_states_its_digest() {
    let scene = Scene::new(3600).await;
    let digest = scene.policy.digest().to_string();
    assert!(scene.mc2(&["withdraw", &digest]).status.success());
    let file = scene.at("policy.toml");
    fs::write(&file, scene.policy.bytes()).unwrap();
    let file = file.to_str().unwrap();
    let accepted = || scene.broker.folder().accepted().unwrap().len();
    // Nobody is there to be asked, though what would be accepted is shown.
    let asked = scene.mc2(&["accept", file]);
    let stderr = text(&asked.stderr);
    assert_eq!(asked.status.code(), Some(64), "{stderr}");
    for shown in ["what         policy\n", &digest, "--policy-digest"] {
        assert!(stderr.contains(shown), "no {shown:?} in {stderr}");
    }
    let other = Digest::of(b"another").to_string();
    let refused = scene.mc2(&["accept", file, "--policy-digest", &other]);
    assert_eq!(refused.status.code(), Some(66));
    assert_eq!(accepted(), 0);
    let stated = scene.mc2(&["accept", file, "--policy-digest", &digest]);
    assert!(stated.status.success(), "{}", text(&stated.stderr));
    assert_eq!(accepted(), 1);
}

#[tokio::test]
async fn one_process_serves_a_broker_and_a_second_is_refused() {
    let scene = Scene::new(3600).await;
    let session = scene.session().await;
    let _serving = scene.serve();
    scene.until_released(&session).await;
    let mut second = scene.serve();
    let ended = second.0.wait().unwrap();
    assert_eq!(ended.code(), Some(79));
}

/// What was kept from the first visit is judged anew at each.
#[tokio::test]
async fn a_runtime_that_is_no_longer_trusted_gets_no_start_from_the_next_visit_on() {
    let scene = Scene::new(3600).await;
    let session = scene.session().await;
    let serving = scene.serve();
    let held = scene.until_released(&session).await;
    fs::remove_file(scene.broker.folder().state().trust_store()).unwrap();
    // What evidence it was shown is still fresh, and refused at its next visit.
    scene.until_refused("evidence-refused").await;
    let job = scene.job(held.object, 1);
    let running = session.submit(&scene.stack.me, &job).await;
    let running = running.expect("a job that waits for its start");
    // Another process visits it at once.
    drop(serving);
    let refused = scene.refusals().len();
    let _serving = scene.serve();
    let begun = Instant::now();
    while scene.refusals().len() == refused {
        assert!(begun.elapsed() < PATIENCE, "it was not refused again");
        tokio::time::sleep(GLANCE).await;
    }
    waits(&scene, &session, &running).await;
    running.cancel(&scene.stack.me).await.unwrap();
}

#[tokio::test]
async fn a_start_over_what_was_revoked_is_not_answered() {
    let scene = Scene::new(3600).await;
    let session = scene.session().await;
    let serving = scene.serve();
    let held = scene.until_released(&session).await;
    drop(serving);
    let mut revoke = std::process::Command::new(program("mc2"));
    revoke
        .args(["revoke", "--dataset", "data"])
        .env("MC2_HOME", scene.broker.folder().state().root());
    assert!(revoke.status().unwrap().success());
    let job = scene.job(held.object, 1);
    let running = session.submit(&scene.stack.me, &job).await;
    let running = running.expect("a job that waits for its start");
    let _serving = scene.serve();
    scene.until_refused("revoked").await;
    waits(&scene, &session, &running).await;
    running.cancel(&scene.stack.me).await.unwrap();
}

#[tokio::test]
async fn a_party_that_is_no_longer_known_stops_what_was_accepted_with_its_card() {
    let scene = Scene::new(3600).await;
    let session = scene.session().await;
    let mut remove = std::process::Command::new(program("mc2"));
    remove
        .args(["party", "remove", "owner"])
        .env("MC2_HOME", scene.broker.folder().state().root());
    assert!(remove.status().unwrap().success());
    let _serving = scene.serve();
    scene.until_refused("unknown-card").await;
    assert!(scene.held(&session).await.is_none());
    assert_eq!(scene.released(), 0);
}

/// Row 13: and its key goes to later jobs alone, as often as the policy says.
#[tokio::test]
async fn a_broker_keeps_what_a_job_left_in_its_custody_and_releases_it_so_often() {
    let scene = Scene::with(Work::Custody, 3600, StackOptions::default()).await;
    let session = scene.session().await;
    let serving = scene.serve();
    let (me, stack) = (&scene.stack.me, &scene.stack);
    scene.until_holds(&session, "data").await;
    let training = scene.training(1);
    let trained = stack.submit_job(&session, me, &training);
    let trained = trained.await.expect("a receipt");
    assert_eq!(trained.reason(), "succeeded");
    let object = trained.receipt.custody[0].object;
    assert_eq!(scene.until_released(&session).await.object, object);
    let finished = scene.run(&session, 2).await;
    assert_eq!(finished.outputs["copy"], TEXT);
    // In another session too, and no third time.
    let other = scene.session().await;
    let begun = Instant::now();
    while spent(&scene, "model") < 2 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", scene.refusals());
        tokio::time::sleep(GLANCE).await;
    }
    let holder = match scene.held(&other).await {
        Some(_) => &other,
        None => &session,
    };
    assert_eq!(scene.run(holder, 3).await.outputs["copy"], TEXT);
    scene.until_refused("runs-spent").await;
    assert_eq!(spent(&scene, "model"), 2);
    drop(serving);
    let status = scene.mc2(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["custody"][0]["object"], object.to_string());

    // It forgets it when told, whatever the host shows it, and takes it out of anybody's copy of the
    // receipt when told.
    let id = object.to_string();
    assert!(scene.mc2(&["remove", &id]).status.success());
    let serving = scene.serve();
    tokio::time::sleep(40 * GLANCE).await;
    drop(serving);
    let status = scene.mc2(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["custody"], serde_json::json!([]));
    let file = scene.at("receipt.json");
    fs::write(&file, serde_json::to_vec(&trained.envelope).unwrap()).unwrap();
    let passphrase = scene.at("passphrase");
    let line = [
        "add",
        "--receipt",
        file.to_str().unwrap(),
        "--passphrase-file",
        passphrase.to_str().unwrap(),
    ];
    let refused = scene.mc2(&line);
    assert_eq!(refused.status.code(), Some(75), "{}", text(&refused.stderr));
    let simulated = [line.as_slice(), &["--allow-simulated"]].concat();
    let added = scene.mc2(&simulated);
    assert!(added.status.success(), "{}", text(&added.stderr));
    assert!(text(&added.stdout).contains(&id), "{}", text(&added.stdout));
    let mut altered = trained.envelope.clone();
    altered.payload.0.push(b' ');
    fs::write(&file, serde_json::to_vec(&altered).unwrap()).unwrap();
    assert!(scene.mc2(&["remove", &id]).status.success());
    assert_eq!(scene.mc2(&simulated).status.code(), Some(75));
    let status = scene.mc2(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["custody"], serde_json::json!([]));
}

/// Runs of a dataset, or an output in custody, that stand in the ledger.
fn spent(scene: &Scene, name: &str) -> u32 {
    let runs = scene.entries().into_iter().map(|entry| match entry {
        Entry::Release(one) if one.dataset.as_str() == name => one.runs,
        _ => 0,
    });
    runs.sum()
}

#[tokio::test]
async fn a_policy_that_was_not_accepted_gets_nothing_and_that_is_written_down() {
    let scene = Scene::new(3600).await;
    let withdrawn = scene
        .broker
        .folder()
        .withdraw(scene.policy.digest(), SystemTime::now());
    withdrawn.unwrap();
    let session = scene.session().await;
    let _serving = scene.serve();
    scene.until_refused("policy-not-accepted").await;
    assert!(scene.held(&session).await.is_none());
    assert_eq!(scene.released(), 0);
}

/// Withdrawn while the broker is on its visit, after it looked whether the policy is accepted.
#[tokio::test]
async fn a_policy_that_is_withdrawn_during_a_visit_gets_nothing_of_it() {
    let liar = Liar::new();
    let withdraw: Arc<OnceLock<Box<dyn Fn() + Send + Sync>>> = Arc::default();
    let withdraws = Arc::clone(&withdraw);
    let watch: Watch = Arc::new(move |asked, body, _| {
        let message = SealedMessage::parse(body);
        let status = message.is_ok_and(|message| message.kind == Kind::Status);
        if asked.path.ends_with("/messages") && status {
            withdraws.get().iter().for_each(|withdraw| withdraw());
        }
        true
    });
    liar.lie(Lie::Watch(watch), |_| true);
    let options = StackOptions {
        wrap_client: Some(liar.wrap()),
        ..StackOptions::default()
    };
    let scene = Scene::with(Work::Copy, 3600, options).await;
    let session = scene.session().await;
    let accepted = format!("broker/accepted/{}.json", scene.policy.digest());
    let (accepted, aside) = (scene.at(&accepted), scene.at("aside"));
    let (from, to) = (accepted.clone(), aside.clone());
    let withdraw = withdraw.set(Box::new(move || {
        let _ = fs::rename(&from, &to);
    }));
    assert!(withdraw.is_ok());
    let serving = scene.serve();
    scene.until_refused("policy-not-accepted").await;
    assert_eq!(scene.released(), 0);
    drop(serving);
    // Else there was nothing in its way.
    liar.repent();
    fs::rename(&aside, &accepted).unwrap();
    let _serving = scene.serve();
    scene.until_released(&session).await;
    assert_eq!(scene.released(), 1);
}

#[tokio::test]
async fn evidence_that_does_not_pass_gets_nothing_and_that_is_written_down() {
    let scene = Scene::new(3600).await;
    let session = scene.session().await;
    // Its own trust store knows no such runtime: what the host or the policy says of it is nothing.
    fs::remove_file(scene.broker.folder().state().trust_store()).unwrap();
    let _serving = scene.serve();
    scene.until_refused("evidence-refused").await;
    assert!(scene.held(&session).await.is_none());
    assert_eq!(scene.released(), 0);
}

#[tokio::test]
async fn no_job_starts_and_no_key_leaves_once_the_policy_has_ended_by_the_broker_s_clock() {
    // Time enough to come to a job that waits, on a busy machine too.
    let scene = Scene::new(30).await;
    let session = scene.session().await;
    let serving = scene.serve();
    let held = scene.until_released(&session).await;
    drop(serving);
    let running = session
        .submit(&scene.stack.me, &scene.job(held.object, 1))
        .await;
    let running = running.expect("a job that waits for its start");
    while !scene.policy.is_expired(now()) {
        tokio::time::sleep(GLANCE).await;
    }
    let _serving = scene.serve();
    scene.until_refused("policy-expired").await;
    waits(&scene, &session, &running).await;
    let starts = scene.entries();
    assert!(!starts.iter().any(|entry| matches!(entry, Entry::Start(_))));
    running.cancel(&scene.stack.me).await.unwrap();
}

async fn waits(scene: &Scene, session: &Session<'_>, running: &Running<'_, '_>) {
    let status = session
        .status(&scene.stack.me)
        .await
        .expect("what the test needs");
    let job = status.jobs.iter().find(|job| job.number == running.number);
    let state = &job.expect("a job that has not ended").state;
    assert!(matches!(state, JobPhase::Waiting { .. }), "{state:?}");
}

#[tokio::test]
async fn a_newer_version_is_released_to_the_next_session_and_never_an_older_one() {
    let scene = Scene::new(3600).await;
    let first = scene.session().await;
    let _serving = scene.serve();
    assert_eq!(scene.until_released(&first).await.object, scene.object);
    let newer = scene.version(2, b"four\n").await;
    let job = scene.job(scene.object, 1);
    let finished = scene.stack.submit_job(&first, &scene.stack.me, &job).await;
    assert_eq!(finished.expect("a receipt").outputs["copy"], TEXT);
    // The session has the older one, and gets no more of it.
    scene.until_refused("older-version").await;
    let second = scene.session().await;
    assert_eq!(scene.until_released(&second).await.object, newer);
    let finished = scene.run(&second, 2).await;
    assert_eq!(finished.outputs["copy"], b"four\n");
}

#[tokio::test]
async fn a_broker_killed_at_any_moment_never_released_what_its_ledger_has_not() {
    let scene = Arc::new(Scene::new(3600).await);
    let session = scene.session().await;
    // From before it has read its folder to after it has released.
    for milliseconds in [0, 20, 50, 100, 150, 200, 300, 400, 600, 800] {
        let serving = scene.serve();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        drop(serving);
        let left = scene
            .held(&session)
            .await
            .map_or(0, |held| u64::from(held.runs));
        let released = scene.released();
        assert!(
            left <= released,
            "{left} runs left, {released} are in the ledger"
        );
        assert!(released <= 2, "{released} of 2 runs");
    }
    // A release that was recorded and did not leave is spent: that session gets no other.
    let session = match scene.held(&session).await {
        Some(_) => session,
        None => scene.session().await,
    };
    let serving = scene.serve();
    let held = scene.until_released(&session).await;
    let running = session
        .submit(&scene.stack.me, &scene.job(held.object, 1))
        .await;
    let running = running.expect("a job");
    drop(serving);
    // While the job waits for its start, or runs.
    for milliseconds in [50, 150, 300] {
        let serving = scene.serve();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        drop(serving);
        scene.ledger().verify().expect("a chain that holds");
    }
    let _serving = scene.serve();
    let finished = scene
        .stack
        .finish(&session, &scene.stack.me, &running)
        .await;
    assert_eq!(finished.expect("a receipt").reason(), "succeeded");
    assert!(
        scene
            .entries()
            .iter()
            .any(|entry| matches!(entry, Entry::Start(_)))
    );
    assert!(scene.released() <= 2);
}

#[tokio::test]
async fn after_another_boot_nothing_leaves_until_the_head_that_was_noted_is_stated() {
    let scene = Scene::new(3600).await;
    let session = scene.session().await;
    let noted = scene.ledger().head().unwrap();
    // As another boot finds it: the mark is of the last one.
    let marks: Vec<_> = fs::read_dir(scene.at("run/mc2/brokers")).unwrap().collect();
    let mark = marks[0].as_ref().unwrap().path();
    let name = mark.file_name().unwrap().to_str().unwrap();
    let other = name.replacen('-', "0", 1);
    fs::rename(&mark, mark.with_file_name(other)).unwrap();

    let status = scene.mc2(&["status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("resume --head"));
    let mut serving = scene.serve();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(scene.held(&session).await.is_none());
    assert_eq!(scene.released(), 0);
    assert!(serving.0.try_wait().unwrap().is_none(), "it waits");

    let wrong = scene.mc2(&["resume", "--head", &Digest::of(b"another").to_string()]);
    assert!(!wrong.status.success());
    assert!(
        text(&wrong.stderr).contains("the ledger's head is"),
        "{}",
        text(&wrong.stderr)
    );
    assert_eq!(scene.released(), 0);
    let right = scene.mc2(&["resume", "--head", &noted.last.to_string()]);
    assert!(right.status.success(), "{}", text(&right.stderr));
    // The one that serves goes on by itself.
    scene.until_released(&session).await;
}

#[tokio::test]
async fn a_ledger_that_was_rolled_back_releases_nothing_until_its_head_is_stated() {
    let scene = Scene::new(3600).await;
    let session = scene.session().await;
    let files = ["broker/ledger.jsonl", "broker/ledger.jsonl.head"];
    let old = files.map(|file| fs::read(scene.at(file)).unwrap());
    let old_head = scene.ledger().head().unwrap();
    let serving = scene.serve();
    scene.until_released(&session).await;
    drop(serving);
    let noted = scene.ledger().head().unwrap();
    for (file, bytes) in files.iter().zip(&old) {
        fs::write(scene.at(file), bytes).unwrap();
    }
    let other = scene.session().await;
    let mut serving = scene.serve();
    let begun = Instant::now();
    let ended = loop {
        match serving.0.try_wait().unwrap() {
            Some(ended) => break ended,
            None => assert!(begun.elapsed() < PATIENCE, "it serves"),
        }
        tokio::time::sleep(GLANCE).await;
    };
    assert_eq!(ended.code(), Some(78), "the state folder is broken");
    assert!(scene.held(&other).await.is_none());
    // What was noted before the roll back shows that it was one.
    let refused = scene.mc2(&["resume", "--head", &noted.last.to_string()]);
    assert!(
        text(&refused.stderr).contains("rolled back or replaced"),
        "{}",
        text(&refused.stderr)
    );
    // So does the mark, and so the head that the ledger has is not enough.
    let head = old_head.last.to_string();
    let refused = scene.mc2(&["resume", "--head", &head]);
    assert_eq!(refused.status.code(), Some(78));
    let stderr = text(&refused.stderr);
    assert!(
        stderr.contains(&noted.last.to_string()) && stderr.contains("--although-rolled-back"),
        "{stderr}"
    );
    let accepted = scene.mc2(&["resume", "--head", &head, "--although-rolled-back"]);
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    let _serving = scene.serve();
    scene.until_released(&other).await;
}

use std::fs;

use super::{recorded::UNKNOWN_JOB, *};
use mc2_protocol::{
    documents::storage::{MAX_EVENT_LEN, MAX_RECEIPT_LEN},
    encoding::Base64,
};

use crate::{clock::now, config::Storage, store::blobs::Blob};

fn open_as(folder: &Path, may_return: bool) -> Jobs {
    open_with(folder, None, may_return)
}

fn open_with(folder: &Path, storage: Option<&Storage>, may_return: bool) -> Jobs {
    let records = Arc::new(Records::open(&folder.join("records"), true).unwrap());
    let blobs = Blobs::open(folder, storage).unwrap();
    let kept = Keeping::open(Arc::clone(&records), Default::default(), None).unwrap();
    Jobs::open(folder, blobs, kept, records, may_return).unwrap()
}

fn open(folder: &Path) -> Jobs {
    open_as(folder, false)
}

async fn begin(jobs: &Jobs, session: Digest) {
    let opened = Opened {
        policy: "policy".into(),
        record: "record".into(),
        opener: OPENER,
    };
    jobs.begin_session(session, OWNER, opened).await.unwrap();
}

/// No runtime serves any session.
const NOBODY: fn(&Digest) -> bool = |_| false;

const OPENER: Digest = Digest::from_bytes([3; 32]);

const OWNER: Owner = Owner {
    runtime: Hex([1; 16]),
    tenant: Digest::from_bytes([0; 32]),
};

/// An event with so many sealed bytes.
fn event(bytes: usize) -> SealedEvent {
    let card = Digest::of(b"card");
    let text = format!(
        r#"{{"card":"{card}","sealed":{{"encapsulated_key":"","ciphertext":{}}}}}"#,
        serde_json::to_string(&Base64::from(vec![7; bytes])).unwrap()
    );
    serde_json::from_str(&text).unwrap()
}

fn state(jobs: &Jobs, session: &Digest, number: u64) -> JobState {
    lock(&jobs.0.find(session, number).unwrap().record).state
}

#[tokio::test]
async fn a_job_that_was_running_when_the_host_ended_is_lost_and_others_stay_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    for number in 1..=3 {
        jobs.announce(session, number).await.unwrap();
    }
    jobs.end(session, 1, true, "receipt 1".into())
        .await
        .unwrap();
    let large = Bytes::from(vec![b'2'; receipts::MAX_RECORD + 1]);
    jobs.end(session, 2, false, large.clone()).await.unwrap();
    drop(jobs);

    let jobs = open(folder.path());
    assert_eq!(
        [1, 2, 3].map(|number| state(&jobs, &session, number)),
        [JobState::Done, JobState::Failed, JobState::Lost]
    );
    assert_eq!(
        fs::read(folder.path().join(format!("receipts/{session}/2.failed"))).unwrap(),
        large
    );
    let stored = jobs.receipt(session, 1).await;
    assert!(matches!(stored, Ok(Receipt::Stored(Blob::Bytes(bytes))) if bytes == "receipt 1"));
    let stored = jobs.receipt(session, 2).await;
    assert!(matches!(stored, Ok(Receipt::Stored(Blob::File(_)))));
    assert_eq!(jobs.receipt(session, 3).await.err().unwrap().code, "lost");
    drop(jobs);
    let jobs = open(folder.path());
    assert_eq!(state(&jobs, &session, 3), JobState::Lost);
    // Its runtime had not gone after all.
    jobs.end(session, 3, true, "late".into()).await.unwrap();
    drop(jobs);
    assert_eq!(state(&open(folder.path()), &session, 3), JobState::Done);
}

#[tokio::test]
async fn a_runtime_may_return_with_all_its_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let [busy, idle] = [b"busy", b"idle"].map(|name| Digest::of(name));
    let jobs = open(folder.path());
    for session in [busy, idle] {
        begin(&jobs, session).await;
    }
    jobs.announce(busy, 1).await.unwrap();
    drop(jobs);
    let jobs = open_as(folder.path(), true);
    assert_eq!(state(&jobs, &busy, 1), JobState::Running);
    let mut found = jobs.sessions_of(OWNER.runtime);
    found.sort();
    let mut expected = vec![(busy, OWNER.tenant), (idle, OWNER.tenant)];
    expected.sort();
    assert_eq!(found, expected);
    jobs.lose(&busy);
    jobs.lose(&idle);
    assert_eq!(state(&jobs, &busy, 1), JobState::Lost);
    assert!(jobs.open_sessions().is_empty());
    jobs.find_again(&idle);
    drop(jobs);
    // Who is over is known to the next host, too, and who came back.
    let jobs = open_as(folder.path(), true);
    assert_eq!(jobs.open_sessions(), [idle]);
    // Its runtime comes back with the receipt.
    jobs.find_again(&busy);
    jobs.end(busy, 1, true, "late".into()).await.unwrap();
    assert_eq!(state(&jobs, &busy, 1), JobState::Done);
}

#[tokio::test]
async fn a_job_of_a_session_that_is_over_is_lost_however_late_it_comes_and_whoever_ended_between() {
    for may_return in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let session = Digest::of(b"session");
        let jobs = open(folder.path());
        begin(&jobs, session).await;
        jobs.announce(session, 1).await.unwrap();
        // A host that ends between the two records.
        let over = sessions::Over {
            since: now(),
            ended: false,
        };
        let record = recorded::over_record(&session, over);
        jobs.0.records.write(vec![record]).unwrap();
        drop(jobs);
        let jobs = open_as(folder.path(), may_return);
        assert_eq!(state(&jobs, &session, 1), JobState::Lost, "{may_return}");
        // One whose announcement was under way.
        jobs.announce(session, 2).await.unwrap();
        assert_eq!(state(&jobs, &session, 2), JobState::Lost, "{may_return}");
        assert!(!jobs.any_running(&session));
    }
}

#[tokio::test]
async fn a_lost_job_is_known_although_its_loss_could_not_be_recorded_at_first() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    jobs.announce(session, 1).await.unwrap();
    jobs.0.records.fill_disk(true);
    jobs.lose(&session);
    jobs.lose_what_is_left();
    let lost = vec![(1, JobState::Lost)];
    assert_eq!(jobs.list(session, 0, 9).await.unwrap(), lost);
    assert_eq!(jobs.receipt(session, 1).await.err().unwrap().code, "lost");
    assert!(is_empty(&jobs, Table::Ended));
    jobs.0.records.fill_disk(false);
    jobs.lose_what_is_left();
    assert!(!jobs.any_unended(&session));
    assert_eq!(jobs.list(session, 0, 9).await.unwrap(), lost);
    drop(jobs);
    let jobs = open(folder.path());
    assert_eq!(jobs.list(session, 0, 9).await.unwrap(), lost);
}

#[tokio::test]
async fn a_host_that_has_a_bucket_now_finds_the_small_receipts_of_before() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    let receipt = Bytes::from_static(b"receipt");
    jobs.end(session, 1, true, receipt.clone()).await.unwrap();
    drop(jobs);
    // Nobody is there: a record needs no bucket.
    let options = [
        ("aws_region", "none"),
        ("aws_endpoint", "http://127.0.0.1:1"),
    ];
    let storage = Storage {
        url: "s3://bucket/prefix".to_owned(),
        options: options
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    let jobs = open_with(folder.path(), Some(&storage), false);
    let found = jobs.receipt(session, 1).await;
    assert!(matches!(found, Ok(Receipt::Stored(Blob::Bytes(bytes))) if bytes == receipt));
}

#[tokio::test]
async fn a_small_receipt_is_a_file_while_the_records_database_is_behind() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    let receipt = Bytes::from_static(b"receipt");
    let records = Arc::clone(&jobs.0.records);
    {
        let _stalled = records.stall();
        let large = Bytes::from(vec![7; 16 * 1024 * 1024]);
        while records.room(Duration::ZERO) {
            let large = Change::put(Table::Small, "large", large.clone());
            records.write(vec![large]).unwrap();
        }
        let ended = jobs.0.end(&session, 1, JobState::Done, &receipt);
        ended.unwrap();
    }
    records.settle().unwrap();
    jobs.end(session, 2, true, receipt.clone()).await.unwrap();
    let file = |number| {
        folder
            .path()
            .join(format!("receipts/{session}/{number}.done"))
    };
    assert_eq!(fs::read(file(1)).unwrap(), receipt);
    assert!(!file(2).exists());
    for number in [1, 2] {
        assert_eq!(state(&jobs, &session, number), JobState::Done);
        let found = jobs.0.receipts.read(&session, number, JobState::Done);
        assert_eq!(found.unwrap().unwrap(), receipt);
    }
}

#[tokio::test]
async fn who_asks_for_a_job_before_it_is_announced_waits_for_it_or_for_the_end_of_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let (session, short) = (Digest::of(b"session"), Duration::from_millis(20));
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    let asking = |number, wait| {
        let jobs = jobs.clone();
        tokio::spawn(async move { jobs.status(session, number, 0, wait).await })
    };
    let refused = asking(1, short).await.unwrap();
    assert_eq!(refused.unwrap_err().code, UNKNOWN_JOB);
    let long = Duration::from_secs(100);
    let (ended, never) = (asking(1, long), asking(2, long));
    tokio::time::sleep(short).await;
    jobs.announce(session, 1).await.unwrap();
    jobs.end(session, 1, true, "receipt".into()).await.unwrap();
    assert_eq!(ended.await.unwrap().unwrap().state, JobState::Done);
    assert!(!never.is_finished());
    jobs.lose(&session);
    assert_eq!(never.await.unwrap().unwrap_err().code, "session-over");
}

#[tokio::test]
async fn a_runtime_tells_of_so_many_jobs_that_have_not_ended_and_of_more_once_one_has() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    for number in 1..=1024 {
        jobs.announce(session, number).await.unwrap();
    }
    let refused = jobs.announce(session, 1025).await.err().unwrap();
    assert_eq!(refused.code, "busy");
    // One that is known is told of as often as its runtime likes.
    jobs.announce(session, 1024).await.unwrap();
    jobs.end(session, 7, true, "receipt".into()).await.unwrap();
    jobs.announce(session, 1025).await.unwrap();
}

#[tokio::test]
async fn a_receipt_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    jobs.end(session, 1, true, "one".into()).await.unwrap();
    jobs.end(session, 1, true, "one".into()).await.unwrap();
    assert!(jobs.end(session, 1, true, "two".into()).await.is_err());
    assert!(jobs.end(session, 1, false, "one".into()).await.is_err());
    assert!(jobs.announce(session, 1).await.is_err());
}

#[tokio::test]
async fn a_receipt_comes_with_its_job_s_status_where_it_is_one_and_not_large() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    let sealed = |bytes: usize| {
        let empty = br#"{"version":1,"readers":[],"ciphertext":""}"#.len();
        // Base64 comes in fours.
        let text = "A".repeat((bytes - empty) / 4 * 4);
        Bytes::from(format!(
            r#"{{"version":1,"readers":[],"ciphertext":"{text}"}}"#
        ))
    };
    for (number, receipt, comes) in [
        (1, sealed(1000), true),
        (2, sealed(MAX_RECEIPT_LEN), true),
        (3, sealed(MAX_RECEIPT_LEN + 4), false),
        (4, Bytes::from_static(b"none"), false),
    ] {
        jobs.announce(session, number).await.unwrap();
        let status = |wait| jobs.status_with_receipt(session, number, 0, wait);
        // Who waits for the job's end, and who comes later.
        let end = async {
            tokio::task::yield_now().await;
            jobs.end(session, number, true, receipt.clone()).await
        };
        let (waited, ended) = tokio::join!(status(Duration::from_secs(100)), end);
        ended.unwrap();
        for (status, found) in [waited.unwrap(), status(Duration::ZERO).await.unwrap()] {
            assert_eq!(status.state, JobState::Done);
            assert!(found == comes.then(|| receipt.clone()), "{number}");
        }
        let stored = jobs.receipt(session, number).await;
        assert!(matches!(stored, Ok(Receipt::Stored(_))));
    }
}

#[tokio::test]
async fn a_session_without_jobs_and_a_stranger_leave_no_trace_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    assert!(jobs.knows(&session));
    assert!(jobs.announce(session, 0).await.is_err());
    assert!(jobs.announce(session, u64::MAX).await.is_err());
    assert_eq!(
        jobs.announce(Digest::of(b"other"), 1)
            .await
            .unwrap_err()
            .code,
        "unknown-session"
    );
    drop(jobs);
    let jobs = open(folder.path());
    assert!(jobs.knows(&session));
    assert_eq!(
        jobs.prune_sessions(LATER, true, &NOBODY, &|| false)
            .unwrap(),
        1
    );
    assert!(!jobs.knows(&session) && jobs.session(session).await.is_err());
    for table in [
        Table::Sessions,
        Table::Policies,
        Table::Over,
        Table::Running,
        Table::Ended,
    ] {
        assert!(is_empty(&jobs, table), "{table:?}");
    }
    for folder in ["events", "receipts"].map(|name| folder.path().join(name)) {
        let left = fs::read_dir(folder).into_iter().flatten();
        assert_eq!(left.count(), 0);
    }
}

fn is_empty(jobs: &Jobs, table: Table) -> bool {
    jobs.0.records.range(table, &[], &[], 1).unwrap().is_empty()
}

/// After everything that is done in these tests.
const LATER: u64 = u64::MAX;

const CLINICS: &[u8] = include_bytes!("../../../../policies/two-clinics.toml");
const ONE_PARTY: &[u8] = include_bytes!("../../../../policies/one-party.toml");

fn card(policy: &[u8], index: usize) -> Digest {
    let policy = mc2_protocol::policy::Policy::parse(policy).unwrap();
    *policy.parties()[index].digest()
}

#[tokio::test]
async fn a_party_finds_its_sessions_and_no_others_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = open_as(folder.path(), true);
    let (clinics, analyst) = ([0, 1].map(|at| card(CLINICS, at)), card(ONE_PARTY, 0));
    let sessions: Vec<Digest> = (0..4_u8).map(|number| Digest::of(&[number])).collect();
    for (session, policy) in sessions
        .iter()
        .zip([CLINICS, ONE_PARTY, CLINICS, ONE_PARTY])
    {
        let owner = Owner {
            tenant: Digest::of(policy),
            ..OWNER
        };
        let opened = Opened {
            policy: policy.into(),
            record: session.to_string().into(),
            opener: OPENER,
        };
        jobs.begin_session(*session, owner, opened).await.unwrap();
    }
    jobs.announce(sessions[2], 7).await.unwrap();
    for _ in 0..2 {
        let found = |card: Option<&Digest>, after, most| -> Vec<Digest> {
            let found = jobs.sessions(card, after, most);
            found.iter().map(|entry| entry.session).collect()
        };
        for clinic in &clinics {
            assert_eq!(found(Some(clinic), 0, 9), [sessions[0], sessions[2]]);
            assert_eq!(found(Some(clinic), 1, 9), [sessions[2]]);
        }
        assert_eq!(found(Some(&analyst), 0, 1), [sessions[1]]);
        assert_eq!(found(Some(&Digest::of(b"nobody")), 0, 9), []);
        assert_eq!(found(None, 1, 2), sessions[1..3]);
        assert_eq!(found(None, u64::MAX, 2), []);
        let kept = jobs.session(sessions[2]).await.unwrap();
        assert_eq!(kept.policy, CLINICS);
        assert_eq!(kept.entry.policy, Digest::of(CLINICS));
        assert!(
            CLINICS
                .windows(kept.entry.name.len())
                .any(|part| part == kept.entry.name.as_bytes())
        );
        assert_eq!(kept.record, sessions[2].to_string());
        assert!(kept.entry.number == 3 && kept.entry.opened > 1_700_000_000);
        assert!(!kept.entry.over && jobs.names(&sessions[2], &clinics[1]));
        assert!(!jobs.names(&sessions[1], &clinics[1]));
        let listed = jobs.list(sessions[2], 0, 9).await.unwrap();
        assert_eq!(listed, [(7, JobState::Running)]);
        drop(jobs);
        jobs = open_as(folder.path(), true);
    }
    drop(jobs);
    let jobs = open(folder.path());
    let all = jobs.sessions(None, 0, 9);
    assert!(all.len() == 4 && all.iter().all(|entry| entry.over));
    // Only what ran in a session is worth telling for long once its runtime is gone.
    assert_eq!(
        jobs.prune_sessions(LATER, true, &NOBODY, &|| false)
            .unwrap(),
        3
    );
    let left = jobs.sessions(None, 0, 9);
    assert_eq!((left.len(), left[0].session), (1, sessions[2]));
    assert_eq!(jobs.session(sessions[2]).await.unwrap().policy, CLINICS);
    assert_eq!(jobs.sessions(Some(&analyst), 0, 9).len(), 0);
    assert_eq!(
        jobs.list(sessions[2], 0, 9).await.unwrap(),
        [(7, JobState::Lost)]
    );
}

#[tokio::test]
async fn jobs_are_listed_in_order_whether_they_ended_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    for number in 1..=300 {
        jobs.announce(session, number).await.unwrap();
        if number % 3 > 0 {
            let receipt = number.to_string().into();
            jobs.end(session, number, number % 3 == 1, receipt)
                .await
                .unwrap();
        }
    }
    let states = [JobState::Running, JobState::Done, JobState::Failed];
    let expected = |number: u64| (number, states[(number % 3) as usize]);
    let listed = jobs.list(session, 250, 20).await.unwrap();
    assert_eq!(listed, (251..271).map(expected).collect::<Vec<_>>());
    assert_eq!(jobs.list(session, 0, 999).await.unwrap().len(), 300);
    let unknown = jobs.list(Digest::of(b"other"), 0, 1).await.unwrap_err();
    assert_eq!(unknown.code, "unknown-session");
}

#[tokio::test]
async fn a_receipt_that_no_record_tells_of_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    for number in 1..=2 {
        jobs.announce(session, number).await.unwrap();
    }
    // As a kill leaves it between the receipt and its record.
    let receipt = folder.path().join(format!("receipts/{session}/1.failed"));
    fs::create_dir_all(receipt.parent().unwrap()).unwrap();
    fs::write(receipt, b"receipt").unwrap();
    drop(jobs);
    let jobs = open(folder.path());
    assert_eq!(state(&jobs, &session, 1), JobState::Failed);
    assert_eq!(state(&jobs, &session, 2), JobState::Lost);
    let stored = jobs.receipt(session, 1).await;
    assert!(matches!(stored, Ok(Receipt::Stored(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_while_it_is_announced_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    for number in 1..=300 {
        let (one, other) = (jobs.clone(), jobs.clone());
        let late = tokio::spawn(async move { one.announce(session, number).await });
        let ended =
            tokio::spawn(async move { other.end(session, number, true, "receipt".into()).await });
        // Announced first, or refused as ended.
        let _ = late.await.unwrap();
        ended.await.unwrap().unwrap();
        assert_eq!(state(&jobs, &session, number), JobState::Done);
        assert!(!jobs.any_running(&session));
    }
}

#[tokio::test]
async fn a_session_is_not_handed_to_another_runtime_that_answers_with_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    begin(&jobs, session).await;
    let thief = Owner {
        runtime: Hex([2; 16]),
        ..OWNER
    };
    let opened = Opened {
        policy: "policy".into(),
        record: "record".into(),
        opener: OPENER,
    };
    assert!(jobs.begin_session(session, thief, opened).await.is_err());
}

#[tokio::test]
async fn a_number_that_a_session_had_is_given_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = open(folder.path());
    for number in 1..=3 {
        let session = Digest::of(&[number]);
        begin(&jobs, session).await;
        let listed = jobs.sessions(None, 0, 9);
        assert_eq!(listed[0].number, u64::from(number));
        jobs.lose(&session);
        assert_eq!(
            jobs.prune_sessions(LATER, true, &NOBODY, &|| false)
                .unwrap(),
            1
        );
        drop(jobs);
        jobs = open(folder.path());
    }
}

#[tokio::test]
async fn a_session_goes_when_it_is_over_for_long_enough_and_no_receipt_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path());
    let [running, open_one, done, empty] = [1, 2, 3, 4].map(|name| Digest::of(&[name]));
    for session in [running, open_one, done, empty] {
        begin(&jobs, session).await;
    }
    jobs.announce(running, 1).await.unwrap();
    jobs.end(done, 1, true, "receipt".into()).await.unwrap();
    for session in [done, empty] {
        jobs.lose(&session);
    }
    let known = || [running, open_one, done, empty].map(|session| jobs.knows(&session));
    // Not over for so long.
    let before = now() - 60;
    assert_eq!(
        jobs.prune_sessions(before, false, &NOBODY, &|| false)
            .unwrap(),
        0
    );
    // A receipt that is to be kept keeps its session.
    assert_eq!(
        jobs.prune_sessions(LATER, true, &NOBODY, &|| false)
            .unwrap(),
        1
    );
    assert_eq!(known(), [true, true, true, false]);
    let receipt = jobs.receipt(done, 1).await;
    assert!(matches!(receipt, Ok(Receipt::Stored(_))));
    // Without a time of its own it goes with its session.
    assert_eq!(
        jobs.prune_sessions(LATER, false, &NOBODY, &|| false)
            .unwrap(),
        1
    );
    assert_eq!(known(), [true, true, false, false]);
    assert!(is_empty(&jobs, Table::Receipts));
    assert!(jobs.session(open_one).await.is_ok());
}

#[tokio::test]
async fn a_receipt_is_kept_for_its_whole_time_and_then_goes_with_its_job() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    for number in 1..=4 {
        jobs.announce(session, number).await.unwrap();
    }
    jobs.event(session, 1, &event(10)).await.unwrap();
    let events = folder.path().join(format!("events/{session}/1"));
    assert!(events.exists());
    jobs.end(session, 1, true, "one".into()).await.unwrap();
    let large = Bytes::from(vec![b'2'; receipts::MAX_RECORD + 1]);
    jobs.end(session, 2, false, large).await.unwrap();
    let job = jobs.0.find(&session, 3).unwrap();
    let began = now();
    // Nobody fetched any; they ended just now.
    assert_eq!(jobs.prune_jobs(began, &|| false).unwrap(), 0);
    let receipt = jobs.receipt(session, 2).await;
    assert!(matches!(receipt, Ok(Receipt::Stored(_))));
    assert_eq!(jobs.prune_jobs(LATER, &|| false).unwrap(), 2);
    for number in 1..=2 {
        let gone = jobs.receipt(session, number).await.err().unwrap();
        assert_eq!(gone.code, UNKNOWN_JOB);
    }
    let left = fs::read_dir(folder.path().join(format!("receipts/{session}"))).unwrap();
    assert_eq!(left.count(), 0);
    assert!(is_empty(&jobs, Table::Receipts) && !events.exists());
    // What runs goes on.
    assert_eq!(state(&jobs, &session, 3), JobState::Running);
    drop(job);
    // A receipt that comes after all is young, however long its job was lost.
    jobs.lose(&session);
    jobs.end(session, 3, true, "late".into()).await.unwrap();
    assert_eq!(jobs.prune_jobs(began, &|| false).unwrap(), 0);
    let receipt = jobs.receipt(session, 3).await;
    assert!(matches!(receipt, Ok(Receipt::Stored(_))));
    assert_eq!(state(&jobs, &session, 4), JobState::Lost);
}

#[tokio::test]
async fn so_many_sessions_are_kept_and_so_many_of_one_card_are_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = open_as(folder.path(), true);
    let quota = Quota {
        sessions: 4,
        sessions_of_card: Some(2),
        ..Quota::default()
    };
    let other = Digest::of(b"other");
    let refused = |jobs: &Jobs, opener| jobs.reserve(opener, true, &quota).err().map(|it| it.code);
    let [one, two] = [b"one", b"two"].map(|name| Digest::of(name));
    for session in [one, two] {
        let place = jobs.reserve(OPENER, true, &quota).unwrap();
        begin(&jobs, session).await;
        drop(place);
    }
    for _ in 0..2 {
        assert_eq!(refused(&jobs, OPENER), Some("quota"));
        assert_eq!(refused(&jobs, other), None);
        drop(jobs);
        // Counted anew after a start.
        jobs = open_as(folder.path(), true);
    }
    jobs.lose(&one);
    let place = jobs.reserve(OPENER, true, &quota).unwrap();
    assert_eq!(refused(&jobs, OPENER), Some("quota"));
    let last = jobs.reserve(other, true, &quota).unwrap();
    // One is over, one open, two are being opened.
    assert_eq!(refused(&jobs, other), Some("quota"));
    drop((place, last));
    jobs.find_again(&one);
    assert_eq!(refused(&jobs, OPENER), Some("quota"));
    assert_eq!(refused(&jobs, other), None);
    // Who only says to be a card takes nothing of its room, nor of anybody's.
    jobs.lose(&one);
    let stranger = || jobs.reserve(OPENER, false, &quota).unwrap();
    let strangers: Vec<_> = std::iter::repeat_with(stranger).take(9).collect();
    assert!(strangers.iter().all(Option::is_none));
    assert_eq!(refused(&jobs, OPENER), None);
}

#[tokio::test]
async fn events_are_read_from_where_a_client_is_and_no_more_than_an_answer_has() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    for size in std::iter::repeat_n([10, 45_000, 30], 50).flatten() {
        jobs.event(session, 1, &event(size)).await.unwrap();
    }
    // What a kill left of one, and of one that is longer than any.
    let path = folder.path().join(format!("events/{session}/1"));
    let told = async |jobs: &Jobs, after| {
        let status = jobs.status(session, 1, after, Duration::ZERO).await;
        let status = status.unwrap();
        let sizes = status.events.iter();
        let sizes: Vec<usize> = sizes
            .map(|event| event.sealed.ciphertext.as_slice().len())
            .collect();
        (status.next, sizes)
    };
    const PLACES: [u64; 7] = [0, 1, 5, 148, 149, 150, 999];
    let mut running = Vec::new();
    for after in PLACES {
        running.push(told(&jobs, after).await);
    }
    assert_eq!(running[0].0, 150);
    assert_eq!(running[4], (150, vec![30]));
    assert_eq!(running[6], (150, vec![]));
    jobs.end(session, 1, true, "receipt".into()).await.unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(vec![b'x'; MAX_EVENT_LEN + 9]);
    bytes.extend(b"\n{\"half");
    fs::write(&path, bytes).unwrap();
    for (after, expected) in PLACES.into_iter().zip(running) {
        assert_eq!(told(&jobs, after).await, expected, "after {after}");
    }
}

#[tokio::test]
async fn so_many_bytes_of_a_job_s_events_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    let large = event(45_000);
    let mut taken: u64 = 0;
    let refused = loop {
        match jobs.event(session, 1, &large).await {
            Ok(()) => taken += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refused.code, "events");
    let length = fs::metadata(folder.path().join(format!("events/{session}/1")));
    let length = length.unwrap().len();
    assert!(length <= 64 << 20 && length + length / taken > 64 << 20);
    // An answer has 4 MiB of them.
    let status = jobs.status(session, 1, 0, Duration::ZERO).await.unwrap();
    let answered = status.next * (length / taken);
    assert!(answered <= 4 << 20 && answered + length / taken > 4 << 20);
    // The job goes on without, and is told of alike when it has ended.
    jobs.end(session, 1, true, "receipt".into()).await.unwrap();
    let ended = jobs.status(session, 1, 0, Duration::ZERO).await.unwrap();
    assert_eq!(ended.next, status.next);
}

#[tokio::test]
async fn a_job_is_forgotten_before_its_receipt_is_and_never_told_to_be_lost() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    jobs.end(session, 1, true, "receipt".into()).await.unwrap();
    // Nothing of its files can be removed.
    let events = folder.path().join(format!("events/{session}/1"));
    fs::create_dir_all(events.join("in the way")).unwrap();
    assert_eq!(jobs.prune_jobs(LATER, &|| false).unwrap(), 0);
    let unknown = jobs.receipt(session, 1).await.err().unwrap();
    assert_eq!(unknown.code, UNKNOWN_JOB);
    assert!(jobs.list(session, 0, 9).await.unwrap().is_empty());
    // What is left of it goes with its session.
    jobs.lose(&session);
    assert_eq!(
        jobs.prune_sessions(LATER, true, &NOBODY, &|| false)
            .unwrap(),
        1
    );
    assert!(!events.exists() && is_empty(&jobs, Table::Receipts));
}

#[tokio::test]
async fn a_session_that_a_runtime_serves_is_kept_however_long_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let [served, over] = [b"served", b"over  "].map(|name| Digest::of(name));
    let jobs = open(folder.path());
    for session in [served, over] {
        begin(&jobs, session).await;
        jobs.lose(&session);
    }
    let is_served = |session: &Digest| *session == served;
    let pruned = jobs.prune_sessions(LATER, false, &is_served, &|| false);
    assert_eq!(pruned.unwrap(), 1);
    assert!(jobs.knows(&served) && !jobs.knows(&over));
}

#[tokio::test]
async fn a_session_that_was_ended_does_not_go_on_with_its_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let [ended, lost] = [b"ended", b"lost "].map(|name| Digest::of(name));
    let mut jobs = open_as(folder.path(), true);
    for session in [ended, lost] {
        begin(&jobs, session).await;
    }
    jobs.end_session(&ended);
    jobs.lose(&lost);
    for _ in 0..2 {
        let back = jobs.sessions_of(OWNER.runtime);
        assert_eq!(back, [(lost, OWNER.tenant)]);
        jobs.find_again(&ended);
        assert!(jobs.open_sessions().is_empty());
        drop(jobs);
        jobs = open_as(folder.path(), true);
    }
    // Its receipt may come after its end.
    jobs.end(ended, 1, true, "receipt".into()).await.unwrap();
    assert_eq!(state(&jobs, &ended, 1), JobState::Done);
    jobs.find_again(&lost);
    assert_eq!(jobs.open_sessions(), [lost]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_announced_ended_and_lost_at_once_ends_once_and_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    begin(&jobs, session).await;
    for number in 1..=200 {
        let [one, two, three] = [0; 3].map(|_| jobs.clone());
        let announced = tokio::spawn(async move { one.announce(session, number).await });
        let lost = tokio::task::spawn_blocking(move || two.lose(&session));
        let ended =
            tokio::spawn(async move { three.end(session, number, true, "receipt".into()).await });
        // Announced first, or refused as ended or lost.
        let _ = announced.await.unwrap();
        lost.await.unwrap();
        ended.await.unwrap().unwrap();
        assert_eq!(state(&jobs, &session, number), JobState::Done);
        let receipt = jobs.receipt(session, number).await;
        assert!(matches!(receipt, Ok(Receipt::Stored(_))));
        assert!(!jobs.any_unended(&session));
        jobs.find_again(&session);
    }
    drop(jobs);
    let jobs = open(folder.path());
    let all = jobs.list(session, 0, 999).await.unwrap();
    assert!(all.len() == 200 && all.iter().all(|(_, state)| *state == JobState::Done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_comes_while_its_session_is_forgotten_is_kept_whole_or_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = open(folder.path());
    for number in 1..=200_u64 {
        let session = Digest::of(&number.to_be_bytes());
        begin(&jobs, session).await;
        jobs.lose(&session);
        let (one, other) = (jobs.clone(), jobs.clone());
        // Every other one is a file.
        let length = [1, receipts::MAX_RECORD + 1][usize::from(number % 2 == 0)];
        let receipt = Bytes::from(vec![b'r'; length]);
        let ended = tokio::spawn(async move { one.end(session, 1, true, receipt).await });
        let pruned = tokio::task::spawn_blocking(move || {
            other.prune_sessions(LATER, true, &NOBODY, &|| false)
        });
        let ended = ended.await.unwrap();
        pruned.await.unwrap().unwrap();
        let stored = jobs.receipt(session, 1).await;
        let file = folder.path().join(format!("receipts/{session}/1.done"));
        let record = |table| {
            let record = jobs.0.records.get(table, &recorded::key(&session, 1));
            record.unwrap()
        };
        let kept = file.exists() || record(Table::Receipts).is_some();
        if let Err(refused) = ended {
            assert_eq!(refused.code, "unknown-session");
            assert!(record(Table::Ended).is_none() && !kept);
        } else {
            assert!(matches!(stored, Ok(Receipt::Stored(_))) && kept);
        }
    }
}

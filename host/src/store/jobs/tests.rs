use std::fs;

use super::*;

fn open_as(folder: &Path, may_return: bool) -> Jobs {
    let records = Arc::new(Records::open(&folder.join("records"), true).unwrap());
    let blobs = Blobs::open(folder, None).unwrap();
    Jobs::open(folder, blobs, records, may_return).unwrap()
}

fn open(folder: &Path) -> Jobs {
    open_as(folder, false)
}

async fn begin(jobs: &Jobs, session: Digest) {
    let opened = Opened {
        policy: "policy".into(),
        record: "record".into(),
    };
    jobs.begin_session(session, OWNER, opened).await.unwrap();
}

const OWNER: Owner = Owner {
    runtime: Hex([1; 16]),
    tenant: Digest::from_bytes([0; 32]),
};

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
    jobs.end(session, 2, false, "receipt 2".into())
        .await
        .unwrap();
    drop(jobs);

    let jobs = open(folder.path());
    assert_eq!(
        [1, 2, 3].map(|number| state(&jobs, &session, number)),
        [JobState::Done, JobState::Failed, JobState::Lost]
    );
    assert_eq!(
        fs::read(folder.path().join(format!("receipts/{session}/2.failed"))).unwrap(),
        b"receipt 2"
    );
    let stored = jobs.receipt(session, 1).await;
    assert!(matches!(stored, Ok(Receipt::Stored(_))));
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
    drop(jobs);
    assert!(!open(folder.path()).knows(&idle));
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
async fn a_session_without_jobs_and_a_stranger_leave_no_trace() {
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
    assert!(!open(folder.path()).knows(&session));
}

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
        let kept = jobs.session(&sessions[2]).unwrap();
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
    // Only what ran in a session is worth telling once its runtime is gone.
    let jobs = open(folder.path());
    let left = jobs.sessions(None, 0, 9);
    assert_eq!(
        (left.len(), left[0].session, left[0].over),
        (1, sessions[2], true)
    );
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
    };
    assert!(jobs.begin_session(session, thief, opened).await.is_err());
}

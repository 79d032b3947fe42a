use super::*;

fn open(folder: &Path) -> Jobs {
    Jobs::open(folder.to_owned(), true, false).unwrap()
}

const OWNER: Owner = Owner {
    runtime: Hex([1; 16]),
    tenant: NOBODY.tenant,
};

fn state(jobs: &Jobs, session: &Digest, number: u64) -> JobState {
    lock(&jobs.find(session, number).unwrap().record).state
}

#[tokio::test]
async fn a_job_that_was_running_when_the_host_ended_is_lost_and_others_stay_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    jobs.begin_session(session, OWNER).await.unwrap();
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
        fs::read(folder.path().join(session.to_string()).join("2.failed")).unwrap(),
        b"receipt 2"
    );
    assert!(matches!(jobs.receipt(&session, 1), Ok(Receipt::Stored(_))));
    assert_eq!(jobs.receipt(&session, 3).err().unwrap().code, "lost");
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
        jobs.begin_session(session, OWNER).await.unwrap();
    }
    jobs.announce(busy, 1).await.unwrap();
    drop(jobs);
    let jobs = Jobs::open(folder.path().to_owned(), true, true).unwrap();
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
    jobs.begin_session(session, OWNER).await.unwrap();
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
    jobs.begin_session(session, OWNER).await.unwrap();
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

use super::*;

fn open(folder: &Path) -> Jobs {
    Jobs::open(folder.to_owned(), true).unwrap()
}

fn state(jobs: &Jobs, session: &Digest, number: u64) -> JobState {
    lock(&jobs.find(session, number).unwrap().record).state
}

#[tokio::test]
async fn a_job_that_was_running_when_the_host_ended_is_lost_and_others_stay_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    jobs.begin_session(session).await.unwrap();
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
    assert!(jobs.open_receipt(&session, 1).is_ok());
    assert_eq!(jobs.open_receipt(&session, 3).unwrap_err().code, "lost");
    let late = jobs.end(session, 3, true, "late".into()).await.unwrap_err();
    assert_eq!(late.code, "job-ended");
    drop(jobs);
    assert_eq!(state(&open(folder.path()), &session, 3), JobState::Lost);
}

#[tokio::test]
async fn a_receipt_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let session = Digest::of(b"session");
    let jobs = open(folder.path());
    jobs.begin_session(session).await.unwrap();
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
    jobs.begin_session(session).await.unwrap();
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

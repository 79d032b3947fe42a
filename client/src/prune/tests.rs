use std::time::Duration;

use mc2_protocol::{
    Identity, Name,
    documents::{control::SessionOpened, job::Job, receipt::Evidence},
    encoding::Hex,
};

use super::*;
use crate::{policy::bare_policy, state::KnownSession};

const DAY: u64 = 24 * 60 * 60;
/// 2026-05-28.
const NOW: u64 = 1_779_926_400;

struct Place(tempfile::TempDir, State);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("mc2"));
        Self(folder, state)
    }

    /// A job submitted so many days ago under a policy that ends so many days from now.
    fn submit(&self, job: &[u8], days_ago: u64, policy_ends: i64) -> Digest {
        let me = Identity::generate("me".parse().unwrap(), &mut crate::random());
        let name: Name = "x".parse().unwrap();
        let expires = NOW.checked_add_signed(policy_ends * DAY as i64).unwrap();
        let policy = bare_policy(me.card(), expires);
        let salt = *Digest::of(job).as_bytes();
        let job = Job::new(*policy.digest(), name.clone(), salt, Vec::new());
        let time = NOW - days_ago * DAY;
        let opened = SessionOpened {
            record: salt.to_vec().into(),
            evidence: Evidence {
                media_type: "a/b".to_owned(),
                value: Vec::new().into(),
            },
            endorsements: Vec::new(),
        };
        let host = "http://localhost:1".to_owned();
        let nonce = Hex([7; 32]);
        let known = KnownSession::new(host, None, &policy, nonce, opened, time, true);
        self.1.store_session(&known).unwrap();
        let submission = Submission::new(
            known.session,
            nonce,
            &job,
            *me.card().digest(),
            &policy,
            time,
        );
        self.1.store_submission(&submission).unwrap();
        submission.job
    }

    fn receipt(&self, job: &Digest) {
        self.1.store_receipt(job, b"{}").unwrap();
        self.1.store_simulator(job, b"{}").unwrap();
        let result = self.0.path().join(job.to_string());
        self.1.store_place(&result, job).unwrap();
    }

    fn find(&self, days: u64) -> Prunable {
        Prunable::find(&self.1, Duration::from_secs(days * DAY), now()).unwrap()
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn files(state: &State) -> usize {
    ["submissions", "receipts", "simulators", "results"]
        .iter()
        .filter_map(|name| fs::read_dir(state.root().join(name)).ok())
        .flatten()
        .count()
}

#[test]
fn a_job_that_is_done_and_old_goes_with_everything_of_it_and_a_young_one_stays() {
    let place = Place::new();
    let (old, young) = (
        place.submit(b"old", 91, 100),
        place.submit(b"young", 89, 100),
    );
    for job in [&old, &young] {
        place.receipt(job);
    }
    let found = place.find(90);
    let jobs: Vec<&Digest> = found.jobs.iter().map(|job| &job.job).collect();
    assert_eq!((jobs, found.young, found.open), (vec![&old], 1, 0));
    assert_eq!(found.jobs[0].files.len(), 4);
    // Nothing goes before it is said to.
    assert_eq!(files(&place.1), 8);
    found.remove().unwrap();
    assert_eq!(files(&place.1), 4);
    assert!(place.1.submission(&old).unwrap().is_none());
    assert!(place.1.submission(&young).unwrap().is_some());
    // Both sessions may be open: their policies go on.
    assert_eq!(place.1.sessions().unwrap().len(), 2);
    assert!(place.find(90).jobs.is_empty());
}

#[test]
fn a_job_without_a_receipt_stays_while_it_may_run() {
    let place = Place::new();
    place.submit(b"policy goes on", 1000, 1);
    place.submit(b"policy has just ended", 1000, -91);
    let lost = place.submit(b"policy ended long ago", 1000, -90 - 31);
    let found = place.find(90);
    let jobs: Vec<&Digest> = found.jobs.iter().map(|job| &job.job).collect();
    assert_eq!((jobs, found.open), (vec![&lost], 2));
    // And their sessions with them.
    assert_eq!(found.sessions.len(), 1);
    found.remove().unwrap();
    assert_eq!(place.1.sessions().unwrap().len(), 2);
}

#[test]
fn what_is_no_job_s_file_is_not_looked_at() {
    let place = Place::new();
    let job = place.submit(b"old", 91, 100);
    place.receipt(&job);
    let other = place.1.root().join("receipts").join("notes.json");
    fs::write(&other, "mine").unwrap();
    let ledger = place.1.root().join("ledger.jsonl");
    fs::write(&ledger, "").unwrap();
    place.find(0).remove().unwrap();
    assert!(other.exists() && ledger.exists());
}

#[test]
fn of_a_prune_that_was_killed_the_rest_goes_the_next_time() {
    let place = Place::new();
    let job = place.submit(b"old", 91, 100);
    place.receipt(&job);
    let found = place.find(90);
    for step in 1..found.jobs[0].files.len() {
        // Killed after so many files. What is left was written today by this test.
        fs::remove_file(&found.jobs[0].files[step - 1]).unwrap();
        let later = now() + Duration::from_secs(10_000 * DAY);
        let rest = Prunable::find(&place.1, Duration::from_secs(90 * DAY), later).unwrap();
        assert_eq!(rest.jobs[0].files.len(), found.jobs[0].files.len() - step);
    }
}

use std::{path::Path, time::Duration};

use bytes::Bytes;
use mc2_protocol::documents::control::JobState;

use super::*;
use crate::store::{
    blobs::Blobs,
    jobs::{Opened, Owner},
};

const ID: RuntimeId = RuntimeId([1; 16]);
const TENANT: Digest = Digest::from_bytes([5; 32]);

/// Runtimes that dial in by themselves; none has.
fn runtimes(folder: &Path) -> Arc<Runtimes> {
    let config = Arc::new(HostConfig::new(folder.to_owned(), Launcher::Connect));
    let blobs = Blobs::open(folder, None).unwrap();
    let store = Arc::new(Store::open(&config, blobs).unwrap());
    let serve: Serve = Box::new(|_, _| tokio::spawn(async {}));
    Runtimes::new(config, store, watch::Sender::new(false), serve).unwrap()
}

/// A session that a runtime opened, recorded.
async fn begin(runtimes: &Runtimes, runtime: &Runtime, name: &[u8]) -> Digest {
    let session = Digest::of(name);
    let owner = Owner {
        runtime: Hex(runtime.id.0),
        tenant: TENANT,
    };
    let opened = Opened {
        policy: Bytes::from_static(b"policy"),
        record: Bytes::from_static(b"record"),
        opener: Digest::of(b"opener"),
    };
    let jobs = &runtimes.store.jobs;
    jobs.begin_session(session, owner, opened).await.unwrap();
    session
}

#[tokio::test]
async fn a_runtime_that_returns_before_its_loss_is_noted_has_its_sessions_back() {
    let folder = tempfile::tempdir().unwrap();
    let runtimes = runtimes(folder.path());
    let runtime = runtimes.arrive(ID).await.unwrap();
    let session = begin(&runtimes, &runtime, b"session").await;
    runtimes.opened(session, &runtime).unwrap();
    // Gone, which is noted a moment later: first it is back, with a connection made meanwhile too.
    let lost = runtimes.registry.remove(&runtime).unwrap();
    assert_eq!(lost, [session]);
    let [back, again] = [0; 2].map(|_| runtimes.arrive(ID));
    let (back, again) = tokio::join!(back, again);
    assert!(Arc::ptr_eq(&back.unwrap(), &again.unwrap()));
    runtimes.lose_unserved(&lost);
    assert!(runtimes.store.jobs.is_open(&session));
    assert!(runtimes.serving(&session).unwrap().id == ID);

    // Noted first, and back then.
    let runtime = runtimes.registry.get(ID).unwrap();
    gone(&runtimes.this, &runtime);
    runtimes.until_noted().await;
    assert!(!runtimes.store.jobs.is_open(&session));
    runtimes.arrive(ID).await.unwrap();
    assert!(runtimes.store.jobs.is_open(&session));
    assert!(runtimes.serving(&session).unwrap().id == ID);
}

#[tokio::test]
async fn a_session_whose_runtime_went_away_while_it_was_opened_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let runtimes = runtimes(folder.path());
    let runtime = runtimes.arrive(ID).await.unwrap();
    let session = begin(&runtimes, &runtime, b"session").await;
    gone(&runtimes.this, &runtime);
    let refused = runtimes.opened(session, &runtime).unwrap_err();
    assert_eq!(refused.code, "runtime-gone");
    runtimes.until_noted().await;
    assert!(!runtimes.store.jobs.is_open(&session));
    assert_eq!(runtimes.registry.count(), (0, 0));
}

#[tokio::test]
async fn a_session_that_was_ended_is_over_once_its_last_receipt_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let runtimes = runtimes(folder.path());
    let jobs = &runtimes.store.jobs;
    let runtime = runtimes.arrive(ID).await.unwrap();
    let session = begin(&runtimes, &runtime, b"session").await;
    runtimes.opened(session, &runtime).unwrap();
    for number in [1, 2] {
        jobs.announce(session, number).await.unwrap();
    }
    runtimes.ended(session);
    for number in [1, 2] {
        runtimes.until_noted().await;
        assert!(jobs.is_open(&session) && runtimes.serving(&session).is_ok());
        jobs.end(session, number, true, "receipt".into())
            .await
            .unwrap();
        runtimes.job_ended(session);
    }
    runtimes.until_noted().await;
    assert!(!jobs.is_open(&session));
    assert_eq!(
        runtimes.serving(&session).err().unwrap().code,
        "session-over"
    );
}

#[tokio::test]
async fn a_session_that_was_ended_does_not_go_on_where_its_runtime_drops_off_before_its_last_receipt()
 {
    let folder = tempfile::tempdir().unwrap();
    let first = runtimes(folder.path());
    let runtime = first.arrive(ID).await.unwrap();
    let session = begin(&first, &runtime, b"session").await;
    first.opened(session, &runtime).unwrap();
    first.store.jobs.announce(session, 1).await.unwrap();
    first.ended(session);
    first.until_noted().await;
    assert!(first.store.jobs.is_open(&session));
    drop((runtime, first));

    // The next host knows it, too: there its runtime is away for too long, and comes back.
    let next = runtimes(folder.path());
    let jobs = &next.store.jobs;
    assert!(jobs.is_open(&session));
    let runtime = next.arrive(ID).await.unwrap();
    assert!(next.serving(&session).is_ok());
    gone(&next.this, &runtime);
    next.until_noted().await;
    assert!(!jobs.is_open(&session));
    next.arrive(ID).await.unwrap();
    assert!(!jobs.is_open(&session) && next.serving(&session).is_err());
    // Its receipt is taken all the same.
    jobs.end(session, 1, true, "receipt".into()).await.unwrap();
    next.job_ended(session);
    next.until_noted().await;
    let status = jobs.status(session, 1, 0, Duration::ZERO).await.unwrap();
    assert_eq!(status.state, JobState::Done);
    assert!(!jobs.is_open(&session));
}

#[tokio::test]
async fn a_session_that_is_found_to_have_been_ended_once_its_runtime_is_gone_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let runtimes = runtimes(folder.path());
    let runtime = runtimes.arrive(ID).await.unwrap();
    let session = begin(&runtimes, &runtime, b"session").await;
    runtimes.opened(session, &runtime).unwrap();
    gone(&runtimes.this, &runtime);
    runtimes.until_noted().await;
    runtimes.ended(session);
    runtimes.until_noted().await;
    runtimes.arrive(ID).await.unwrap();
    assert!(!runtimes.store.jobs.is_open(&session));
}

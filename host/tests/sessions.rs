//! Sessions, jobs and the runtimes behind them.
#![allow(clippy::unwrap_used, reason = "a helper that fails ends its test")]

mod support;

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use mc2_host::Host;
use mc2_protocol::{
    Digest,
    documents::{
        control::JobState,
        hosting::{PARTY, SessionKept, SessionState},
    },
};
use mc2_wire::routes::{events_path, job_path, jobs_path, receipt_path, session_path, start_path};
use support::{Fixture, config, problem};

#[tokio::test]
async fn messages_are_relayed_byte_for_byte() {
    let fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    for message in ["{\"a\": 1}  ", "\u{0}\u{1}\u{fffd}"] {
        let answer = fixture.tell(&session, message).await;
        assert_eq!(
            (answer.status(), &answer.body()[..]),
            (StatusCode::OK, message.as_bytes())
        );
    }
    let large = "x".repeat(4 * 1024 * 1024);
    assert_eq!(
        fixture.tell(&session, &large).await.body().len(),
        large.len()
    );
    let path = mc2_wire::routes::evidence_path(&session);
    let ask = format!("{{\"nonce\":\"{}\"}}", "ab".repeat(32));
    assert_eq!(
        fixture.ask(Method::POST, &path, ask.clone()).await.body()[..],
        *ask.as_bytes()
    );
    assert_eq!(
        fixture.tell(&session, "spill page").await.body()[..],
        *b"page"
    );
}

#[tokio::test]
async fn many_messages_at_once_share_the_connections() {
    let fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    let messages: Vec<String> = (0..64).map(|n| format!("message {n}")).collect();
    let answers = messages
        .iter()
        .map(|message| fixture.tell(&session, message));
    let answers = futures_util::future::join_all(answers).await;
    for (answer, message) in answers.iter().zip(&messages) {
        assert_eq!(answer.body()[..], *message.as_bytes());
    }
}

#[tokio::test]
async fn a_job_is_followed_to_its_end() {
    let fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    let unknown = fixture.get(&job_path(&session, 1)).await;
    assert_eq!(
        problem(&unknown),
        (StatusCode::NOT_FOUND, "unknown-job".into())
    );

    fixture.tell(&session, "announce 1").await;
    let status = fixture.status(&session, 1, "").await;
    assert_eq!((status.state, status.next), (JobState::Running, 0));
    let early = fixture.get(&receipt_path(&session, 1)).await;
    assert_eq!(problem(&early), (StatusCode::NOT_FOUND, "running".into()));

    let started = Instant::now();
    let news = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        fixture.tell(&session, "event 1 first").await
    };
    let (status, _) = tokio::join!(fixture.status(&session, 1, "?after=0&wait=30"), news);
    assert!(started.elapsed() < Duration::from_secs(29));
    assert_eq!((status.events.len(), status.next), (1, 1));
    fixture.tell(&session, "event 1 second").await;
    let status = fixture.status(&session, 1, "?after=1").await;
    assert_eq!(
        status.events[0].sealed.encapsulated_key.as_slice(),
        b"second"
    );
    assert_eq!(status.next, 2);

    assert_eq!(
        fixture.tell(&session, "end 1 true receipt").await.body()[..],
        *b"204"
    );
    let status = fixture.status(&session, 1, "?after=2&wait=30").await;
    assert_eq!((status.state, status.events.len()), (JobState::Done, 0));
    assert_eq!(
        fixture.get(&receipt_path(&session, 1)).await.body()[..],
        *b"receipt"
    );
    assert_eq!(
        fixture.tell(&session, "event 1 late").await.body()[..],
        *b"409"
    );
    assert_eq!(
        fixture.tell(&session, "end 1 false other").await.body()[..],
        *b"409"
    );
}

#[tokio::test]
async fn no_request_of_a_client_stops_a_job() {
    let fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    fixture.tell(&session, "announce 4").await;
    let path = job_path(&session, 4);
    assert_eq!(
        fixture.ask(Method::DELETE, &path, "").await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        fixture.status(&session, 4, "").await.state,
        JobState::Running
    );
}

#[tokio::test]
async fn a_hostile_runtime_hurts_only_itself() {
    let mut fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    let code = |answer: http::Response<bytes::Bytes>| problem(&answer);
    let bad = |code: &str| (StatusCode::BAD_GATEWAY, code.to_owned());
    assert_eq!(
        code(fixture.tell(&session, "flood").await),
        bad("runtime-answer")
    );
    assert_eq!(
        code(fixture.tell(&session, "redirect").await),
        bad("runtime-answer")
    );
    let silent = (StatusCode::GATEWAY_TIMEOUT, "runtime-silent".to_owned());
    assert_eq!(code(fixture.tell(&session, "silence").await), silent);
    let own = (StatusCode::INTERNAL_SERVER_ERROR, "panic".to_owned());
    assert_eq!(code(fixture.tell(&session, "panic").await), own);
    fixture.add_peer([2; 16]);
    let of_another = fixture.try_open(support::peer::OF_ANOTHER).await;
    assert_eq!(code(of_another), bad("runtime-answer"));
    assert_eq!(
        fixture.tell(&session, "still there").await.body()[..],
        *b"still there"
    );
}

#[tokio::test]
async fn each_policy_has_a_process_of_its_own_and_no_word_on_another_s_jobs() {
    let mut fixture = Fixture::with_peer().await;
    let (session, first) = fixture.open(b"policy").await;
    let (again, same) = fixture.open(b"policy").await;
    assert_eq!(first, same);
    assert_ne!(session, again);
    let none = fixture.try_open(b"other policy").await;
    assert_eq!(
        problem(&none),
        (StatusCode::SERVICE_UNAVAILABLE, "no-runtime".into())
    );

    fixture.add_peer([2; 16]);
    let (_, other) = fixture.open(b"other policy").await;
    assert_ne!(first, other);
    let stranger = fixture.peer([2; 16]);
    let forged = stranger
        .storage(Method::POST, &events_path(&session, 1), "".into())
        .await;
    assert_eq!(problem(&forged), (StatusCode::FORBIDDEN, "session".into()));
    let unknown = fixture.peer([3; 16]);
    let forged = unknown
        .storage(Method::POST, &events_path(&session, 1), "".into())
        .await;
    assert_eq!(
        problem(&forged),
        (StatusCode::FORBIDDEN, "unknown-runtime".into())
    );
}

#[tokio::test]
async fn a_refused_policy_does_not_keep_a_runtime_that_dialed_in() {
    let fixture = Fixture::with_peer().await;
    let refused = fixture.try_open(b"refused").await;
    assert_eq!(
        problem(&refused),
        (StatusCode::UNPROCESSABLE_ENTITY, "policy".into())
    );
    fixture.open(b"policy").await;
}

#[tokio::test]
async fn a_runtime_that_serves_another_tenant_is_passed_over() {
    let mut fixture = Fixture::start(|config| config).await;
    fixture.add_taken_peer([4; 16], b"old policy");
    let none = fixture.try_open(b"policy").await;
    assert_eq!(
        problem(&none),
        (StatusCode::SERVICE_UNAVAILABLE, "no-runtime".into())
    );
    fixture.add_peer([5; 16]);
    let (_, fresh) = fixture.open(b"policy").await;
    assert_eq!(fresh, hex::encode([5; 16]));
    let (_, old) = fixture.open(b"old policy").await;
    assert_eq!(old, hex::encode([4; 16]));
}

#[tokio::test]
async fn jobs_are_lost_when_their_runtime_goes_away_and_clients_are_told_so() {
    let mut fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    fixture.tell(&session, "announce 1").await;
    fixture.tell(&session, "end 2 true receipt").await;
    let of_unknown = [
        job_path(&session, 3),
        receipt_path(&session, 3),
        events_path(&session, 3),
        start_path(&session, 3),
    ];
    for path in &of_unknown {
        let unknown = problem(&fixture.get(path).await);
        assert_eq!(unknown, (StatusCode::NOT_FOUND, "unknown-job".into()));
    }
    fixture.drop_peers().await;
    let status = fixture.status(&session, 1, "?wait=10").await;
    assert_eq!(status.state, JobState::Lost);
    assert_eq!(fixture.status(&session, 2, "").await.state, JobState::Done);
    let over = fixture.tell(&session, "anybody there").await;
    assert_eq!(problem(&over), (StatusCode::GONE, "session-over".into()));
    // Nobody will hear of it any more.
    for path in &of_unknown {
        let over = problem(&fixture.get(path).await);
        assert_eq!(over, (StatusCode::GONE, "session-over".into()), "{path}");
    }
}

#[tokio::test]
async fn jobs_that_ran_when_the_host_ended_are_lost_after_its_restart() {
    let mut fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    fixture.tell(&session, "announce 1").await;
    fixture.tell(&session, "end 2 false receipt").await;
    fixture.drop_peers().await;
    let Fixture { host, folder, .. } = fixture;
    host.shutdown().await;

    let host = Host::start(config(folder.path())).await.unwrap();
    let address = host.client_addresses()[0].clone();
    let ask = |path: String| {
        let address = address.clone();
        async move {
            let request = support::build(Method::GET, &path, "");
            support::peer::request(&address, request).await.unwrap()
        }
    };
    let state = |body: &[u8]| {
        serde_json::from_slice::<mc2_protocol::documents::storage::JobStatus>(body)
            .unwrap()
            .state
    };
    // Its runtime has a moment to come back.
    let path = format!("{}?wait=10", job_path(&session, 1));
    assert_eq!(state(ask(path).await.body()), JobState::Lost);
    assert_eq!(
        state(ask(job_path(&session, 2)).await.body()),
        JobState::Failed
    );
    assert_eq!(ask(receipt_path(&session, 2)).await.body()[..], *b"receipt");
    host.shutdown().await;
}

#[tokio::test]
async fn a_runtime_that_comes_back_to_a_host_started_again_goes_on_where_it_was() {
    let mut fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    let (idle, _) = fixture.open(b"policy").await;
    fixture.tell(&session, "announce 1").await;
    fixture.drop_peers().await;
    let Fixture { host, folder, .. } = fixture;
    host.shutdown().await;

    let mut patient = config(folder.path());
    patient.timeouts.absence = Duration::from_secs(3);
    let mut fixture = Fixture::over(Host::start(patient).await.unwrap(), folder);
    assert_eq!(
        fixture.status(&session, 1, "").await.state,
        JobState::Running
    );
    fixture.add_peer([1; 16]);
    let hello = async {
        while fixture.tell(&session, "hello").await.body()[..] != *b"hello" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), hello)
        .await
        .expect("it is back");
    assert_eq!(fixture.tell(&idle, "hello").await.body()[..], *b"hello");
    let ended = fixture.tell(&session, "end 1 true receipt").await;
    assert_eq!(ended.body()[..], *b"204");
    // Longer than it may be away.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(fixture.status(&session, 1, "").await.state, JobState::Done);

    // A job that was given up: its receipt is taken all the same, from its own runtime alone.
    fixture.tell(&session, "announce 2").await;
    fixture.drop_peers().await;
    let status = fixture.status(&session, 2, "?wait=30").await;
    assert_eq!(status.state, JobState::Lost);
    fixture.add_peer([2; 16]);
    let path = format!("{}?success=true", receipt_path(&session, 2));
    let foreign = loop {
        let peer = fixture.peer([2; 16]);
        let answer = peer.storage(Method::PUT, &path, "foreign".into()).await;
        let status = answer.status();
        // Until it has dialed.
        if status != StatusCode::FORBIDDEN {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(foreign, StatusCode::GONE);
    fixture.add_peer([1; 16]);
    while fixture.tell(&session, "end 2 true late").await.body()[..] != *b"204" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(fixture.status(&session, 2, "").await.state, JobState::Done);
    assert_eq!(
        fixture.get(&receipt_path(&session, 2)).await.body()[..],
        *b"late"
    );
}

#[tokio::test]
async fn who_asks_before_a_runtime_is_back_is_told_to_ask_again_by_every_route() {
    let mut fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    fixture.drop_peers().await;
    let Fixture { host, folder, .. } = fixture;
    host.shutdown().await;
    let mut patient = config(folder.path());
    patient.timeouts.absence = Duration::from_secs(60);
    let fixture = Fixture::over(Host::start(patient).await.unwrap(), folder);
    let absent = (StatusCode::SERVICE_UNAVAILABLE, "runtime-absent".into());
    let message = fixture.tell(&session, "hello").await;
    assert_eq!(problem(&message), absent);
    let mut submission = support::build(Method::POST, &jobs_path(&session), "sealed");
    let card = Digest::of(b"card").to_string().parse().unwrap();
    submission.headers_mut().insert(PARTY, card);
    assert_eq!(problem(&fixture.send(submission).await), absent);
}

#[tokio::test]
async fn a_session_that_was_ended_is_over_when_the_receipt_it_had_left_is_stored() {
    let fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    fixture.tell(&session, "announce 1").await;
    let state = async || {
        let kept = fixture.get(&session_path(&session)).await;
        let kept: SessionKept = serde_json::from_slice(kept.body()).unwrap();
        kept.state
    };
    let gone = fixture.tell(&session, "gone").await;
    assert_eq!(problem(&gone), (StatusCode::NOT_FOUND, "not-found".into()));
    assert_eq!(state().await, SessionState::Open);
    let ended = fixture.tell(&session, "end 1 true receipt").await;
    assert_eq!(ended.body()[..], *b"204");
    let over = async {
        while state().await != SessionState::Over {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), over)
        .await
        .expect("it is over");
}

#[tokio::test]
async fn a_receipt_that_is_not_stored_comes_from_the_runtime() {
    let fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    fixture.tell(&session, "announce 1").await;
    let early = fixture.get(&receipt_path(&session, 1)).await;
    assert_eq!(problem(&early), (StatusCode::NOT_FOUND, "running".into()));
    fixture.tell(&session, "hold 1 held").await;
    let receipt = fixture.get(&receipt_path(&session, 1)).await;
    assert_eq!(receipt.body()[..], *b"held");
}

//! What a host says of itself and its routes, and whom it lets in.
#![allow(clippy::unwrap_used, reason = "a helper that fails ends its test")]

mod support;

use std::collections::BTreeSet;

use http::{Method, StatusCode, header};
use mc2_host::{Address, Host, HostConfig, Rate, Token};
use mc2_protocol::{
    Digest,
    documents::{
        control::JobState,
        hosting::{
            JobList, MAX_NOTE_LEN, NoteList, NotePosted, PostNote, SessionKept, SessionList,
            SessionState,
        },
        record::session_digest,
    },
    encoding::to_json,
    policy::Policy,
};
use mc2_wire::routes::{
    CHALLENGES_PATH, CONTROL_PATH, HEALTH_PATH, METRICS_PATH, OPENAPI_PATH, READY_PATH, ROOT_PATH,
    SESSIONS_PATH, VERSION_PATH, events_path, jobs_path, notes_path, object_path, session_path,
    template, upload_commit_path, upload_digests_path, upload_file_path, upload_path,
};
use serde_json::{Value, json};
use sha2::Digest as _;
use support::{Fixture, build, config, object, peer, problem, upload_id};

/// Methods that some route has.
const METHODS: [Method; 4] = [Method::GET, Method::PUT, Method::POST, Method::DELETE];

async fn document(fixture: &Fixture) -> Value {
    let answer = fixture.get(OPENAPI_PATH).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    serde_json::from_slice(answer.body()).unwrap()
}

/// A path of a template, with something good in each of its places.
fn filled(template: &str) -> String {
    let pieces = template.split('/').map(|piece| match piece {
        "{session}" | "{object}" | "{digest}" | "{key}" => "ab".repeat(32),
        "{upload}" | "{area}" | "{ticket}" => "ab".repeat(16),
        "{number}" | "{index}" | "{slot}" => "1".to_owned(),
        piece => {
            assert!(!piece.contains('{'), "{template}");
            piece.to_owned()
        }
    });
    pieces.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn the_document_has_every_route_that_the_router_has_and_no_other() {
    let fixture = Fixture::with_peer().await;
    let document = document(&fixture).await;
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let plain = [
        ROOT_PATH,
        OPENAPI_PATH,
        HEALTH_PATH,
        READY_PATH,
        VERSION_PATH,
        METRICS_PATH,
        CHALLENGES_PATH,
        SESSIONS_PATH,
        CONTROL_PATH,
    ];
    let mut served = BTreeSet::new();
    for template in template::ALL.iter().chain(&plain) {
        for method in METHODS {
            let answer = fixture.ask(method.clone(), &filled(template), "").await;
            let missing = answer.status() == StatusCode::METHOD_NOT_ALLOWED
                || (answer.status() == StatusCode::NOT_FOUND
                    && problem(&answer).1 == "unknown-route");
            if !missing {
                served.insert((method.to_string(), (*template).to_owned()));
            }
        }
    }
    assert_eq!(described, served);
    // Runtimes' own routes are not clients'.
    assert!(!served.iter().any(|(_, path)| path.starts_with("/v1/spill")));
}

#[tokio::test]
async fn every_operation_says_what_it_does_and_how_it_may_fail() {
    let fixture = Fixture::with_peer().await;
    let document = document(&fixture).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["security"], Value::Null);
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let summary = operation["summary"].as_str();
            assert!(
                summary.is_some_and(|text| !text.is_empty()),
                "{method} {path}"
            );
            assert!(
                names.insert(operation["operationId"].to_string()),
                "{method} {path}"
            );
            let responses = operation["responses"].as_object().unwrap();
            let good = responses.keys().any(|status| status.starts_with('2'));
            assert!(good, "{method} {path}");
            for (status, response) in responses
                .iter()
                .filter(|(status, _)| !status.starts_with('2'))
            {
                let content = response["content"].as_object().unwrap();
                let types: Vec<&String> = content.keys().collect();
                assert_eq!(
                    types,
                    ["application/problem+json"],
                    "{method} {path} {status}"
                );
            }
        }
    }
    // What it refers to is there.
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_host_says_what_it_is_how_it_is_and_what_it_counted() {
    let mut fixture = Fixture::start(|config| config).await;
    let root = fixture.get(ROOT_PATH).await;
    let root: Value = serde_json::from_slice(root.body()).unwrap();
    assert_eq!(root["openapi"], OPENAPI_PATH);
    let mut request = build(Method::GET, ROOT_PATH, "");
    let accept = "text/html,application/xhtml+xml;q=0.9".parse().unwrap();
    request.headers_mut().insert(header::ACCEPT, accept);
    let page = fixture.send(request).await;
    assert_eq!(
        page.headers()[header::CONTENT_TYPE],
        "text/html; charset=utf-8"
    );
    assert!(page.body().starts_with(b"<!doctype html>"));
    let version = fixture.get(VERSION_PATH).await;
    let version: Value = serde_json::from_slice(version.body()).unwrap();
    assert_eq!(
        version,
        json!({"name": "mc2-host", "version": env!("CARGO_PKG_VERSION"), "protocol": mc2_protocol::VERSION})
    );
    // Without a runtime it can do nothing yet.
    let early = fixture.get(READY_PATH).await;
    assert_eq!(
        problem(&early),
        (StatusCode::SERVICE_UNAVAILABLE, "not-ready".into())
    );
    fixture.add_peer([1; 16]);
    fixture.open(b"policy").await;
    let ready = fixture.get(READY_PATH).await;
    assert_eq!(ready.status(), StatusCode::OK);

    let object = object(10).id;
    let missing = fixture.get(&object_path(&object)).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let metrics = fixture.get(METRICS_PATH).await;
    let metrics = String::from_utf8(metrics.body().to_vec()).unwrap();
    for line in [
        "mc2_host_requests_total{method=\"GET\",route=\"/v1/objects/{object}\",status=\"404\"} 1",
        "mc2_host_runtimes 1",
        "mc2_host_sessions 1",
        "mc2_host_unauthorized_total 0",
        "mc2_host_queued 0",
        "mc2_host_objects_bytes 0",
        "mc2_host_components_bytes 0",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    assert!(!metrics.contains(&object.to_string()));
}

#[tokio::test]
async fn an_upload_says_where_to_go_on_and_an_object_what_it_has() {
    let fixture = Fixture::with_peer().await;
    let (object, id) = (object(100_000), upload_id(1));
    let path = upload_path(&id);
    let unknown = fixture.get(&path).await;
    assert_eq!(
        problem(&unknown),
        (StatusCode::NOT_FOUND, "unknown-upload".into())
    );
    let (first, rest) = object.sealed.split_at(40_000);
    let put = async |path: String, bytes: &[u8]| {
        let answer = fixture.ask(Method::PUT, &path, bytes.to_vec()).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
    };
    put(upload_file_path(&id, 0, 0), first).await;
    let progress = fixture.get(&path).await;
    let progress: Value = serde_json::from_slice(progress.body()).unwrap();
    let stream = json!({"index": 0, "file": 40_000, "digests": 0});
    assert_eq!(progress, json!({"streams": [stream]}));

    put(upload_file_path(&id, 0, 40_000), rest).await;
    put(upload_digests_path(&id, 0, 0), &object.digests).await;
    let commit = fixture
        .ask(
            Method::POST,
            &upload_commit_path(&id),
            object.manifest.clone(),
        )
        .await;
    assert_eq!(commit.status(), StatusCode::OK);
    let stored = fixture.get(&object_path(&object.id)).await;
    let stored: Value = serde_json::from_slice(stored.body()).unwrap();
    let stream = json!({
        "index": 0,
        "file": object.sealed.len(),
        "digests": object.digests.len(),
    });
    let expected = json!({"manifest": object.manifest.len(), "streams": [stream]});
    assert_eq!(stored, expected);
    let over = fixture.get(&path).await;
    assert_eq!(problem(&over).1, "unknown-upload");
}

#[tokio::test]
async fn events_are_told_as_they_come_until_the_job_s_end_and_from_where_a_client_was() {
    let fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    let path = events_path(&session, 1);
    let unknown = fixture.get(&path).await;
    assert_eq!(problem(&unknown).1, "unknown-job");
    fixture.tell(&session, "announce 1").await;
    fixture.tell(&session, "event 1 first").await;
    let (told, ()) = tokio::join!(fixture.get(&path), async {
        fixture.tell(&session, "event 1 second").await;
        fixture.tell(&session, "end 1 true receipt").await;
    });
    assert_eq!(told.headers()[header::CONTENT_TYPE], "text/event-stream");
    let heads = |body: &[u8]| {
        let text = String::from_utf8(body.to_vec()).unwrap();
        let messages = text
            .split("\n\n")
            .filter(|message| !message.is_empty() && *message != ":");
        let heads = messages.map(|message| message.split("\ndata: ").next().unwrap().to_owned());
        heads.collect::<Vec<_>>()
    };
    let first = "id: 1\nevent: event";
    let second = "id: 2\nevent: event";
    let state = "event: state";
    let all = heads(told.body());
    let events: Vec<_> = all.iter().filter(|head| *head != state).collect();
    assert_eq!(events, [first, second], "{:?}", told.body());
    let text = String::from_utf8(told.body().to_vec()).unwrap();
    assert!(
        text.ends_with("event: state\ndata: {\"state\":\"done\"}\n\n"),
        "{text}"
    );

    let mut again = build(Method::GET, &path, "");
    again
        .headers_mut()
        .insert("last-event-id", "1".parse().unwrap());
    let told = fixture.send(again).await;
    assert_eq!(heads(told.body()), [second, state]);
    let mut bad = build(Method::GET, &path, "");
    bad.headers_mut()
        .insert("last-event-id", "one".parse().unwrap());
    let refused = fixture.send(bad).await;
    assert_eq!(
        problem(&refused),
        (StatusCode::BAD_REQUEST, "last-event-id".into())
    );
}

#[tokio::test]
async fn a_host_with_tokens_lets_nobody_else_near_what_it_stores() {
    let token = Token {
        name: "me".to_owned(),
        sha256: sha2::Sha256::digest("secret").into(),
        rate: None,
        bytes: None,
    };
    let change = |config| HostConfig {
        tokens: vec![token],
        ..config
    };
    let mut fixture = Fixture::start(change).await;
    // A runtime needs none.
    fixture.add_peer([1; 16]);
    let document = document(&fixture).await;
    assert_eq!(document["security"], json!([{"token": []}]));
    let open = [
        ROOT_PATH,
        OPENAPI_PATH,
        HEALTH_PATH,
        READY_PATH,
        VERSION_PATH,
    ];
    for path in document["paths"].as_object().unwrap().keys() {
        for method in METHODS {
            let answer = fixture.ask(method.clone(), &filled(path), "").await;
            let refused = answer.status() == StatusCode::UNAUTHORIZED;
            assert_eq!(refused, !open.contains(&path.as_str()), "{method} {path}");
            if refused {
                assert_eq!(problem(&answer).1, "token");
                assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Bearer");
            }
        }
    }
    let ask = |token: &str| {
        let mut request = build(Method::GET, METRICS_PATH, "");
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, value);
        fixture.send(request)
    };
    assert_eq!(ask("secret").await.status(), StatusCode::OK);
    assert_eq!(ask("secre").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask("SECRET").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_when_to_come_back() {
    let rate = std::num::NonZeroU32::new(5).map(Rate);
    let change = |config| HostConfig {
        client_listen: vec![Address::Tcp(([127, 0, 0, 1], 0).into())],
        address_rate: rate,
        ..config
    };
    let fixture = Fixture::start(change).await;
    let mut limited = 0;
    // However slow the machine, 200 at once are more than five a second.
    let asked = (0..200).map(|_| fixture.get(HEALTH_PATH));
    for answer in futures_util::future::join_all(asked).await {
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(problem(&answer).1, "rate");
            limited += 1;
        }
    }
    assert!(limited > 0);
}

/// A policy that names cards.
const POLICY: &[u8] = include_bytes!("../../policies/two-clinics.toml");

fn cards() -> Vec<Digest> {
    let policy = Policy::parse(POLICY).unwrap();
    let parties = policy.parties().iter();
    parties.map(|card| *card.digest()).collect()
}

fn parsed<T: serde::de::DeserializeOwned>(answer: &http::Response<bytes::Bytes>) -> T {
    assert!(answer.status().is_success(), "{:?}", answer.body());
    serde_json::from_slice(answer.body()).unwrap()
}

#[tokio::test]
async fn a_party_finds_the_sessions_that_name_it_page_by_page_and_the_jobs_in_them() {
    let mut fixture = Fixture::with_peer().await;
    let (first, _) = fixture.open(POLICY).await;
    let (second, _) = fixture.open(POLICY).await;
    let card = cards()[0];
    let list = async |query: String| -> SessionList {
        parsed(&fixture.get(&format!("{SESSIONS_PATH}?{query}")).await)
    };
    let all = list(format!("party={card}")).await;
    let found: Vec<Digest> = all.sessions.iter().map(|entry| entry.session).collect();
    assert_eq!((found, all.next), (vec![first, second], None));
    assert_eq!(all.sessions[0].policy, Digest::of(POLICY));
    assert_eq!(all.sessions[0].state, SessionState::Open);
    let page = list(format!("party={card}&most=1")).await;
    let next = page.next.unwrap();
    let rest = list(format!("party={card}&most=1&after={next}")).await;
    assert_eq!(
        (page.sessions[0].session, rest.sessions[0].session),
        (first, second)
    );
    let stranger = Digest::of(b"a stranger's card");
    assert_eq!(list(format!("party={stranger}")).await.sessions, []);
    for query in ["", "?party=x", "?party=", "?most=1"] {
        let refused = fixture.get(&format!("{SESSIONS_PATH}{query}")).await;
        assert_eq!(problem(&refused).1, "query", "{query}");
    }

    let kept: SessionKept = parsed(&fixture.get(&session_path(&first)).await);
    assert_eq!(session_digest(kept.record.as_slice()), first);
    assert_eq!(kept.policy.as_slice(), POLICY);
    for number in 1..=3 {
        fixture.tell(&first, &format!("announce {number}")).await;
    }
    fixture.tell(&first, "end 2 true receipt").await;
    let path = jobs_path(&first);
    let jobs: JobList = parsed(&fixture.get(&path).await);
    let states: Vec<_> = jobs
        .jobs
        .iter()
        .map(|job| (job.number, job.state))
        .collect();
    let running = JobState::Running;
    assert_eq!(states, [(1, running), (2, JobState::Done), (3, running)]);
    let page: JobList = parsed(&fixture.get(&format!("{path}?after=1&most=1")).await);
    assert_eq!((page.jobs[0].number, page.next), (2, Some(2)));
    let empty: JobList = parsed(&fixture.get(&jobs_path(&second)).await);
    assert_eq!(empty.jobs, []);
    let unknown = fixture.get(&jobs_path(&stranger)).await;
    assert_eq!(problem(&unknown).1, "unknown-session");

    // Their runtime goes.
    fixture.drop_peers().await;
    let over = async || -> SessionKept { parsed(&fixture.get(&session_path(&first)).await) };
    while over().await.state == SessionState::Open {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_note_reaches_whom_it_is_to_and_nobody_else_and_outlives_the_host() {
    let fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(POLICY).await;
    // A session in which something ran is remembered.
    fixture.tell(&session, "announce 1").await;
    let (path, cards) = (notes_path(&session), cards());
    let note = |to: Digest, body: &[u8]| {
        to_json(&PostNote {
            to,
            body: body.into(),
        })
    };
    let read = |to: Digest, query: &str| format!("{path}?to={to}{query}");
    let none: NoteList = parsed(&fixture.get(&read(cards[0], "")).await);
    assert_eq!((none.notes.len(), none.next), (0, 0));
    let waiting = read(cards[0], "&wait=30");
    let (waited, posted) = tokio::join!(fixture.get(&waiting), async {
        fixture
            .ask(Method::POST, &path, note(cards[0], b"one"))
            .await
    });
    assert_eq!(posted.status(), StatusCode::CREATED);
    let waited: NoteList = parsed(&waited);
    assert_eq!(
        (waited.notes[0].body.as_slice(), waited.next),
        (&b"one"[..], 1)
    );
    let other: NoteList = parsed(&fixture.get(&read(cards[1], "")).await);
    assert_eq!(other.notes, []);

    let stranger = Digest::of(b"a stranger's card");
    let unknown = fixture.ask(Method::POST, &path, note(stranger, b"x")).await;
    assert_eq!(
        problem(&unknown),
        (StatusCode::NOT_FOUND, "unknown-party".into())
    );
    assert_eq!(
        problem(&fixture.get(&read(stranger, "")).await).1,
        "unknown-party"
    );
    let missing = notes_path(&stranger);
    let unknown = fixture
        .ask(Method::POST, &missing, note(cards[0], b"x"))
        .await;
    assert_eq!(problem(&unknown).1, "unknown-session");
    let large = note(cards[0], &vec![7; MAX_NOTE_LEN + 1]);
    let refused = fixture.ask(Method::POST, &path, large).await;
    assert_eq!(
        problem(&refused),
        (StatusCode::PAYLOAD_TOO_LARGE, "too-large".into())
    );
    for body in ["", "{}", "[]", "{\"to\":\"x\",\"body\":\"\"}", "\u{0}"] {
        let refused = fixture.ask(Method::POST, &path, body).await;
        assert_eq!(problem(&refused).1, "request", "{body}");
    }

    let Fixture { host, folder, .. } = fixture;
    host.shutdown().await;
    let host = Host::start(config(folder.path())).await.unwrap();
    let again = Fixture::over(host, folder);
    let kept: NoteList = parsed(&again.get(&read(cards[0], "")).await);
    assert_eq!(kept.notes, waited.notes);
    let posted = again.ask(Method::POST, &path, note(cards[0], b"two")).await;
    let posted: NotePosted = parsed(&posted);
    assert_eq!(posted.number, 2);
}

/// Row 39: whoever listens for events without end takes no place from those who work.
#[tokio::test]
async fn streams_of_events_are_bounded_and_others_jobs_go_on() {
    let fixture = Fixture::with_peer().await;
    let (session, _) = fixture.open(b"policy").await;
    fixture.tell(&session, "announce 1").await;
    let path = events_path(&session, 1);
    let mut held = Vec::new();
    let mut refused = None;
    for _ in 0..600 {
        let mut listener = peer::Listening::open(&fixture.host.client_addresses()[0]).await;
        match listener.begin(build(Method::GET, &path, "")).await {
            StatusCode::OK => held.push(listener),
            status => {
                refused = Some(status);
                break;
            }
        }
    }
    assert_eq!(held.len(), 512);
    assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE));
    let answer = fixture.tell(&session, "still here").await;
    assert_eq!(answer.body()[..], *b"still here");
    drop(held);
    let document = fixture.get(OPENAPI_PATH).await;
    assert_eq!(document.status(), StatusCode::OK);
}

//! The host's queue: submissions wait for a place instead of being refused, in turns, over the end
//! of the host, and never longer than their runtime lives.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use mc2_client::session::Session;
use mc2_protocol::{
    Digest, Identity,
    documents::{
        control::{JobState, Problem},
        message::{Body, Cancel, Outcome, PendingAnswer},
    },
    encoding::Base64,
};
use mc2_tests::{Apart, Run, Stack, StackOptions, draft, messages, process};
use serde::Deserialize;

const HANGS: Duration = Duration::from_secs(240);

/// What the host says of a ticket.
#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum Ticket {
    Queued { position: usize },
    Answered { answer: Base64 },
}

#[derive(Deserialize)]
struct Given {
    ticket: String,
}

struct Answer {
    status: StatusCode,
    retry_after: Option<String>,
    body: Bytes,
}

impl Answer {
    fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).expect("a problem")
    }
}

async fn ask(
    socket: &Path,
    method: Method,
    path: String,
    party: Option<&Digest>,
    body: Vec<u8>,
) -> Answer {
    let stream = tokio::net::UnixStream::connect(socket)
        .await
        .expect("a host");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("a connection");
    let driver = tokio::spawn(connection);
    let mut request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "host");
    if let Some(party) = party {
        request = request.header("mc2-party", party.to_string());
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    let (parts, body) = sender
        .send_request(request)
        .await
        .expect("an answer")
        .into_parts();
    let body = body.collect().await.expect("its body").to_bytes();
    driver.abort();
    let retry_after = parts.headers.get(header::RETRY_AFTER);
    Answer {
        status: parts.status,
        retry_after: retry_after.map(|value| value.to_str().expect("text").to_owned()),
        body,
    }
}

/// A submission that waits for its answer.
struct Waiting {
    ticket: String,
    pending: PendingAnswer,
}

/// Hands a submission in.
async fn submit(
    socket: &Path,
    session: &Session<'_>,
    party: &Identity,
    sequence: u64,
    run: &Run,
) -> Result<Waiting, Answer> {
    let job = draft(session, run, &BTreeMap::new());
    let body = messages::submission(session, job.to_bytes());
    let (message, pending) = messages::sealed(session, party, sequence, &body);
    let path = format!("/v1/sessions/{}/jobs", session.appraised().digest());
    let card = party.card().digest();
    let answer = ask(socket, Method::POST, path, Some(card), message).await;
    if answer.status != StatusCode::ACCEPTED {
        return Err(answer);
    }
    let given: Given = serde_json::from_slice(&answer.body).expect("a ticket");
    Ok(Waiting {
        ticket: given.ticket,
        pending,
    })
}

/// What the host says of a ticket within `wait` seconds.
async fn look(socket: &Path, session: &Digest, ticket: &str, wait: u64) -> Result<Ticket, Answer> {
    let path = format!("/v1/sessions/{session}/tickets/{ticket}?wait={wait}");
    let answer = ask(socket, Method::GET, path, None, Vec::new()).await;
    if answer.status != StatusCode::OK {
        return Err(answer);
    }
    Ok(serde_json::from_slice(&answer.body).expect("a ticket"))
}

/// The number of the job that a submission became.
async fn number(socket: &Path, session: &Session<'_>, waiting: Waiting) -> u64 {
    let answered = async {
        loop {
            match look(socket, session.appraised().digest(), &waiting.ticket, 5).await {
                Ok(Ticket::Answered { answer }) => break answer,
                Ok(Ticket::Queued { .. }) => {}
                Err(answer) => panic!("{:?}", answer.body),
            }
        }
    };
    let answer = tokio::time::timeout(HANGS, answered)
        .await
        .expect("an answer");
    let answer = serde_json::from_slice(answer.as_slice()).expect("an answer");
    let key = session.appraised().signing_public_key();
    match waiting.pending.open(&answer, &key).expect("the enclave's") {
        Outcome::Submitted { number } => number,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_beyond_a_session_s_places_wait_and_none_is_refused_or_run_twice() {
    let stack = Stack::start().await;
    let (long, short) = (["sleep", "1000"], ["sleep", "0.2"]);
    let [long, short] = [long, short].map(|arguments| Run::of("hostile", &arguments));
    let session = stack.session(&long).await.expect("a session");
    let socket = stack.socket();
    let submitted = async |sequence, run| {
        let submitted = submit(&socket, &session, &stack.me, sequence, run).await;
        submitted.map_err(|answer| answer.body).expect("a ticket")
    };
    // All places are taken.
    for sequence in 0..4 {
        let one = submitted(sequence, &long).await;
        assert_eq!(number(&socket, &session, one).await, sequence + 1);
    }
    let mut waiting = Vec::new();
    for sequence in 4..24 {
        waiting.push(submitted(sequence, &short).await);
    }
    for one in &waiting {
        match look(&socket, session.appraised().digest(), &one.ticket, 0).await {
            Ok(Ticket::Queued { position }) => assert!(position < 20, "{position}"),
            _ => panic!("more ran at once than may"),
        }
    }
    for number in 1..=4 {
        let stop = Body::Cancel(Cancel { number });
        stack.say(&session, &stack.me, 100 + number, &stop).await;
    }
    let mut numbers = Vec::new();
    for one in waiting {
        numbers.push(number(&socket, &session, one).await);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (5..=24).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_full_queue_a_stranger_and_an_unknown_ticket_are_refused_by_name() {
    let stack = Stack::with(StackOptions {
        max_queued: 2,
        ..Default::default()
    })
    .await;
    let run = Run::of("hostile", &["sleep", "1000"]);
    let session = stack.session(&run).await.expect("a session");
    let socket = stack.socket();
    let full = loop {
        static SEQUENCE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let sequence = SEQUENCE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match submit(&socket, &session, &stack.me, sequence, &run).await {
            // Four run, and perhaps those are still on their way.
            Ok(_) if sequence < 6 => tokio::time::sleep(Duration::from_millis(300)).await,
            Ok(_) => panic!("a seventh"),
            Err(answer) => break answer,
        }
    };
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(full.problem().code, "queue-full");
    let again: u64 = full.retry_after.expect("when").parse().expect("seconds");
    assert!(again > 0);

    let stranger = mc2_tests::identity("stranger");
    let refused = submit(&socket, &session, &stranger, 0, &run).await;
    let refused = refused.err().expect("a stranger");
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.problem().code, "not-a-party");
    let digest = session.appraised().digest();
    let unknown = look(&socket, digest, &"0".repeat(32), 0).await.err();
    assert_eq!(unknown.expect("no ticket").problem().code, "unknown-ticket");
}

#[tokio::test]
async fn tickets_of_a_runtime_that_died_are_answered_at_once() {
    let stack = Stack::start().await;
    let run = Run::of("hostile", &["sleep", "100000"]);
    let session = stack.session(&run).await.expect("a session");
    let socket = stack.socket();
    let mut waiting = Vec::new();
    for sequence in 0..6 {
        let submitted = submit(&socket, &session, &stack.me, sequence, &run).await;
        waiting.push(submitted.map_err(|answer| answer.body).expect("a ticket"));
    }
    let digest = *session.appraised().digest();
    // Several are passed on at once, so any four of them may be the ones that found a place.
    let find = async {
        loop {
            let mut queued = Vec::new();
            for ticket in &waiting {
                let told = look(&socket, &digest, &ticket.ticket, 0).await;
                if matches!(told, Ok(Ticket::Queued { .. })) {
                    queued.push(&ticket.ticket);
                }
            }
            if let [first, _] = queued[..] {
                break first;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let queued = tokio::time::timeout(HANGS, find);
    let queued = queued.await.expect("four find a place");
    let told = look(&socket, &digest, queued, 30);
    let killing = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let [pid] = stack.runtimes().try_into().expect("one runtime");
        process::kill(pid);
    };
    let (told, ()) = tokio::join!(told, killing);
    let told = told.err().expect("a problem");
    assert_eq!(told.status, StatusCode::GONE);
    assert_eq!(told.problem().code, "session-over");
    // Nothing more is queued for it, and another session is served by another process.
    let refused = submit(&socket, &session, &stack.me, 9, &run).await.err();
    assert_eq!(refused.expect("over").problem().code, "session-over");
    let echo = Run::of("hostile", &["echo", "again"]);
    let again = stack.run(&echo).await.expect("a run");
    assert_eq!(again.stdout(), "again\n");
}

#[tokio::test]
async fn a_ticket_survives_a_host_that_is_killed() {
    let apart = Apart::start();
    let run = Run::of("hostile", &["sleep", "1"]);
    let socket = apart.socket();
    let (digest, tickets) = {
        let session = apart.session(&run).await;
        let mut tickets = Vec::new();
        for sequence in 0..6 {
            let submitted = submit(&socket, &session, &apart.me, sequence, &run).await;
            tickets.push(
                submitted
                    .map_err(|answer| answer.body)
                    .expect("a ticket")
                    .ticket,
            );
        }
        (*session.appraised().digest(), tickets)
    };
    apart.kill_host();
    apart.start_host();
    let ended = async {
        for ticket in &tickets {
            loop {
                match look(&socket, &digest, ticket, 1).await {
                    Ok(Ticket::Answered { .. }) => break,
                    Ok(Ticket::Queued { .. }) => {}
                    Err(answer) => panic!("{:?}", answer.body),
                }
            }
        }
        for number in 1..=6 {
            while apart.state(&digest, number).await != Some(JobState::Done) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    tokio::time::timeout(HANGS, ended)
        .await
        .expect("all six ran");
    assert_eq!(apart.state(&digest, 7).await, None, "one ran twice");
}

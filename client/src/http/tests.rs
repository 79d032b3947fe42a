//! Row 14 of the attacks in SECURITY.md: a hostile host answers, and the client gives up in time and in bounds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A host that reads a request and then does as `answer` says, for every connection.
async fn host<F, A>(answer: F) -> Client
where
    F: Fn(TcpStream) -> A + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    break;
                }
            }
            tokio::spawn(answer(stream));
        }
    });
    Client::new(address.parse().unwrap(), &Trust::System).unwrap()
}

/// A host that answers with these bytes and closes.
async fn saying(answer: &'static str) -> Client {
    host(move |mut stream| async move {
        // The client may have gone already.
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await
}

async fn get(client: &Client, limit: usize) -> Result<Answer, HttpError> {
    let call = Request::get("/x?secret=1".to_owned(), limit);
    client.send(&call.within(Duration::from_secs(2))).await
}

fn hostile(result: Result<Answer, HttpError>, reason: &str) {
    match result {
        Err(HttpError::Hostile {
            reason: found,
            doing,
        }) => {
            assert!(found.contains(reason), "{found}");
            assert_eq!(doing, "GET /x");
        }
        other => panic!("expected {reason}, got {other:?}"),
    }
}

#[tokio::test]
async fn a_host_that_has_enough_to_do_is_asked_again_when_it_says_and_not_for_ever() {
    const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 0\r\n\
                        connection: close\r\n\r\n";
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let client = host(move |mut stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let _ = stream.write_all(BUSY.as_bytes()).await;
        }
    })
    .await;
    let refused = get(&client, 10).await;
    assert!(matches!(
        refused,
        Err(HttpError::Refused { status: 429, .. })
    ));
    assert_eq!(asked.load(Ordering::Relaxed), ATTEMPTS);
    // What may not be repeated is not.
    let post = Request::post("/x".to_owned(), "{}", 10);
    assert!(client.send(&post).await.is_err());
    assert_eq!(asked.load(Ordering::Relaxed), ATTEMPTS + 1);
}

#[tokio::test]
async fn a_token_is_shown_with_each_request_and_what_is_none_is_refused_unseen() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let made = |token: &str| {
        Client::with_token(
            address.parse().unwrap(),
            &Trust::System,
            Some(OsStr::new(token)),
        )
    };
    for token in ["", "two words", "a\nb"] {
        let refused = made(token).err().unwrap();
        assert!(matches!(refused, ConnectError::Token), "{refused}");
        assert!(!refused.to_string().contains("two words"));
    }
    let client = made("tell-nobody").unwrap();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    get(&client, 5).await.unwrap();
    let asked = asked.await.unwrap();
    assert!(
        asked.contains("authorization: Bearer tell-nobody\r\n"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_good_answer_is_taken() {
    let client = saying("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    assert_eq!(get(&client, 5).await.unwrap().body, "hello");
}

#[tokio::test]
async fn an_answer_larger_than_asked_for_is_refused_whatever_it_announces() {
    let client = saying("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    hostile(get(&client, 4).await, "more than 4 bytes");
    let client = saying("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\nhello").await;
    hostile(get(&client, 1000).await, "more than 1000 bytes");
}

#[tokio::test]
async fn an_endless_answer_ends_at_its_limit() {
    let client = host(|mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut alive = stream.write_all(head.as_bytes()).await.is_ok();
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while alive {
            alive = stream.write_all(chunk.as_bytes()).await.is_ok();
        }
    })
    .await;
    hostile(get(&client, 1 << 20).await, "more than 1048576 bytes");
}

#[tokio::test]
async fn a_host_that_drips_runs_out_of_time() {
    let client = host(|mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
        let mut alive = stream.write_all(head.as_bytes()).await.is_ok();
        while alive {
            tokio::time::sleep(Duration::from_millis(50)).await;
            alive = stream.write_all(b"x").await.is_ok();
        }
    })
    .await;
    let call = Request::get("/x".to_owned(), 1000).within(Duration::from_millis(300));
    let started = std::time::Instant::now();
    let error = client.send(&call).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { .. }), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "a drip is not tried again"
    );
}

#[tokio::test]
async fn compressed_answers_and_redirects_are_refused() {
    let client =
        saying("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x0b")
            .await;
    hostile(get(&client, 100).await, "encoded as");
    let client =
        saying("HTTP/1.1 302 Found\r\nlocation: http://localhost/\r\ncontent-length: 0\r\n\r\n")
            .await;
    hostile(get(&client, 100).await, "redirect");
}

#[tokio::test]
async fn a_range_is_answered_whole_or_not_at_all() {
    let client = saying("HTTP/1.1 206 Partial\r\ncontent-length: 5\r\n\r\nhello").await;
    let call = |length| Request::part("/x".to_owned(), 0, length);
    assert!(client.send(&call(5)).await.is_ok());
    let error = client.send(&call(6)).await.unwrap_err();
    assert!(
        error.to_string().contains("5 bytes, 6 were asked for"),
        "{error}"
    );
}

#[tokio::test]
async fn a_refusal_is_told_without_control_characters_and_in_bounds() {
    let body = r#"{"type":"urn:mc2:problem:not-found","title":"Not found","status":404,"detail":"a\u001b[31mb\u0007c","code":"not-found","more":1}"#;
    let head = format!(
        "HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let client = saying(format!("{head}{body}").leak()).await;
    let error = get(&client, 100).await.unwrap_err();
    assert_eq!(error.code(), Some("not-found"));
    assert!(error.to_string().ends_with("a[31mbc"), "{error}");
    let client = saying("HTTP/1.1 404 Not Found\r\ncontent-length: 70000\r\n\r\n").await;
    hostile(get(&client, 100).await, "more than 65536 bytes");
}

#[tokio::test]
async fn what_broke_is_tried_again_only_where_that_is_safe() {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let client = host(move |mut stream| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move {
            if number % 3 == 2 {
                let good = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                let _ = stream.write_all(good.as_bytes()).await;
            }
        }
    })
    .await;
    assert_eq!(get(&client, 10).await.unwrap().body, "ok");
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    let call = Request::post("/x".to_owned(), "{}", 10);
    assert!(matches!(
        client.send(&call).await,
        Err(HttpError::Broken { .. })
    ));
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

//! Row 14: what the runtime takes of a host that is asked for bytes, connection by connection: heads,
//! lengths and times that are none.

use std::time::Duration;

use mc2_protocol::Digest;
use mc2_runtime::storage::{Storage, StorageError};
use mc2_wire::{
    Address,
    bulk::{ASK_LEN, Ask, Part, reply},
    routes::BULK_PROTOCOL,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
};

/// Row 14, by a clock that does not wait.
#[tokio::test(start_paused = true)]
async fn a_drip_is_given_up_after_a_bounded_time() {
    let folder = TempDir::new().expect("a folder");
    let socket = folder.path().join("host.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
                    .await;
                while stream.write_all(b".").await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            });
        }
    });
    let storage = Storage::new(Address::Unix(socket), mc2_protocol::encoding::Hex([0; 16]));
    match storage.get("/v1/objects/x/manifest", 1 << 20).await {
        Err(StorageError::TimedOut { seconds, .. }) => assert!(seconds <= 60, "{seconds}"),
        other => panic!("{other:?}"),
    }
}

/// Row 14: what a host may send where it was asked for bytes in bulk, by a clock that does not wait.
#[tokio::test(start_paused = true)]
async fn bulk_reads_of_other_lengths_and_statuses_and_drips_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let ask = Ask {
        object: Digest::of(b"an object"),
        part: Part::File,
        index: 0,
        offset: 0,
        length: 1000,
    };
    let whole = [&reply(206, 1000)[..], &[7; 1000]].concat();
    type Judge = fn(&StorageError) -> bool;
    let answers: [(&str, Vec<u8>, Judge); 7] = [
        (
            "other bytes first",
            b"HTTP/1.1 200 OK\r\n\r\n".repeat(9),
            |error| matches!(error, StorageError::Refused { .. }),
        ),
        ("one more", reply(206, 1001).to_vec(), |error| {
            matches!(error, StorageError::Cut { .. })
        }),
        ("all there are", reply(206, u32::MAX).to_vec(), |error| {
            matches!(error, StorageError::Cut { .. })
        }),
        ("none", reply(206, 0).to_vec(), |error| {
            matches!(error, StorageError::Cut { .. })
        }),
        ("another success", reply(200, 1000).to_vec(), |error| {
            matches!(error, StorageError::Refused { status: 200, .. })
        }),
        ("not there", reply(404, 0).to_vec(), |error| {
            matches!(error, StorageError::Missing { .. })
        }),
        (
            "a drip",
            whole,
            |error| matches!(error, StorageError::TimedOut { seconds, .. } if *seconds <= 60),
        ),
    ];
    for (number, (what, answer, expected)) in answers.into_iter().enumerate() {
        let socket = folder.path().join(format!("{number}.sock"));
        let listener = UnixListener::bind(&socket).expect("a socket");
        let drips = what == "a drip";
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.expect("a request"));
                    }
                    let switched = format!(
                        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                         upgrade: {BULK_PROTOCOL}\r\n\r\n"
                    );
                    let _ = stream.write_all(switched.as_bytes()).await;
                    let _ = stream.read_exact(&mut [0; ASK_LEN]).await;
                    for byte in answer {
                        let _ = stream.write_all(&[byte]).await;
                        if drips {
                            tokio::time::sleep(Duration::from_secs(5)).await;
                        }
                    }
                    tokio::time::sleep(Duration::from_secs(3600)).await;
                });
            }
        });
        let storage = Storage::new(Address::Unix(socket), mc2_protocol::encoding::Hex([0; 16]));
        let error = storage.read(&ask).await.expect_err(what);
        assert!(expected(&error), "{what}: {error}");
    }
}

/// Row 14.
#[tokio::test]
async fn heads_without_end_and_nonsense_are_refused() {
    let folder = TempDir::new().expect("a folder");
    for (number, answer) in [
        b"HTTP/1.1 200 OK\r\n".as_slice(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\ncontent-length: 20\r\n\r\n0123456789",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        &[0; 100],
        &b"HTTP/1.1 200 OK\r\nx: y\r\n"
            .iter()
            .chain(b"x: yyyyyyyyyyyyyyyyyyyy\r\n".repeat(100_000).iter())
            .copied()
            .collect::<Vec<u8>>(),
    ]
    .into_iter()
    .enumerate()
    {
        let socket = folder.path().join(format!("{number}.sock"));
        let listener = UnixListener::bind(&socket).expect("a socket");
        let answer = answer.to_vec();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&answer).await;
            }
        });
        let storage = Storage::new(Address::Unix(socket), mc2_protocol::encoding::Hex([0; 16]));
        let got = storage.get("/v1/objects/x/manifest", 1 << 20).await;
        assert!(got.is_err(), "answer {number}: {got:?}");
    }
}

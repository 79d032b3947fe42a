//! Row 39: one client floods the host with bodies that trickle in, bodies without end and
//! connections that do nothing; another's job goes on, from its inputs to its outputs.

use std::{path::PathBuf, time::Duration};

use mc2_protocol::encoding::Hex;
use mc2_tests::{Run, Stack};
use mc2_wire::routes::{SESSIONS_PATH, upload_file_path};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    task::JoinSet,
};

/// Attackers come back whenever the host has had enough of them, so a job that had to wait for
/// them would wait for ever.
const HANGS: Duration = Duration::from_secs(240);

/// What one attacker does on each of its connections.
#[derive(Clone, Copy)]
enum Attack {
    Idle,
    Trickle,
    Endless,
}

async fn attack(socket: PathBuf, kind: Attack, number: usize) {
    loop {
        let Ok(mut stream) = UnixStream::connect(&socket).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let upload = upload_file_path(&Hex([0xff; 16]), number, 0);
        let head = match kind {
            Attack::Idle => String::new(),
            Attack::Trickle if number.is_multiple_of(2) => {
                format!("POST {SESSIONS_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n\r\n")
            }
            Attack::Trickle => {
                format!("PUT {upload} HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n")
            }
            Attack::Endless => {
                format!("PUT {upload} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            }
        };
        let mut sent = stream.write_all(head.as_bytes()).await;
        let chunk = [b"8000\r\n".as_slice(), &[b'x'; 0x8000], b"\r\n"].concat();
        while sent.is_ok() {
            sent = match kind {
                Attack::Idle => stream
                    .read(&mut [0; 16])
                    .await
                    .and(Err(std::io::ErrorKind::UnexpectedEof.into())),
                Attack::Trickle => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    stream.write_all(b"x").await
                }
                Attack::Endless => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    stream.write_all(&chunk).await
                }
            };
        }
    }
}

#[tokio::test]
async fn a_job_goes_on_through_a_flood_of_another_client_s_making() {
    let stack = Stack::start().await;
    let mut attackers = JoinSet::new();
    for number in 0..600 {
        let kind = match number % 6 {
            0..4 => Attack::Trickle,
            4 => Attack::Idle,
            _ if number < 120 => Attack::Endless,
            _ => Attack::Idle,
        };
        attackers.spawn(attack(stack.socket(), kind, number));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let data: Vec<u8> = (0..9_000_000_u32)
        .map(|index| (index % 251) as u8)
        .collect();
    let run = Run::of("hostile", &["copy", "data", "result"])
        .input("data", data.clone())
        .output("result");
    let finished = tokio::time::timeout(HANGS, stack.run(&run)).await;
    let finished = finished.expect("the job stopped").expect("a receipt");
    assert_eq!(finished.reason(), "succeeded");
    assert!(finished.outputs["result"] == data);
}

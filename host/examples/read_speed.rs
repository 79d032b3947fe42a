//! How fast one connection reads a stored file from the page cache in ranges of 4 MiB.
//!
//! `cargo run --release -p mc2-host --example read_speed [GIB]`

use std::{
    error::Error,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use mc2_host::{Address, Host, HostConfig, Launcher};

const RANGE: u64 = 4 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let gib: u64 = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let length = gib << 30;
    let folder = tempfile::tempdir()?;
    let object = "0".repeat(64);
    let files = folder
        .path()
        .join("state/objects")
        .join(&object)
        .join("files");
    std::fs::create_dir_all(&files)?;
    let mut file = std::fs::File::create(files.join("0"))?;
    for _ in 0..length >> 20 {
        file.write_all(&[7; 1 << 20])?;
    }
    let unix = folder.path().join("runtime.sock");
    let config = HostConfig {
        runtime_listen: vec![Address::Unix(unix.clone()), "tcp:127.0.0.1:0".parse()?],
        ..HostConfig::new(folder.path().join("state"), Launcher::Connect)
    };
    let host = Host::start(config).await?;
    let path = format!("/v1/objects/{object}/files/0");

    for _ in 0..3 {
        let stored = files.join("0");
        let taken = tokio::task::spawn_blocking(move || copy_plainly(&stored, length)).await??;
        report("the kernel alone: pread, write, read", length, taken);
        let socket = UnixStream::connect(&unix)?;
        let asked = path.clone();
        let taken =
            tokio::task::spawn_blocking(move || read_plainly(socket, &asked, length)).await??;
        report("unix, plain reads", length, taken);
    }
    for _ in 0..3 {
        let stream = tokio::net::UnixStream::connect(&unix).await?;
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(1 << 20)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(connection);
        report(
            "unix, hyper",
            length,
            read_by_hyper(sender, &path, length).await?,
        );
    }
    let Some(Address::Tcp(address)) = host.runtime_addresses().get(1) else {
        return Err("no TCP address".into());
    };
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(1 << 20)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(connection);
    report(
        "tcp, hyper",
        length,
        read_by_hyper(sender, &path, length).await?,
    );
    host.shutdown().await;
    Ok(())
}

/// Wall time, and the time both sides spent on processors: that one tells something on a busy
/// machine, too.
type Taken = (Duration, Duration);

fn now() -> (Instant, Duration) {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    (
        Instant::now(),
        Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32),
    )
}

fn since((wall, cpu): (Instant, Duration)) -> Taken {
    (wall.elapsed(), now().1 - cpu)
}

fn report(what: &str, length: u64, (wall, cpu): Taken) {
    let gigabytes = length as f64 / 1e9;
    println!(
        "{what}: {:.2} GB/s, {:.2} s of both sides' CPU a GB",
        gigabytes / wall.as_secs_f64(),
        cpu.as_secs_f64() / gigabytes,
    );
}

/// What the machine does at this moment with no host at all: the figure to compare with.
fn copy_plainly(
    stored: &std::path::Path,
    length: u64,
) -> Result<Taken, Box<dyn Error + Send + Sync>> {
    let (mut from, mut to) = UnixStream::pair()?;
    let mut file = std::fs::File::open(stored)?;
    let started = now();
    let writer = std::thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                read => from.write_all(&buffer[..read])?,
            }
        }
    });
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < length {
        match to.read(&mut buffer)? {
            0 => return Err("the writer stopped early".into()),
            read => offset += read as u64,
        }
    }
    writer.join().map_err(|_| "the writer panicked")??;
    Ok(since(started))
}

/// The least a client can do: one buffer, one system call after another.
fn read_plainly(
    mut socket: UnixStream,
    path: &str,
    length: u64,
) -> Result<Taken, Box<dyn Error + Send + Sync>> {
    let started = now();
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < length {
        let last = offset + RANGE - 1;
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nhost: x\r\nrange: bytes={offset}-{last}\r\n\r\n"
        )?;
        let mut read = 0;
        let mut head = None;
        while head.is_none_or(|head| (read as u64) < RANGE + head) {
            let now = socket.read(&mut buffer)?;
            if now == 0 {
                return Err("the host hung up".into());
            }
            if head.is_none() {
                let end = buffer[..now]
                    .windows(4)
                    .position(|four| four == b"\r\n\r\n");
                head = Some(end.ok_or("no whole head in the first read")? as u64 + 4);
            }
            read += now;
        }
        offset += RANGE;
    }
    Ok(since(started))
}

async fn read_by_hyper(
    mut sender: hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
    path: &str,
    length: u64,
) -> Result<Taken, Box<dyn Error + Send + Sync>> {
    let started = now();
    let mut offset = 0;
    while offset < length {
        let request = Request::get(path)
            .header(header::HOST, "x")
            .header(
                header::RANGE,
                format!("bytes={offset}-{}", offset + RANGE - 1),
            )
            .body(Empty::new())?;
        sender.ready().await?;
        let mut body = sender.send_request(request).await?.into_body();
        while let Some(frame) = body.frame().await {
            offset += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
    }
    Ok(since(started))
}

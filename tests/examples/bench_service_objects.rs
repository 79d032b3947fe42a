//! A 2 GiB object to a host and back, against the same bytes to and from a file server of hyper alone:
//! a process of its own that writes each request's body to a file, and sends a file as a body.
//!
//! The bytes are in the page cache, both go over loopback, and both servers have stored what they took
//! before they say so. Downloads have one client; an upload goes to the host as the client library
//! sends it, in parts, and to the plain server as one body.

use std::{
    convert::Infallible,
    env,
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Empty, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use mc2_client::seal::{
    object::{LocalObject, seal_to_folder},
    source::Source,
};
use mc2_tests::{Apart, bench_row, identity, parse};
use mc2_wire::routes::file_path;
use tokio::{
    net::{TcpListener, TcpStream},
    task::spawn_blocking,
};

const LENGTH: u64 = 2 << 30;
const RUNS: usize = 3;
/// Bytes that are read from a file for a body at once.
const PIECE: u64 = 128 << 10;

type Sent = BoxBody<Bytes, std::io::Error>;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a tokio runtime");
    match env::args().nth(1) {
        Some(folder) => runtime.block_on(serve(PathBuf::from(folder))),
        None => runtime.block_on(measure()),
    }
}

async fn measure() {
    let folder = tempfile::tempdir().expect("a folder");
    let object = sealed(folder.path());
    let file = object.path().join("files/0");
    let length = fs::metadata(&file).expect("the sealed file").len();
    let plain = Plain::start(folder.path());

    let (mut up, mut down, mut plain_up, mut plain_down) = (vec![], vec![], vec![], vec![]);
    for _ in 0..RUNS {
        // Another host each time: one that has the object would know it.
        let apart = Apart::over_loopback();
        let upload = async {
            let stored = apart.remote.upload_sealed(&object, &|_| ()).await;
            stored.expect("an upload");
        };
        up.push(timed(upload).await);
        plain_up.push(timed(put(plain.address, &file)).await);
        let path = file_path(object.id(), 0);
        let got = async { assert_eq!(get(apart.port(), &path).await, length) };
        down.push(timed(got).await);
        let got = async { assert_eq!(get(plain.address, "/").await, length) };
        plain_down.push(timed(got).await);
    }
    report("upload", length, &mut up, &mut plain_up);
    report("download", length, &mut down, &mut plain_down);
}

async fn timed(what: impl Future<Output = ()>) -> Duration {
    let start = Instant::now();
    what.await;
    start.elapsed()
}

fn report(what: &str, length: u64, ours: &mut [Duration], plain: &mut [Duration]) {
    let rate = |times: &mut [Duration]| {
        times.sort();
        length as f64 / times[RUNS / 2].as_secs_f64()
    };
    let (ours, plain) = (rate(ours), rate(plain));
    let name = format!("{what} of a 2 GiB object");
    let part = ours / plain;
    bench_row(&name, "of a plain file server", part, Some(0.7), true);
    bench_row(&name, "GB/s", ours / 1e9, None, true);
    let name = format!("{name}, the plain file server");
    bench_row(&name, "GB/s", plain / 1e9, None, true);
}

/// 2 GiB, sealed, in a folder.
fn sealed(folder: &Path) -> LocalObject {
    let data = folder.join("data");
    let mut file = File::create(&data).expect("a file");
    for number in 0..LENGTH >> 20 {
        file.write_all(&[number as u8; 1 << 20]).expect("room");
    }
    let sealed = folder.join("data.sealed");
    let source = Source::scan(&data).expect("a source");
    let me = identity("me");
    seal_to_folder(&source, &parse("data"), me.card(), &sealed, &mut |_| ()).expect("sealed");
    fs::remove_file(&data).expect("own file");
    LocalObject::read(&sealed).expect("an object")
}

/// A request over a connection of its own.
async fn ask(to: SocketAddr, request: Request<Sent>) -> Response<Incoming> {
    let stream = TcpStream::connect(to).await.expect("a server");
    let io = TokioIo::new(stream);
    let connection = hyper::client::conn::http1::handshake(io).await;
    let (mut sender, driver) = connection.expect("a connection");
    tokio::spawn(driver);
    let answer = sender.send_request(request).await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    answer
}

async fn get(from: SocketAddr, path: &str) -> u64 {
    let empty = Empty::new().map_err(|never: Infallible| match never {});
    let request = Request::get(path).header("host", "host");
    let request = request.body(empty.boxed()).expect("a request");
    let mut body = ask(from, request).await.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.expect("more").data_ref().map_or(0, Bytes::len) as u64;
    }
    length
}

async fn put(to: SocketAddr, file: &Path) {
    let file = File::open(file).expect("the sealed file");
    let request = Request::put("/").header("host", "host");
    let request = request.body(body_of(file)).expect("a request");
    ask(to, request).await;
}

/// A file's bytes as a body.
fn body_of(file: File) -> Sent {
    let length = file.metadata().expect("a file").len();
    let file = Arc::new(file);
    let pieces = stream::unfold(0, move |offset| {
        let file = Arc::clone(&file);
        async move {
            let count = PIECE.min(length - offset);
            if count == 0 {
                return None;
            }
            let read = spawn_blocking(move || {
                let mut piece = vec![0; count as usize];
                file.read_exact_at(&mut piece, offset)?;
                Ok(Frame::data(Bytes::from(piece)))
            });
            Some((read.await.expect("it reads"), offset + count))
        }
    });
    StreamBody::new(pieces).boxed()
}

/// The plain file server's process.
struct Plain {
    child: Child,
    address: SocketAddr,
}

impl Plain {
    fn start(folder: &Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let own = env::current_exe().expect("this program");
        let mut command = Command::new(own);
        command.arg(folder).env("ADDRESS", address.to_string());
        let child = command.stdout(Stdio::null()).spawn().expect("a server");
        while std::net::TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, address }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn serve(folder: PathBuf) {
    let address = env::var("ADDRESS").expect("where to listen");
    let listener = TcpListener::bind(address).await.expect("a free port");
    let stored = folder.join("plain");
    loop {
        let (stream, _) = listener.accept().await.expect("a client");
        let stored = stored.clone();
        let service = service_fn(move |request| answer(stored.clone(), request));
        let connection = server::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // The client hung up.
            let _ = connection.await;
        });
    }
}

async fn answer(stored: PathBuf, request: Request<Incoming>) -> Result<Response<Sent>, Infallible> {
    if request.method() == Method::GET {
        let file = File::open(&stored).expect("what was put");
        return Ok(Response::new(body_of(file)));
    }
    let file = Arc::new(File::create(&stored).expect("a file"));
    let mut body = request.into_body();
    let mut offset = 0;
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.expect("more").into_data() else {
            continue;
        };
        let (file, at) = (Arc::clone(&file), offset);
        offset += bytes.len() as u64;
        let written = spawn_blocking(move || file.write_all_at(&bytes, at));
        written.await.expect("it writes").expect("room");
    }
    let stored = spawn_blocking(move || file.sync_all());
    stored.await.expect("it stores").expect("a disk");
    let empty = Empty::new().map_err(|never: Infallible| match never {});
    Ok(Response::new(empty.boxed()))
}

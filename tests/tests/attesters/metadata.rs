//! Azure's metadata service, as a VM over TDX asks it: it gives the quote of a TD's report.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::machine::Machine;

/// What is asked for the quote of a report with this report data: status and body.
pub(crate) type Answer = (u16, String);

/// A service that listens, until it is dropped.
pub(crate) struct Metadata {
    socket: PathBuf,
    asked: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Metadata {
    /// Starts the service of a machine.
    pub(crate) fn start(
        machine: &Machine,
        answer: impl Fn(&[u8; 64]) -> Answer + Send + 'static,
    ) -> Self {
        let mut socket = machine.root().as_os_str().to_owned();
        socket.push(".metadata");
        let socket = PathBuf::from(socket);
        let listener = UnixListener::bind(&socket).expect("a socket beside the machine");
        let (asked, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counted, ended) = (Arc::clone(&asked), Arc::clone(&over));
        let thread = thread::spawn(move || {
            for connection in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                // Who asked may be gone.
                let _ = connection.and_then(|connection| serve(connection, &answer));
            }
        });
        Self {
            socket,
            asked,
            over,
            thread: Some(thread),
        }
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.socket);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.socket);
    }
}

/// A good answer.
pub(crate) fn quoted(quote: &[u8]) -> Answer {
    let quote = URL_SAFE_NO_PAD.encode(quote);
    (200, json!({ "quote": quote }).to_string())
}

fn serve(connection: UnixStream, answer: &(impl Fn(&[u8; 64]) -> Answer + Send)) -> io::Result<()> {
    let mut reader = BufReader::new(&connection);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let is_path = line == "POST /acc/tdquote HTTP/1.1\r\n";
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim_end().to_ascii_lowercase();
        match header.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (status, body) = match report_data(&body).filter(|_| is_path) {
        Some(asked) => answer(&asked),
        None => (400, "{}".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status} so\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut connection = &connection;
    connection.write_all(head.as_bytes())?;
    connection.write_all(body.as_bytes())
}

/// What the TD's report in a request commits to.
fn report_data(body: &[u8]) -> Option<[u8; 64]> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let report = URL_SAFE_NO_PAD.decode(body["report"].as_str()?).ok()?;
    (report.len() == 1024).then(|| report[128..].first_chunk().copied())?
}

//! HTTP/1.1 to one place, over few connections, with nothing taken on trust.
//!
//! Every answer has a size it may not exceed, told before it is read, and a time it must come
//! within, which a slow drip does not stretch. Codings are refused. Whether an answer is good, and
//! whether asking again would help, is for whoever asked.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Response,
    body::{Body as _, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;

use crate::{Address, Stream};

/// Most bytes of an answer that is not 2xx: it explains itself in a few.
const MAX_REFUSAL: usize = 64 * 1024;
/// Idle connections that are kept.
const MAX_IDLE: usize = 8;
/// Bytes hyper gathers at once.
const BUFFER: usize = 1024 * 1024;

/// How connections are made.
pub trait Connect: Send + Sync {
    /// Why there is none.
    type Error: Send;

    /// Opens one.
    fn connect(&self) -> impl Future<Output = Result<Box<dyn Stream>, Self::Error>> + Send;
}

impl Connect for Address {
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Self::connect(self).await
    }
}

/// A connection, or several, to one place.
pub struct Client<C> {
    connector: C,
    host: HeaderValue,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// Headers besides `Host` and `Range`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The bytes asked for: the first, and how many.
    pub range: Option<(u64, u64)>,
    /// Its body.
    pub body: Bytes,
    /// Most bytes of a 2xx answer.
    pub limit: usize,
    /// How long the whole answer may take, the connection included.
    pub timeout: Duration,
}

/// An answer within its bounds, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: BytesMut,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure<E> {
    /// No connection.
    Connect(E),
    /// Whoever is there does not speak HTTP/1.1.
    Handshake(hyper::Error),
    /// The connection broke.
    Broken(hyper::Error),
    /// It took too long.
    TimedOut,
    /// It cannot be taken.
    Unacceptable(Unacceptable),
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unacceptable {
    /// It is longer than was asked for.
    TooLong {
        /// Most bytes that were accepted.
        limit: usize,
        /// The length it announced, if it did.
        announced: Option<u64>,
    },
    /// It is not the bytes as they are.
    Encoded(String),
}

impl<C: Connect> Client<C> {
    /// A client over `connector`, which sends `host` as the header of that name; nothing is
    /// connected yet.
    pub const fn new(connector: C, host: HeaderValue) -> Self {
        Self {
            connector,
            host,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// What it connects with.
    pub const fn connector(&self) -> &C {
        &self.connector
    }

    /// Sends a request once and reads its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn send(&self, request: &Request) -> Result<Answer, Failure<C::Error>> {
        tokio::time::timeout(request.timeout, self.exchange(request))
            .await
            .unwrap_or(Err(Failure::TimedOut))
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, Failure<C::Error>> {
        loop {
            let (mut connection, reused) = self.connection().await?;
            let response = match connection.send_request(self.head(request)).await {
                // An idle connection that was closed meanwhile: nothing was sent.
                Err(error) if reused && error.is_canceled() => continue,
                response => response.map_err(Failure::Broken)?,
            };
            let status = response.status();
            let limit = if status.is_success() {
                request.limit
            } else {
                MAX_REFUSAL
            };
            let body = read(response, limit).await?;
            self.keep(connection);
            return Ok(Answer { status, body });
        }
    }

    fn head(&self, asked: &Request) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(asked.body.clone()));
        *request.method_mut() = asked.method.clone();
        *request.uri_mut() = asked
            .path
            .parse()
            // Paths are made by `routes` of digests, names and numbers.
            .unwrap_or_else(|error| unreachable!("a path of the protocol: {error}"));
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        for (name, value) in &asked.headers {
            headers.insert(name, value.clone());
        }
        if let Some((first, count)) = asked.range {
            let range = format!("bytes={first}-{}", first + count - 1);
            let range = HeaderValue::try_from(range)
                // Digits, `=` and `-` alone.
                .unwrap_or_else(|_| unreachable!("ASCII text"));
            headers.insert(header::RANGE, range);
        }
        request
    }

    async fn connection(&self) -> Result<(SendRequest<Full<Bytes>>, bool), Failure<C::Error>> {
        loop {
            let Some(mut connection) = self.idle().pop() else {
                break;
            };
            if connection.ready().await.is_ok() {
                return Ok((connection, true));
            }
        }
        let stream = self.connector.connect().await.map_err(Failure::Connect)?;
        let (connection, driver) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Failure::Handshake)?;
        // It ends when its sender is dropped or the peer closes; an error reaches the request that
        // suffers from it.
        tokio::spawn(driver);
        Ok((connection, false))
    }

    fn keep(&self, connection: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE && !connection.is_closed() {
            idle.push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads at most `limit` bytes, refusing more before they are kept.
async fn read<E>(response: Response<Incoming>, limit: usize) -> Result<BytesMut, Failure<E>> {
    let coding = response.headers().get(header::CONTENT_ENCODING);
    if let Some(coding) = coding.filter(|coding| *coding != "identity") {
        let coding = format!("{coding:?}");
        return Err(Failure::Unacceptable(Unacceptable::Encoded(coding)));
    }
    let too_long = |announced| Failure::Unacceptable(Unacceptable::TooLong { limit, announced });
    let mut body = response.into_body();
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(too_long(Some(announced)));
    }
    let mut bytes = BytesMut::with_capacity(announced as usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Failure::Broken)?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > limit {
            return Err(too_long(None));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

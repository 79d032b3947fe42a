//! One HTTP/1.1 connection, and one request on it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::{
    client::conn::http1::{self, SendRequest},
    rt::{Read, Write},
};

use crate::{
    body::{Body, read},
    error::ExchangeError,
};

/// Most bytes of an answer that is not 2xx, or that has nothing to say: it explains itself in a
/// few.
const MAX_WORD: usize = 64 * 1024;
/// How long an answer may take unless said otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes hyper gathers at once.
const BUFFER: usize = 1024 * 1024;

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// Its body.
    pub body: Bytes,
    /// What its body is.
    pub content_type: Option<&'static str>,
    /// A header besides those of every request.
    pub header: Option<(HeaderName, HeaderValue)>,
    /// The bytes asked for: the first, and how many. An answer must have them all.
    pub range: Option<(u64, usize)>,
    /// Most bytes of a 2xx answer.
    pub limit: usize,
    /// How long the whole answer may take, the connection included.
    pub timeout: Duration,
    /// Whether it may be sent again when it is not known what came of it.
    pub repeatable: bool,
}

impl Request {
    /// A `GET` whose answer has at most `limit` bytes.
    pub fn get(path: String, limit: usize) -> Self {
        Self::new(Method::GET, path, Bytes::new(), limit)
    }

    /// A `POST` of JSON; not [`repeatable`](Self::repeatable).
    pub fn post(path: String, body: impl Into<Bytes>, limit: usize) -> Self {
        Self {
            content_type: Some("application/json"),
            repeatable: false,
            ..Self::new(Method::POST, path, body.into(), limit)
        }
    }

    /// A `PUT` of bytes.
    pub fn put(path: String, body: impl Into<Bytes>) -> Self {
        Self {
            content_type: Some("application/octet-stream"),
            ..Self::new(Method::PUT, path, body.into(), MAX_WORD)
        }
    }

    /// A `DELETE`.
    pub fn delete(path: String) -> Self {
        Self::new(Method::DELETE, path, Bytes::new(), MAX_WORD)
    }

    /// A `GET` of `length` bytes from `offset` on.
    pub fn part(path: String, offset: u64, length: usize) -> Self {
        Self {
            range: Some((offset, length)),
            ..Self::get(path, length)
        }
    }

    /// Waits this long for the whole answer, rather than a minute.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends this header, too.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    /// May be sent again: what it asks for is done once.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// What it asks, for people: digests and numbers, which whoever answers knows anyway.
    pub fn doing(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }

    const fn new(method: Method, path: String, body: Bytes, limit: usize) -> Self {
        Self {
            method,
            path,
            body,
            content_type: None,
            header: None,
            range: None,
            limit,
            timeout: TIMEOUT,
            repeatable: true,
        }
    }

    fn with(&self, headers: &HeaderMap) -> http::Request<Body> {
        let mut request = http::Request::new(Body(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self
            .path
            .parse()
            // Paths are made by `routes` of digests, names and numbers.
            .unwrap_or_else(|error| unreachable!("a path of the protocol: {error}"));
        *request.headers_mut() = headers.clone();
        let headers = request.headers_mut();
        let identity = HeaderValue::from_static("identity");
        headers.insert(header::ACCEPT_ENCODING, identity);
        if let Some(content_type) = self.content_type {
            let content_type = HeaderValue::from_static(content_type);
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        if let Some((name, value)) = &self.header {
            headers.insert(name, value.clone());
        }
        if let Some((first, count)) = self.range {
            let range = format!("bytes={first}-{}", first + count as u64 - 1);
            let range = HeaderValue::try_from(range)
                // Digits, `=` and `-` alone.
                .unwrap_or_else(|_| unreachable!("ASCII text"));
            headers.insert(header::RANGE, range);
        }
        request
    }
}

/// A connection to whoever answers on it.
pub struct Connection(SendRequest<Body>);

impl Connection {
    /// Speaks HTTP/1.1 over a stream, for as long as what comes back beside the connection is
    /// waited for.
    ///
    /// # Errors
    /// Whoever is there does not.
    pub async fn open<S: Read + Write + Send + Unpin + 'static>(
        stream: S,
    ) -> hyper::Result<(Self, impl Future<Output = hyper::Result<()>> + Send)> {
        let mut http = http1::Builder::new();
        let (sender, driver) = http.max_buf_size(BUFFER).handshake(stream).await?;
        Ok((Self(sender), driver))
    }

    /// Waits until it can take a request; `false` if it never will.
    pub async fn ready(&mut self) -> bool {
        self.0.ready().await.is_ok()
    }

    /// Whether it takes no more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Sends a request, with `headers` besides its own, and reads the answer. Sets no time limit:
    /// that is for whoever waits.
    ///
    /// # Errors
    /// [`ExchangeError`]; the connection is then good for nothing more.
    pub async fn send(
        &mut self,
        request: &Request,
        headers: &HeaderMap,
    ) -> Result<Answer, ExchangeError> {
        let response = self.0.send_request(request.with(headers)).await?;
        let status = response.status();
        let coding = response.headers().get(header::CONTENT_ENCODING);
        if let Some(coding) = coding.filter(|coding| *coding != "identity") {
            return Err(ExchangeError::Encoded(format!("{coding:?}")));
        }
        let (parts, body) = response.into_parts();
        let headers = parts.headers;
        let retry_after = retry_after(&headers);
        if !status.is_success() {
            let body = read(body, MAX_WORD).await?;
            return Ok(Answer {
                status,
                headers,
                retry_after,
                body,
            });
        }
        // Something else that went well is not what was asked for.
        let expected = match (&request.method, request.range) {
            (&Method::GET, None) => StatusCode::OK,
            (&Method::GET, Some(_)) if status != StatusCode::OK => StatusCode::PARTIAL_CONTENT,
            _ => status,
        };
        if status != expected {
            let found = status;
            return Err(ExchangeError::Status { expected, found });
        }
        let body = read(body, request.limit).await?;
        match (request.range, body.len()) {
            (Some((_, expected)), found) if found != expected => {
                Err(ExchangeError::Length { expected, found })
            }
            _ => Ok(Answer {
                status,
                headers,
                retry_after,
                body,
            }),
        }
    }
}

/// The seconds of `Retry-After`; as a date it says nothing here, for want of a clock to trust.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds: u32 = seconds.parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

/// An answer within its bounds, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, as they came.
    pub headers: HeaderMap,
    /// When to ask again, where it says so: the other side's word, of any length.
    pub retry_after: Option<Duration>,
    /// Its body.
    pub body: BytesMut,
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What comes of `request` where the other side says `answer` and hangs up.
    async fn asked(request: &Request, answer: &'static str) -> Result<Answer, ExchangeError> {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let (mut connection, driver) = Connection::open(TokioIo::new(ours)).await.unwrap();
        tokio::spawn(driver);
        tokio::spawn(async move {
            let read = theirs.read(&mut [0; 4096]).await.unwrap();
            assert!(read > 0, "a request comes before its answer");
            theirs.write_all(answer.as_bytes()).await.unwrap();
        });
        connection.send(request, &HeaderMap::new()).await
    }

    #[tokio::test]
    async fn a_success_is_taken_for_nothing_else_than_was_asked() {
        let whole = Request::get("/a".to_owned(), 100);
        let mut part = whole.clone();
        part.range = Some((0, 2));
        let full = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab";
        let partial = "HTTP/1.1 206 Partial Content\r\ncontent-length: 2\r\n\r\nab";
        let nothing = "HTTP/1.1 204 No Content\r\n\r\n";
        for (request, answer) in [(&whole, full), (&part, full), (&part, partial)] {
            assert_eq!(asked(request, answer).await.unwrap().body, "ab");
        }
        for (request, answer) in [(&whole, partial), (&whole, nothing), (&part, nothing)] {
            let error = asked(request, answer).await.unwrap_err();
            assert!(matches!(error, ExchangeError::Status { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn an_answer_says_when_to_ask_again() {
        let request = Request::get("/a".to_owned(), 100);
        let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\n\r\n";
        let answer = asked(&request, busy).await.unwrap();
        assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
        let dated = "HTTP/1.1 503 Service Unavailable\r\nretry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n";
        assert_eq!(asked(&request, dated).await.unwrap().retry_after, None);
    }

    #[tokio::test]
    async fn an_answer_that_ends_early_is_told_from_one_that_never_came() {
        let mut request = Request::get("/a".to_owned(), 100);
        let short = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab";
        let error = asked(&request, short).await.unwrap_err();
        assert!(matches!(error, ExchangeError::CutOff(_)), "{error}");
        let error = asked(&request, "").await.unwrap_err();
        assert!(matches!(error, ExchangeError::Broken(_)), "{error}");
        request.range = Some((0, 3));
        let other = "HTTP/1.1 206 Partial Content\r\ncontent-length: 2\r\n\r\nab";
        let error = asked(&request, other).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Length { .. }), "{error}");
    }
}

//! The runtime's side of the storage interface: hostile answers in, capped bytes out.
//!
//! Every answer has a size known or capped before it is read, a time limit that a slow drip cannot
//! stretch, and at most three tries where asking again is harmless. Nothing here is believed:
//! callers authenticate what they get.

use std::{sync::Mutex, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use mc2_protocol::{documents::storage::MAX_PART_LEN, encoding::Hex};

use crate::transport::HostAddress;

/// Tries of a request that is harmless to repeat.
const TRIES: u32 = 3;
/// Time any one request may take, to which its size adds a second per mebibyte.
const BASE_TIMEOUT: Duration = Duration::from_secs(30);
/// Idle connections that are kept.
const IDLE: usize = 8;

/// Header by which the host tells one runtime process from another.
pub const RUNTIME_ID_HEADER: &str = "mc2-runtime-id";

/// Why the host's storage was of no use. Says nothing of content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// No connection, or it broke.
    #[error("the host's storage could not be reached: {0}")]
    Unreachable(String),
    /// The answer took too long.
    #[error("the host did not answer {what} within {seconds} s")]
    TimedOut {
        /// Method and kind of request.
        what: String,
        /// The time allowed, in seconds.
        seconds: u64,
    },
    /// The host has no such thing.
    #[error("the host has no {what}")]
    Missing {
        /// What was asked for.
        what: String,
    },
    /// An answer that is not what was asked for.
    #[error("the host answered {what} with {found}, expected {expected}")]
    Unexpected {
        /// What was asked for.
        what: String,
        /// What an honest host would have answered.
        expected: String,
        /// What this one did.
        found: String,
    },
}

impl StorageError {
    /// Whether the same request may be answered well later: the host is not there, or has a
    /// fault of its own, such as a full disk.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Unexpected { found, .. } => found
                .parse()
                .ok()
                .and_then(|status| StatusCode::from_u16(status).ok())
                .is_some_and(|status| status.is_server_error()),
            Self::TimedOut { .. } | Self::Missing { .. } => false,
        }
    }
}

/// The host's storage, over a pool of HTTP/1.1 connections.
pub struct Storage {
    address: HostAddress,
    runtime_id: Hex<16>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Storage {
    /// Storage of the host at `address`; nothing is dialled yet.
    pub fn new(address: HostAddress, runtime_id: Hex<16>) -> Self {
        Self {
            address,
            runtime_id,
            idle: Mutex::default(),
        }
    }

    /// The host's address.
    pub fn address(&self) -> &HostAddress {
        &self.address
    }

    /// The number this process calls itself by.
    pub fn runtime_id(&self) -> Hex<16> {
        self.runtime_id
    }

    /// The whole of `path`, at most `limit` bytes.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn get(&self, path: &str, limit: usize) -> Result<Bytes, StorageError> {
        let mut failure = None;
        for _ in 0..TRIES {
            let answer = self
                .exchange(Method::GET, path, None, Bytes::new(), limit)
                .await;
            match answer {
                Ok((StatusCode::OK, body)) => return Ok(body),
                Ok((status, _)) => failure = Some(unexpected(path, "200", status)?),
                Err(error) => failure = Some(retryable(error)?),
            }
        }
        Err(failure.unwrap_or_else(|| unreachable!("at least one try")))
    }

    /// Exactly `length` bytes of `path` from byte `offset`; at most [`MAX_PART_LEN`].
    ///
    /// # Errors
    /// [`StorageError`]; fewer or more bytes are an error too.
    pub async fn get_range(
        &self,
        path: &str,
        offset: u64,
        length: usize,
    ) -> Result<BytesMut, StorageError> {
        assert!(
            length > 0 && length <= MAX_PART_LEN,
            "a part has 1 to {MAX_PART_LEN} bytes"
        );
        let range = format!("bytes={offset}-{}", offset + length as u64 - 1);
        let mut failure = None;
        for _ in 0..TRIES {
            match self.exchange_into(path, &range, length).await {
                Ok((StatusCode::PARTIAL_CONTENT, body)) if body.len() == length => {
                    return Ok(fitted(body));
                }
                Ok((StatusCode::PARTIAL_CONTENT, body)) => {
                    failure = Some(StorageError::Unexpected {
                        what: path.to_owned(),
                        expected: format!("{length} bytes"),
                        found: format!("{} bytes", body.len()),
                    });
                }
                Ok((status, _)) => failure = Some(unexpected(path, "206", status)?),
                Err(error) => failure = Some(retryable(error)?),
            }
        }
        Err(failure.unwrap_or_else(|| unreachable!("at least one try")))
    }

    /// Stores `body` under `path`; asking twice must be harmless.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn put(&self, path: &str, body: Bytes) -> Result<(), StorageError> {
        self.send(Method::PUT, path, body, TRIES).await.map(drop)
    }

    /// Sends `body` to `path` once and returns at most `limit` bytes of answer.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn post(&self, path: &str, body: Bytes) -> Result<Bytes, StorageError> {
        self.send(Method::POST, path, body, 1).await
    }

    /// Drops what is under `path`.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn delete(&self, path: &str) -> Result<(), StorageError> {
        self.send(Method::DELETE, path, Bytes::new(), TRIES)
            .await
            .map(drop)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        tries: u32,
    ) -> Result<Bytes, StorageError> {
        let mut failure = None;
        for _ in 0..tries {
            match self
                .exchange(method.clone(), path, None, body.clone(), 64 * 1024)
                .await
            {
                Ok((status, body)) if status.is_success() => return Ok(body),
                Ok((status, _)) => failure = Some(unexpected(path, "2xx", status)?),
                Err(error) => failure = Some(retryable(error)?),
            }
        }
        Err(failure.unwrap_or_else(|| unreachable!("at least one try")))
    }

    /// One request and its whole answer.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        range: Option<&str>,
        body: Bytes,
        limit: usize,
    ) -> Result<(StatusCode, Bytes), StorageError> {
        let (status, body) = self.exchange_raw(method, path, range, body, limit).await?;
        Ok((status, body.freeze()))
    }

    async fn exchange_into(
        &self,
        path: &str,
        range: &str,
        length: usize,
    ) -> Result<(StatusCode, BytesMut), StorageError> {
        self.exchange_raw(Method::GET, path, Some(range), Bytes::new(), length)
            .await
    }

    async fn exchange_raw(
        &self,
        method: Method,
        path: &str,
        range: Option<&str>,
        body: Bytes,
        limit: usize,
    ) -> Result<(StatusCode, BytesMut), StorageError> {
        let mebibytes = (limit.max(body.len()) >> 20) as u64;
        let timeout = BASE_TIMEOUT + Duration::from_secs(mebibytes);
        let what = format!("{method} {}", kind_of(path));
        tokio::time::timeout(timeout, async {
            let mut connection = self.connection().await?;
            let mut request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::HOST, "host")
                .header(RUNTIME_ID_HEADER, self.runtime_id.to_string());
            if let Some(range) = range {
                request = request.header(header::RANGE, range);
            }
            let request = request
                .body(Full::new(body))
                // Paths are made of digests and numbers, headers of digits.
                .unwrap_or_else(|error| unreachable!("own request: {error}"));
            let response = connection
                .send_request(request)
                .await
                .map_err(|error| StorageError::Unreachable(error.to_string()))?;
            let status = response.status();
            let body = read_body(response, limit, &what).await?;
            self.keep(connection).await;
            Ok((status, body))
        })
        .await
        .unwrap_or(Err(StorageError::TimedOut {
            what,
            seconds: timeout.as_secs(),
        }))
    }

    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, StorageError> {
        let unreachable = |error: &dyn std::fmt::Display| {
            StorageError::Unreachable(format!("{}: {error}", self.address))
        };
        loop {
            let idle = self
                .idle
                .lock()
                .unwrap_or_else(|error| error.into_inner())
                .pop();
            match idle {
                Some(mut connection) => {
                    if connection.ready().await.is_ok() {
                        return Ok(connection);
                    }
                }
                None => break,
            }
        }
        let stream = self
            .address
            .dial()
            .await
            .map_err(|error| unreachable(&error))?;
        let (connection, driver) = http1::Builder::new()
            .max_buf_size(1024 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(&error))?;
        tokio::spawn(async move {
            // An error here reaches the request that suffers from it.
            let _ = driver.await;
        });
        Ok(connection)
    }

    async fn keep(&self, connection: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(|error| error.into_inner());
        if idle.len() < IDLE {
            idle.push(connection);
        }
    }
}

/// Reads at most `limit` bytes, refusing more before they are kept.
async fn read_body(
    response: Response<Incoming>,
    limit: usize,
    what: &str,
) -> Result<BytesMut, StorageError> {
    let too_long = |found: String| StorageError::Unexpected {
        what: what.to_owned(),
        expected: format!("at most {limit} bytes"),
        found,
    };
    if let Some(encoding) = response.headers().get(header::CONTENT_ENCODING) {
        return Err(StorageError::Unexpected {
            what: what.to_owned(),
            expected: "bytes as they are".to_owned(),
            found: format!("content encoding {encoding:?}"),
        });
    }
    // An error answer explains itself in a few bytes nobody here reads.
    let limit = if response.status().is_success() {
        limit
    } else {
        64 * 1024
    };
    let mut body = response.into_body();
    let announced = hyper::body::Body::size_hint(&body).lower();
    if announced > limit as u64 {
        return Err(too_long(format!("{announced} bytes")));
    }
    let mut bytes = BytesMut::with_capacity(announced as usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| StorageError::Unreachable(error.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > limit {
            return Err(too_long("more".to_owned()));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// The bytes in an allocation of their length: a host that does not announce it makes a buffer grow
/// past it.
fn fitted(body: BytesMut) -> BytesMut {
    if body.capacity() > body.len() {
        return BytesMut::from(&body[..]);
    }
    body
}

/// A status that is an answer (missing, refused) ends the tries; a server error may pass.
fn unexpected(
    path: &str,
    expected: &str,
    status: StatusCode,
) -> Result<StorageError, StorageError> {
    let what = kind_of(path);
    if status == StatusCode::NOT_FOUND {
        return Err(StorageError::Missing { what });
    }
    let error = StorageError::Unexpected {
        what,
        expected: expected.to_owned(),
        found: status.as_u16().to_string(),
    };
    if status.is_server_error() {
        Ok(error)
    } else {
        Err(error)
    }
}

fn retryable(error: StorageError) -> Result<StorageError, StorageError> {
    match error {
        StorageError::Unreachable(_) => Ok(error),
        other => Err(other),
    }
}

/// The path without its query: digests and numbers the host knows anyway.
fn kind_of(path: &str) -> String {
    path.split('?').next().unwrap_or(path).to_owned()
}

//! The runtime's side of the storage interface: hostile answers in, capped bytes out.
//!
//! Every answer has a size known or capped before it is read, a time limit that a slow drip cannot
//! stretch, and at most three tries where asking again is harmless. Nothing here is believed:
//! callers authenticate what they get.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use hyper::{
    Method, StatusCode,
    header::{HeaderName, HeaderValue},
};
use mc2_protocol::{documents::storage::MAX_PART_LEN, encoding::Hex};
use mc2_wire::{Address, Answer, Client, Failure, Request, Unacceptable, headers};

/// Tries of a request that is harmless to repeat.
const TRIES: u32 = 3;
/// Time any one request may take, to which its size adds a second per mebibyte.
const BASE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of the answer to what is stored or sent.
const MAX_WORD: usize = 64 * 1024;
const RUNTIME_ID: HeaderName = HeaderName::from_static(headers::RUNTIME_ID);

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
    client: Client<Address>,
    runtime_id: Hex<16>,
    id_header: HeaderValue,
}

impl Storage {
    /// Storage of the host at `address`; nothing is dialled yet.
    pub fn new(address: Address, runtime_id: Hex<16>) -> Self {
        let id_header = HeaderValue::try_from(runtime_id.to_string())
            // Hexadecimal digits.
            .unwrap_or_else(|_| unreachable!("ASCII text"));
        Self {
            client: Client::new(address, HeaderValue::from_static("host")),
            runtime_id,
            id_header,
        }
    }

    /// The host's address.
    pub const fn address(&self) -> &Address {
        self.client.connector()
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
                Ok((StatusCode::OK, body)) => return Ok(body.freeze()),
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
        let range = Some((offset, length as u64));
        let mut failure = None;
        for _ in 0..TRIES {
            let answer = self.exchange(Method::GET, path, range, Bytes::new(), length);
            match answer.await {
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
            let answer = self
                .exchange(method.clone(), path, None, body.clone(), MAX_WORD)
                .await;
            match answer {
                Ok((status, body)) if status.is_success() => return Ok(body.freeze()),
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
        range: Option<(u64, u64)>,
        body: Bytes,
        limit: usize,
    ) -> Result<(StatusCode, BytesMut), StorageError> {
        let mebibytes = (limit.max(body.len()) >> 20) as u64;
        let timeout = BASE_TIMEOUT + Duration::from_secs(mebibytes);
        let what = format!("{method} {}", kind_of(path));
        let request = Request {
            method,
            path: path.to_owned(),
            headers: vec![(RUNTIME_ID, self.id_header.clone())],
            range,
            body,
            limit,
            timeout,
        };
        match self.client.send(&request).await {
            Ok(Answer { status, body }) => Ok((status, body)),
            Err(failure) => Err(self.explain(failure, what, timeout)),
        }
    }

    fn explain(
        &self,
        failure: Failure<io::Error>,
        what: String,
        timeout: Duration,
    ) -> StorageError {
        let address = self.address();
        let unexpected = |expected: String, found: String| StorageError::Unexpected {
            what: what.clone(),
            expected,
            found,
        };
        match failure {
            Failure::Connect(error) => StorageError::Unreachable(format!("{address}: {error}")),
            Failure::Handshake(error) => StorageError::Unreachable(format!("{address}: {error}")),
            Failure::Broken(error) => StorageError::Unreachable(error.to_string()),
            Failure::TimedOut => StorageError::TimedOut {
                what,
                seconds: timeout.as_secs(),
            },
            Failure::Unacceptable(Unacceptable::TooLong { limit, announced }) => {
                let found = announced.map_or("more".to_owned(), |length| format!("{length} bytes"));
                unexpected(format!("at most {limit} bytes"), found)
            }
            Failure::Unacceptable(Unacceptable::Encoded(coding)) => unexpected(
                "bytes as they are".to_owned(),
                format!("content encoding {coding}"),
            ),
        }
    }
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

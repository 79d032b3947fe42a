//! The runtime's side of the storage interface: hostile answers in, capped bytes out.
//!
//! Every answer has a size known or capped before it is read, a time limit that a slow drip cannot
//! stretch, and at most three tries where asking again is harmless. Nothing here is believed:
//! callers authenticate what they get.

use std::{io, sync::OnceLock, time::Duration};

use bytes::{Bytes, BytesMut};
use hyper::{
    StatusCode,
    header::{HOST, HeaderMap, HeaderName, HeaderValue},
};
use mc2_protocol::{documents::storage::MAX_PART_LEN, encoding::Hex};
use mc2_wire::{
    Address, Client, ExchangeError, Failure, Headers, Request,
    bulk::{Ask, BulkClient, BulkError},
    routes::RUNTIME_ID,
};

use crate::random;

/// What passes before a request that is harmless to repeat is tried for the second and the third
/// time.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(400)];
/// Time any one request may take, to which its size adds a second per mebibyte.
const BASE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of the answer to what is sent.
const MAX_WORD: usize = 64 * 1024;

/// The host's storage, over a pool of HTTP/1.1 connections.
pub struct Storage {
    client: Client<Address>,
    bulk: BulkClient,
    headers: Headers,
    runtime_id: Hex<16>,
}

impl Storage {
    /// Storage of the host at `address` for this process, which calls itself by one number.
    pub fn of(address: Address) -> Self {
        static OWN: OnceLock<Hex<16>> = OnceLock::new();
        Self::new(address, *OWN.get_or_init(|| Hex(random::bytes())))
    }

    /// Storage of the host at `address`; nothing is dialled yet.
    pub fn new(address: Address, runtime_id: Hex<16>) -> Self {
        let id = HeaderValue::try_from(runtime_id.to_string())
            // Hexadecimal digits.
            .unwrap_or_else(|_| unreachable!("ASCII text"));
        let headers = HeaderMap::from_iter([
            (HOST, HeaderValue::from_static("host")),
            (HeaderName::from_static(RUNTIME_ID), id),
        ]);
        Self {
            client: Client::new(address.clone(), headers.clone()),
            bulk: BulkClient::new(address, headers.clone()),
            headers,
            runtime_id,
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

    /// What every connection to the host begins with.
    pub(crate) const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The whole of `path`, at most `limit` bytes.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn get(&self, path: &str, limit: usize) -> Result<Bytes, StorageError> {
        let request = Request::get(path.to_owned(), limit);
        Ok(self.send(request).await?.freeze())
    }

    /// Exactly the bytes that are asked for, in an allocation of their length.
    ///
    /// # Errors
    /// [`StorageError`]; fewer or more bytes are an error too.
    pub async fn read(&self, ask: &Ask) -> Result<BytesMut, StorageError> {
        assert!(
            ask.length > 0 && ask.length as usize <= MAX_PART_LEN,
            "a part has 1 to {MAX_PART_LEN} bytes"
        );
        let timeout = time_for(ask.length as usize);
        tried(&PAUSES, || self.read_once(ask, timeout)).await
    }

    /// Stores `body` under `path`; asking twice must be harmless.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn put(&self, path: &str, body: Bytes) -> Result<(), StorageError> {
        self.send(Request::put(path.to_owned(), body)).await?;
        Ok(())
    }

    /// Sends `body` to `path` once and returns the short answer.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn post(&self, path: &str, body: Bytes) -> Result<Bytes, StorageError> {
        let request = Request::post(path.to_owned(), body, MAX_WORD);
        Ok(self.send(request).await?.freeze())
    }

    /// Drops what is under `path`.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn delete(&self, path: &str) -> Result<(), StorageError> {
        self.send(Request::delete(path.to_owned())).await?;
        Ok(())
    }

    async fn send(&self, request: Request) -> Result<BytesMut, StorageError> {
        let timeout = time_for(request.limit.max(request.body.len()));
        let request = request.within(timeout);
        let pauses: &[Duration] = if request.repeatable { &PAUSES } else { &[] };
        tried(pauses, || self.once(&request)).await
    }

    async fn once(&self, request: &Request) -> Result<BytesMut, StorageError> {
        let what = request.doing();
        let answer = match self.client.send(request).await {
            Ok(answer) => answer,
            Err(failure) => return Err(self.explain(failure, what, request.timeout)),
        };
        match answer.status {
            status if status.is_success() => Ok(answer.body),
            StatusCode::NOT_FOUND => Err(StorageError::Missing { what }),
            status => {
                let status = status.as_u16();
                Err(StorageError::Refused { what, status })
            }
        }
    }

    async fn read_once(&self, ask: &Ask, timeout: Duration) -> Result<BytesMut, StorageError> {
        let what = || ask.doing();
        self.bulk
            .read(ask, timeout)
            .await
            .map_err(|error| match error {
                BulkError::Connect(error) => {
                    StorageError::Unreachable(format!("{}: {error}", self.address()))
                }
                BulkError::Broken(error) => StorageError::Unreachable(error.to_string()),
                BulkError::TimedOut(timeout) => StorageError::TimedOut {
                    what: what(),
                    seconds: timeout.as_secs(),
                },
                BulkError::Status(404) => StorageError::Missing { what: what() },
                BulkError::Status(status) => StorageError::Refused {
                    what: what(),
                    status: u16::try_from(status).unwrap_or(u16::MAX),
                },
                BulkError::Length { .. } => StorageError::Cut {
                    what: what(),
                    reason: error.to_string(),
                },
            })
    }

    fn explain(
        &self,
        failure: Failure<io::Error>,
        what: String,
        timeout: Duration,
    ) -> StorageError {
        let address = self.address();
        match failure {
            Failure::Connect(error) => StorageError::Unreachable(format!("{address}: {error}")),
            Failure::Exchange(ExchangeError::Broken(error) | ExchangeError::CutOff(error)) => {
                StorageError::Unreachable(error.to_string())
            }
            Failure::Exchange(error @ ExchangeError::Length { .. }) => StorageError::Cut {
                what,
                reason: error.to_string(),
            },
            Failure::TimedOut => StorageError::TimedOut {
                what,
                seconds: timeout.as_secs(),
            },
            Failure::Exchange(error) => StorageError::Unacceptable {
                what,
                reason: error.to_string(),
            },
        }
    }
}

/// Why the host's storage was of no use. Says nothing of content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// No connection, or it broke.
    #[error("the host's storage could not be reached: {0}")]
    Unreachable(String),
    /// The answer took too long.
    #[error("the host did not answer {what} within {seconds} s")]
    TimedOut {
        /// Method and path of the request.
        what: String,
        /// The time allowed, in seconds.
        seconds: u64,
    },
    /// The host has no such thing.
    #[error("the host answered {what} with status 404: it has no such thing")]
    Missing {
        /// Method and path of the request.
        what: String,
    },
    /// The host said no.
    #[error("the host answered {what} with status {status}, expected success")]
    Refused {
        /// Method and path of the request.
        what: String,
        /// The status.
        status: u16,
    },
    /// Another length than was asked for, as of an answer that was cut on its way.
    #[error("the host's answer to {what} has another length: {reason}")]
    Cut {
        /// Method and path of the request.
        what: String,
        /// The lengths.
        reason: String,
    },
    /// An answer that is not what was asked for.
    #[error("the host's answer to {what} is not acceptable: {reason}")]
    Unacceptable {
        /// Method and path of the request.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl StorageError {
    /// Whether the same request may be answered well later: the host is not there, something cut
    /// its answer, or it has a fault of its own, such as a full disk.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Cut { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::TimedOut { .. } | Self::Missing { .. } | Self::Unacceptable { .. } => false,
        }
    }
}

/// Asks, and again after each of `pauses` while what was answered may pass.
async fn tried<T, A: Future<Output = Result<T, StorageError>>>(
    pauses: &[Duration],
    ask: impl Fn() -> A,
) -> Result<T, StorageError> {
    for pause in pauses {
        match ask().await {
            Err(error) if error.may_pass() => tokio::time::sleep(*pause).await,
            answer => return answer,
        }
    }
    ask().await
}

/// Time a request for or of so many bytes may take.
const fn time_for(bytes: usize) -> Duration {
    Duration::from_secs(BASE_TIMEOUT.as_secs() + (bytes >> 20) as u64)
}

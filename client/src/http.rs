//! The client's side of HTTP/1.1: one host, few connections, and nothing taken on trust.
//!
//! The host is hostile: every answer has a size it may not exceed and a time it must come within,
//! compressed answers and redirects are refused, and only requests that may be repeated are. TLS
//! protects the link, not the data: what matters is sealed and checked above.

mod address;
mod connect;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use mc2_protocol::documents::control::Problem;
use mc2_wire::{self as wire, Failure, Request, Unacceptable};

pub use address::{AddressError, HostAddress};
pub use connect::{ConnectError, Trust};

/// Largest problem description read, in bytes.
const MAX_PROBLEM: usize = 64 * 1024;
/// How often a request that may be repeated is tried.
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// A connection, or several, to one host.
pub struct Client {
    address: HostAddress,
    wire: wire::Client<connect::Connector>,
}

/// One request.
pub struct Call {
    method: Method,
    path: String,
    body: Bytes,
    content_type: Option<&'static str>,
    range: Option<(u64, u64)>,
    limit: usize,
    timeout: Duration,
    repeatable: bool,
}

/// A good answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status, 2xx.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke.
    #[error("the connection to the host {host} broke while {doing}")]
    Broken {
        /// The host.
        host: String,
        /// What was being asked.
        doing: String,
        /// What hyper said.
        source: hyper::Error,
    },
    /// Too slow.
    #[error("the host {host} did not answer within {} s while {doing}", timeout.as_secs())]
    Timeout {
        /// The host.
        host: String,
        /// What was being asked.
        doing: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// An answer that cannot be right.
    #[error("the host's answer to {doing} is not acceptable: {reason}")]
    Hostile {
        /// What was being asked.
        doing: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The host, or the runtime through it, said no. It is the host's word: unsigned.
    #[error("the host refused {doing} ({status}): {}", problem.message)]
    Refused {
        /// What was being asked.
        doing: String,
        /// The status code.
        status: u16,
        /// What it said.
        problem: Problem,
    },
}

impl HttpError {
    /// The stable word of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => Some(&problem.code),
            _ => None,
        }
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::Connect(error) => error.may_pass(),
            Self::Broken { .. } => true,
            Self::Refused { status, .. } => matches!(status, 502..=504),
            Self::Timeout { .. } | Self::Hostile { .. } => false,
        }
    }
}

impl Call {
    /// A `GET` whose answer has at most `limit` bytes.
    pub fn get(path: String, limit: usize) -> Self {
        Self::new(Method::GET, path, Bytes::new(), limit)
    }

    /// A `POST` of JSON.
    pub fn post(path: String, body: impl Into<Bytes>, limit: usize) -> Self {
        let mut call = Self::new(Method::POST, path, body.into(), limit);
        call.content_type = Some("application/json");
        call
    }

    /// A `PUT` of bytes.
    pub fn put(path: String, body: impl Into<Bytes>) -> Self {
        let mut call = Self::new(Method::PUT, path, body.into(), MAX_PROBLEM);
        call.content_type = Some("application/octet-stream");
        call
    }

    /// A `DELETE`.
    pub fn delete(path: String) -> Self {
        Self::new(Method::DELETE, path, Bytes::new(), MAX_PROBLEM)
    }

    /// Asks for the bytes `offset..offset + length` alone.
    pub fn range(mut self, offset: u64, length: u64) -> Self {
        self.range = Some((offset, length));
        self
    }

    /// May be sent again when the connection broke: the host does it once.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Waits this long for the whole answer, rather than a minute.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn new(method: Method, path: String, body: Bytes, limit: usize) -> Self {
        Self {
            repeatable: method != Method::POST,
            method,
            path,
            body,
            content_type: None,
            range: None,
            limit,
            timeout: Duration::from_secs(60),
        }
    }

    fn doing(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }

    fn request(&self) -> Request {
        let content_type = self.content_type.map(HeaderValue::from_static);
        let headers = content_type.map(|content_type| (header::CONTENT_TYPE, content_type));
        Request {
            method: self.method.clone(),
            path: self.path.clone(),
            headers: headers.into_iter().collect(),
            range: self.range,
            body: self.body.clone(),
            limit: self.limit,
            timeout: self.timeout,
        }
    }
}

impl Client {
    /// A client of the host at `address`; nothing is connected yet.
    ///
    /// # Errors
    /// TLS is wanted and the roots cannot be read.
    pub fn new(address: HostAddress, trust: &Trust) -> Result<Self, ConnectError> {
        let connector = connect::Connector::new(&address, trust)?;
        Ok(Self {
            wire: wire::Client::new(connector, address.host_header()),
            address,
        })
    }

    /// The host.
    pub const fn address(&self) -> &HostAddress {
        &self.address
    }

    /// Sends a request; all but `POST` are tried again when the connection broke.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn send(&self, call: &Call) -> Result<Answer, HttpError> {
        let attempts = if call.repeatable { ATTEMPTS } else { 1 };
        let mut pause = FIRST_PAUSE;
        for _ in 1..attempts {
            match self.once(call).await {
                Err(error) if error.may_pass() => {}
                answer => return answer,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.once(call).await
    }

    async fn once(&self, call: &Call) -> Result<Answer, HttpError> {
        let answer = self.wire.send(&call.request()).await;
        let wire::Answer { status, body } =
            answer.map_err(|failure| self.explain(call, failure))?;
        judge(call, status, body.freeze())
    }

    fn explain(&self, call: &Call, failure: Failure<ConnectError>) -> HttpError {
        let (host, doing) = (self.address.to_string(), call.doing());
        match failure {
            Failure::Connect(error) => error.into(),
            Failure::Handshake(source) => ConnectError::Handshake {
                address: host,
                source,
            }
            .into(),
            Failure::Broken(source) => HttpError::Broken {
                host,
                doing,
                source,
            },
            Failure::TimedOut => HttpError::Timeout {
                host,
                doing,
                timeout: call.timeout,
            },
            Failure::Unacceptable(Unacceptable::TooLong { limit, .. }) => HttpError::Hostile {
                doing,
                reason: format!("it has more than {limit} bytes"),
            },
            Failure::Unacceptable(Unacceptable::Encoded(coding)) => HttpError::Hostile {
                doing,
                reason: format!("it is encoded as {coding}"),
            },
        }
    }
}

fn judge(call: &Call, status: StatusCode, body: Bytes) -> Result<Answer, HttpError> {
    let hostile = |reason: String| HttpError::Hostile {
        doing: call.doing(),
        reason,
    };
    if !status.is_success() {
        if status.is_redirection() {
            return Err(hostile("it is a redirect, and none is followed".to_owned()));
        }
        let problem = serde_json::from_slice(&body).unwrap_or_else(|_| Problem {
            code: "unknown".to_owned(),
            message: "it said nothing more".to_owned(),
        });
        return Err(HttpError::Refused {
            doing: call.doing(),
            status: status.as_u16(),
            problem: clean(problem),
        });
    }
    if let Some((_, length)) = call.range {
        let whole = status == StatusCode::OK && body.len() as u64 == length;
        if status != StatusCode::PARTIAL_CONTENT && !whole {
            return Err(hostile("it is not the range that was asked for".to_owned()));
        }
        if body.len() as u64 != length {
            let found = body.len();
            return Err(hostile(format!(
                "it has {found} bytes, {length} were asked for"
            )));
        }
    }
    Ok(Answer { status, body })
}

/// What a host says is shown on a terminal, so it loses its control characters.
fn clean(problem: Problem) -> Problem {
    let printable = |text: String, most: usize| -> String {
        text.chars()
            .filter(|c| !c.is_control())
            .take(most)
            .collect()
    };
    Problem {
        code: printable(problem.code, 64),
        message: printable(problem.message, 2000),
    }
}

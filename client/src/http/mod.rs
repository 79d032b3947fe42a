//! The client's side of HTTP/1.1: one host, few connections, and nothing taken on trust.
//!
//! The host is hostile: every answer has a size it may not exceed and a time it must come within,
//! compressed answers and redirects are refused, and only requests that may be repeated are. TLS
//! protects the link, not the data: what matters is sealed and checked above.

mod address;
mod connect;
mod proxy;
mod service;
#[cfg(test)]
mod tests;

use std::{env, ffi::OsStr, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use mc2_protocol::documents::control::Problem;
use mc2_wire::{self as wire, ExchangeError, Failure};
pub use mc2_wire::{Answer, Request};

use crate::exit::Exit;

pub use address::{AddressError, HostAddress};
pub use connect::{ConnectError, Trust};
pub use proxy::{Proxy, ProxyError};
pub use service::{Patience, Service, ServiceError, ServiceUrl};

/// How often a request that may be repeated is tried.
const ATTEMPTS: u32 = 3;
/// The variable with a token for hosts that ask for one.
const TOKEN: &str = "MC2_TOKEN";
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause that a host is granted by its `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A connection, or several, to one host.
pub struct Client {
    address: HostAddress,
    wire: wire::Client<connect::Connector>,
}

impl Client {
    /// A client of the host at `address`; nothing is connected yet. Where the environment has a
    /// token in `MC2_TOKEN`, each request shows it.
    ///
    /// # Errors
    /// TLS is wanted and the roots cannot be read, or the token is none.
    pub fn new(address: HostAddress, trust: &Trust) -> Result<Self, ConnectError> {
        let token = env::var_os(TOKEN);
        Self::with_token(address, trust, token.as_deref())
    }

    fn with_token(
        address: HostAddress,
        trust: &Trust,
        token: Option<&OsStr>,
    ) -> Result<Self, ConnectError> {
        let connector = connect::Connector::new(&address, trust)?;
        let mut headers = HeaderMap::from_iter([(header::HOST, address.host_header())]);
        if let Some(token) = token {
            headers.insert(header::AUTHORIZATION, bearer(token)?);
        }
        Ok(Self {
            wire: wire::Client::new(connector, headers),
            address,
        })
    }

    /// The host.
    pub const fn address(&self) -> &HostAddress {
        &self.address
    }

    /// The good answer to a request, which is sent again, twice at most, where it is
    /// [`repeatable`](Request::repeatable) and the connection broke, or the host says when.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn send(&self, request: &Request) -> Result<Answer, HttpError> {
        let attempts = if request.repeatable { ATTEMPTS } else { 1 };
        let mut pause = FIRST_PAUSE;
        for _ in 1..attempts {
            let error = match self.once(request).await {
                Err(error) if error.may_pass() => error,
                answer => return answer,
            };
            let asked = error.retry_after().unwrap_or_default();
            tokio::time::sleep(asked.clamp(pause, LONGEST_PAUSE)).await;
            pause *= 2;
        }
        self.once(request).await
    }

    async fn once(&self, request: &Request) -> Result<Answer, HttpError> {
        match self.wire.send(request).await {
            Ok(answer) => judge(request, answer),
            Err(failure) => Err(self.explain(request, failure)),
        }
    }

    fn explain(&self, request: &Request, failure: Failure<ConnectError>) -> HttpError {
        let (host, doing) = (self.address.to_string(), request.doing());
        match failure {
            Failure::Connect(error) => error.into(),
            Failure::TimedOut => HttpError::Timeout {
                host,
                doing,
                timeout: request.timeout,
            },
            Failure::Exchange(ExchangeError::Broken(source) | ExchangeError::CutOff(source)) => {
                HttpError::Broken {
                    host,
                    doing,
                    source,
                }
            }
            Failure::Exchange(error) => HttpError::Hostile {
                doing,
                reason: error.to_string(),
            },
        }
    }
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
    #[error("the host refused {doing} ({status}): {}", problem.detail)]
    Refused {
        /// What was being asked.
        doing: String,
        /// The status code.
        status: u16,
        /// When it says to ask again: any time at all.
        retry_after: Option<Duration>,
        /// What it said.
        problem: Box<Problem>,
    },
}

impl HttpError {
    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Connect(error) => error.exit(),
            Self::Broken { .. } | Self::Timeout { .. } => Exit::HostUnreachable,
            Self::Hostile { .. } => Exit::ResultTampered,
            Self::Refused { problem, .. } => match problem.code.as_str() {
                "component-refused" => Exit::BadWorkload,
                "policy-refused" => Exit::PolicyRefused,
                "runtime-failed" | "runtime-gone" | "session-over" | "no-runtime"
                | "no-evidence" => Exit::RuntimeFailed,
                _ => Exit::Failed,
            },
        }
    }

    /// The stable word of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => Some(&problem.code),
            _ => None,
        }
    }

    /// When a host that refuses says to ask again: any time at all.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether trying again may help.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Connect(error) => error.may_pass(),
            Self::Broken { .. } => true,
            Self::Refused { status: 429, .. } => self.retry_after().is_some(),
            Self::Refused { status, .. } => matches!(status, 502..=504),
            Self::Timeout { .. } | Self::Hostile { .. } => false,
        }
    }
}

/// A token as a host takes it.
fn bearer(token: &OsStr) -> Result<HeaderValue, ConnectError> {
    let plain = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let text = token.to_str().filter(plain).ok_or(ConnectError::Token)?;
    let mut value =
        HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| ConnectError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

fn judge(request: &Request, answer: Answer) -> Result<Answer, HttpError> {
    let Answer { status, body, .. } = &answer;
    if status.is_success() {
        return Ok(answer);
    }
    let doing = request.doing();
    if status.is_redirection() {
        let reason = "it is a redirect, and none is followed".to_owned();
        return Err(HttpError::Hostile { doing, reason });
    }
    let status = status.as_u16();
    let problem = serde_json::from_slice(body)
        .unwrap_or_else(|_| Problem::new(status, "unknown", "it said nothing more"));
    Err(HttpError::Refused {
        doing,
        status,
        retry_after: answer.retry_after,
        problem: Box::new(clean(&problem)),
    })
}

/// What a host says is shown on a terminal, so it loses its control characters.
fn clean(problem: &Problem) -> Problem {
    let printable = |text: &str, most: usize| -> String {
        text.chars()
            .filter(|c| !c.is_control())
            .take(most)
            .collect()
    };
    Problem::new(
        problem.status,
        &printable(&problem.code, 64),
        printable(&problem.detail, 2000),
    )
}

//! A web service of somebody else's: not a host, and told nothing but what is asked.
//!
//! What it answers is as little trusted as a host's; whoever asks checks what counts in it. It is
//! asked again where that may help: such services limit how often they answer.

use std::{fmt, io, str::FromStr, time::Duration};

use http::{HeaderMap, StatusCode, header};
use mc2_wire::{self as wire, Answer, ExchangeError, Failure, Request};

use super::{
    AddressError, ConnectError, HostAddress, Trust,
    connect::Connector,
    proxy::{Proxy, ProxyError},
};

/// Where a service is: `https://NAME[:PORT][/PATH]`, or `http` for one on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUrl {
    address: HostAddress,
    name: String,
    /// What every path begins with, without a `/` at its end.
    base: String,
}

/// How patiently a service is asked.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often in all.
    pub attempts: u32,
    /// How long is paused before the second time; each next pause is twice as long.
    pub first_pause: Duration,
    /// The longest pause, whatever the service says.
    pub longest_pause: Duration,
    /// How long each answer may take.
    pub timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            timeout: Duration::from_secs(30),
        }
    }
}

/// A service that can be asked.
pub struct Service {
    url: ServiceUrl,
    patience: Patience,
    wire: wire::Client<Connector>,
}

impl Service {
    /// The service at `url`, through `proxy` or the one that the environment has for it; nothing is
    /// connected yet.
    ///
    /// # Errors
    /// [`ServiceError`]: the roots of TLS cannot be read, or the environment's proxy is none.
    pub fn new(
        url: ServiceUrl,
        trust: &Trust,
        proxy: Option<&Proxy>,
        patience: Patience,
    ) -> Result<Self, ServiceError> {
        let proxy = match proxy {
            Some(proxy) => Some(proxy.clone()),
            None => Proxy::from_environment(&url.name)?,
        };
        let connector = Connector::through(&url.address, trust, proxy)
            .map_err(|error| ServiceError::of_connection(url.to_string(), error))?;
        let headers = HeaderMap::from_iter([(header::HOST, url.address.host_header())]);
        Ok(Self {
            wire: wire::Client::new(connector, headers),
            url,
            patience,
        })
    }

    /// The good answer to `GET` of `path` below its address, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ServiceError`], once asking again helped nothing.
    pub async fn get(&self, path: &str, limit: usize) -> Result<Answer, ServiceError> {
        let request = Request::get(format!("{}{path}", self.url.base), limit);
        let request = request.within(self.patience.timeout);
        let mut pause = self.patience.first_pause;
        let mut left = self.patience.attempts.max(1);
        loop {
            left -= 1;
            let error = match self.once(&request, path).await {
                Err(error) if left > 0 && error.may_pass() => error,
                answer => return answer,
            };
            let asked = error.retry_after().unwrap_or_default();
            let longest = self.patience.longest_pause;
            tokio::time::sleep(asked.max(pause).min(longest)).await;
            pause = longest.min(pause * 2);
        }
    }

    async fn once(&self, request: &Request, path: &str) -> Result<Answer, ServiceError> {
        let url = format!("{}{path}", self.url);
        match self.wire.send(request).await {
            Ok(answer) if answer.status.is_success() => Ok(answer),
            Ok(Answer {
                status,
                retry_after,
                ..
            }) => Err(ServiceError::Status {
                url,
                status,
                retry_after,
            }),
            Err(Failure::Connect(error)) => Err(ServiceError::of_connection(url, error)),
            Err(Failure::TimedOut) => Err(ServiceError::Timeout {
                url,
                timeout: request.timeout,
            }),
            Err(Failure::Exchange(source)) => Err(ServiceError::Exchange { url, source }),
        }
    }
}

impl ServiceUrl {
    /// The name in it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same without these words at its end, where it has them: addresses are handed about with
    /// the beginning of a route or without.
    #[must_use]
    pub fn without(mut self, end: &str) -> Self {
        if let Some(base) = self.base.strip_suffix(end) {
            self.base = base.to_owned();
        }
        self
    }
}

impl FromStr for ServiceUrl {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let path = text.find("://").and_then(|scheme| {
            let rest = &text[scheme + 3..];
            rest.find('/').map(|path| scheme + 3 + path)
        });
        let (address, base) = text.split_at(path.unwrap_or(text.len()));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte);
        if !base.bytes().all(plain) {
            return Err(AddressError::of(text, "expected a path without a query"));
        }
        let address: HostAddress = address.parse()?;
        let HostAddress::Tcp { name, .. } = &address else {
            return Err(AddressError::of(
                text,
                "expected https://NAME[:PORT][/PATH]",
            ));
        };
        Ok(Self {
            name: name.clone(),
            base: base.trim_end_matches('/').to_owned(),
            address,
        })
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.address, self.base)
    }
}

/// Why a service gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The environment's proxy is none.
    #[error("the variable HTTPS_PROXY: {0}")]
    Proxy(#[from] ProxyError),
    /// It cannot be reached.
    #[error(
        "cannot reach {url}; where this machine is behind a proxy, name it with --proxy or in the \
         variable HTTPS_PROXY"
    )]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// No TLS connection.
    #[error("{url} has no certificate that is trusted here; name its authority with --ca FILE")]
    Tls {
        /// What was asked for.
        url: String,
        /// What rustls said.
        source: io::Error,
    },
    /// No connection can be made at all.
    #[error("cannot connect to {url}")]
    Connect {
        /// What was asked for.
        url: String,
        /// Why not.
        source: Box<ConnectError>,
    },
    /// Too slow.
    #[error("{url} did not answer within {} s", timeout.as_secs())]
    Timeout {
        /// What was asked for.
        url: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// No answer that can be taken.
    #[error("the answer of {url} cannot be taken")]
    Exchange {
        /// What was asked for.
        url: String,
        /// Why not.
        source: ExchangeError,
    },
    /// It said no.
    #[error(
        "{url} answered {status}{}",
        match status.as_u16() {
            404 => ": it knows nothing of that",
            429 => ": it is asked too often, so ask again later",
            401 | 403 => ": it wants to know who asks",
            _ => "",
        }
    )]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: StatusCode,
        /// When it says to ask again.
        retry_after: Option<Duration>,
    },
}

impl ServiceError {
    /// Whether it knows nothing of what was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    fn of_connection(url: String, error: ConnectError) -> Self {
        match error {
            ConnectError::Unreachable { source, .. } => Self::Unreachable { url, source },
            ConnectError::Tls { source, .. } => Self::Tls { url, source },
            source => Self::Connect {
                url,
                source: Box::new(source),
            },
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::Proxy(_) | Self::Connect { .. } | Self::Tls { .. } => false,
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Exchange { source, .. } => {
                matches!(source, ExchangeError::Broken(_) | ExchangeError::CutOff(_))
            }
            Self::Status { status, .. } => *status == 429 || status.is_server_error(),
        }
    }
}

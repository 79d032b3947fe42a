//! An HTTP proxy that connections go through, by `CONNECT` (RFC 9110 §9.3.6).

use std::{env, fmt, io, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Uri;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Most bytes of a proxy's answer.
const MAX_HEAD: usize = 8 * 1024;

/// A proxy, `http://[USER:PASSWORD@]NAME:PORT`.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    name: String,
    port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<String>,
}

/// Text that is no proxy's address. It is not shown: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a proxy as http://NAME:PORT or http://USER:PASSWORD@NAME:PORT")]
pub struct ProxyError;

impl Proxy {
    /// The proxy that the environment has for connections to `name`: `HTTPS_PROXY` or `https_proxy`,
    /// unless `NO_PROXY` or `no_proxy` has the name, a domain it is in, or `*`.
    ///
    /// # Errors
    /// [`ProxyError`].
    pub fn from_environment(name: &str) -> Result<Option<Self>, ProxyError> {
        Self::among(name, |variable| env::var(variable).ok())
    }

    fn among(
        name: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ProxyError> {
        let either = |one, other| variable(one).or_else(|| variable(other));
        let without = either("NO_PROXY", "no_proxy").unwrap_or_default();
        let excepted = without.split(',').map(str::trim).any(|domain| {
            let domain = domain.trim_start_matches('.');
            domain == "*"
                || (!domain.is_empty() && (name == domain || name.ends_with(&format!(".{domain}"))))
        });
        match either("HTTPS_PROXY", "https_proxy").filter(|proxy| !proxy.is_empty()) {
            Some(proxy) if !excepted => proxy.parse().map(Some),
            _ => Ok(None),
        }
    }

    /// A stream to `name` and `port` through it.
    pub(super) async fn connect(&self, name: &str, port: u16) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((self.name.as_str(), self.port)).await?;
        let host = match name.contains(':') {
            true => format!("[{name}]:{port}"),
            false => format!("{name}:{port}"),
        };
        let authorization = self
            .authorization
            .as_ref()
            .map_or_else(String::new, |value| {
                format!("Proxy-Authorization: {value}\r\n")
            });
        let request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        // Byte by byte: what follows the head is no longer the proxy's.
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() == MAX_HEAD {
                return Err(io::Error::other("the proxy's answer does not end"));
            }
            head.push(stream.read_u8().await?);
        }
        match status(&head) {
            Some(200..=299) => Ok(stream),
            Some(407) => Err(io::Error::other(
                "the proxy asks for a user and a password: http://USER:PASSWORD@NAME:PORT",
            )),
            Some(status) => Err(io::Error::other(format!(
                "the proxy answered {status} when it was asked for a connection to {host}"
            ))),
            None => Err(io::Error::other("the proxy does not speak HTTP/1.1")),
        }
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let uri: Uri = text.parse().map_err(|_| ProxyError)?;
        if uri.scheme_str() != Some("http") || !matches!(uri.path(), "" | "/") {
            return Err(ProxyError);
        }
        let authority = uri.authority().ok_or(ProxyError)?;
        let name = authority.host().trim_matches(['[', ']']);
        if name.is_empty() {
            return Err(ProxyError);
        }
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        Ok(Self {
            name: name.to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authorization: user.map(|user| format!("Basic {}", STANDARD.encode(user))),
        })
    }
}

/// Without user and password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy(http://{}:{})", self.name, self.port)
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|&byte| byte == b'\r').next()?;
    let rest = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
    rest.get(2..5)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_and_what_is_none_is_not_shown() {
        let proxy: Proxy = "http://me:secret@proxy:3128".parse().unwrap();
        assert_eq!((proxy.name.as_str(), proxy.port), ("proxy", 3128));
        // base64 of me:secret.
        assert_eq!(proxy.authorization.as_deref(), Some("Basic bWU6c2VjcmV0"));
        assert_eq!(format!("{proxy:?}"), "Proxy(http://proxy:3128)");
        for bad in [
            "",
            "proxy:3128",
            "https://proxy",
            "http://",
            "http://a/b",
            "socks5://a",
        ] {
            assert_eq!(bad.parse::<Proxy>(), Err(ProxyError), "{bad}");
        }
    }

    #[test]
    fn the_environment_names_a_proxy_and_what_goes_without() {
        let found = |without: &'static str, name| {
            let variable = move |variable: &str| match variable {
                "https_proxy" => Some("http://proxy:1".to_owned()),
                "NO_PROXY" => Some(without.to_owned()),
                _ => None,
            };
            Proxy::among(name, variable).unwrap().is_some()
        };
        assert!(found("", "intel.example"));
        assert!(found("other.example, amd.example", "intel.example"));
        assert!(!found("other.example, .intel.example", "api.intel.example"));
        assert!(!found("intel.example", "intel.example"));
        assert!(found("tel.example", "intel.example"), "another domain");
        assert!(!found("*", "intel.example"));
        assert_eq!(Proxy::among("a", |_| None), Ok(None));
        assert!(Proxy::among("a", |_| Some("nonsense".to_owned())).is_err());
    }
}

//! A host's address: `http://NAME:PORT`, `https://NAME:PORT` or `unix:PATH`.

use std::{fmt, path::PathBuf, str::FromStr};

use http::{HeaderValue, Uri};
use mc2_wire::Address;

/// Where a host listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostAddress {
    /// A TCP port, with or without TLS.
    Tcp {
        /// A name or an address, without brackets.
        name: String,
        /// The port.
        port: u16,
        /// Whether TLS is spoken.
        tls: bool,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// Text that is no host's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a host's address: {reason}")]
pub struct AddressError {
    found: String,
    reason: &'static str,
}

impl AddressError {
    /// What is wrong with `text`.
    pub(super) fn of(text: &str, reason: &'static str) -> Self {
        Self {
            found: text.chars().take(200).collect(),
            reason,
        }
    }
}

impl HostAddress {
    /// The value of the `Host` header.
    pub(super) fn host_header(&self) -> HeaderValue {
        let text = match self {
            Self::Tcp { name, port, .. } if name.contains(':') => format!("[{name}]:{port}"),
            Self::Tcp { name, port, .. } => format!("{name}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        };
        // `name` came from a parsed URI's authority.
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("localhost"))
    }
}

impl FromStr for HostAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refused = |reason| AddressError::of(text, reason);
        const EXPECTED: &str = "expected https://NAME:PORT, http://NAME:PORT or unix:PATH";
        if text.starts_with("unix:") {
            return match text.parse() {
                Ok(Address::Unix(path)) => Ok(Self::Unix(path)),
                _ => Err(refused("a socket's path has 1 to 107 bytes")),
            };
        }
        let uri: Uri = text.parse().map_err(|_| refused(EXPECTED))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refused(EXPECTED)),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(refused("a path after the port is not accepted"));
        }
        let authority = uri.authority().ok_or_else(|| refused(EXPECTED))?;
        if authority.as_str().contains('@') {
            return Err(refused("a user name is not accepted"));
        }
        let name = authority.host().trim_matches(['[', ']']).to_owned();
        if name.is_empty() {
            return Err(refused(EXPECTED));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self::Tcp { name, port, tls })
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { tls, .. } => {
                let scheme = if *tls { "https" } else { "http" };
                let host = self.host_header();
                write!(f, "{scheme}://{}", host.to_str().unwrap_or_default())
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text_and_others_are_refused() {
        for text in [
            "http://localhost:8080",
            "https://mc2.example.org:443",
            "http://[::1]:8080",
            "unix:/run/mc2.sock",
        ] {
            assert_eq!(text.parse::<HostAddress>().unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "x".repeat(200));
        for bad in [
            "",
            "localhost:80",
            "ftp://x",
            "https://",
            "https://a/b",
            "https://a?x",
            "unix:",
            "https://user@a",
            &long,
        ] {
            assert!(bad.parse::<HostAddress>().is_err(), "{bad}");
        }
    }
}

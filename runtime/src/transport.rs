//! How the runtime reaches its host: it dials one address, given at start.

use std::{fmt, io, net::SocketAddr, path::PathBuf, str::FromStr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::vsock;

/// Where the host listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A context id and port: how an enclave reaches its parent.
    Vsock {
        /// The context id.
        cid: u32,
        /// The port.
        port: u32,
    },
}

/// An address of another form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a host address: expected unix:PATH, tcp:IP:PORT or vsock:CID:PORT")]
pub struct AddressError {
    found: String,
}

/// A byte stream to the host.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl HostAddress {
    /// Opens one stream to the host.
    pub(crate) async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Vsock { cid, port } => Box::new(vsock::connect(*cid, *port).await?),
        })
    }
}

impl FromStr for HostAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Some(Self::Unix(path.into())),
            Some(("tcp", address)) => address.parse().ok().map(Self::Tcp),
            Some(("vsock", address)) => address.split_once(':').and_then(|(cid, port)| {
                Some(Self::Vsock {
                    cid: cid.parse().ok()?,
                    port: port.parse().ok()?,
                })
            }),
            _ => None,
        };
        parsed.ok_or_else(|| AddressError {
            found: text.to_owned(),
        })
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text_and_others_are_refused() {
        for text in [
            "unix:/run/mc2.sock",
            "tcp:127.0.0.1:8440",
            "tcp:[::1]:1",
            "vsock:3:5000",
        ] {
            assert_eq!(
                text.parse::<HostAddress>().map(|a| a.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["", "unix:", "/run/x", "tcp:host:1", "vsock:3", "http://x"] {
            assert!(text.parse::<HostAddress>().is_err(), "{text}");
        }
    }
}

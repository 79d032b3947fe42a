//! Where somebody listens: `unix:PATH`, `tcp:IP:PORT` or `vsock:CID:PORT`.

use std::{fmt, io, net::SocketAddr, path::PathBuf, str::FromStr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::vsock;

/// Longest path of a Unix socket that Linux takes, in bytes.
pub const MAX_UNIX_PATH: usize = 107;

/// An address as it stands on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket of this path, at most [`MAX_UNIX_PATH`] bytes.
    Unix(PathBuf),
    /// A TCP socket.
    Tcp(SocketAddr),
    /// A virtual machine socket: how an enclave reaches its parent.
    Vsock {
        /// Context id: 2 is the host, `u32::MAX` any.
        cid: u32,
        /// Port.
        port: u32,
    },
}

impl Connect for Address {
    type Error = io::Error;

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
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

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || match text.split_once(':')? {
            ("unix", path) if (1..=MAX_UNIX_PATH).contains(&path.len()) => {
                Some(Self::Unix(path.into()))
            }
            ("tcp", address) => address.parse().ok().map(Self::Tcp),
            ("vsock", address) => {
                let (cid, port) = address.split_once(':')?;
                Some(Self::Vsock {
                    cid: cid.parse().ok()?,
                    port: port.parse().ok()?,
                })
            }
            _ => None,
        };
        parse().ok_or_else(|| AddressError {
            found: text.chars().take(200).collect(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
        }
    }
}

/// How connections are made.
pub trait Connect: Send + Sync {
    /// Why there is none.
    type Error: Send;

    /// Opens one.
    fn connect(&self) -> impl Future<Output = Result<Box<dyn Stream>, Self::Error>> + Send;
}

/// A byte stream between two of them.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected unix:PATH with a path of at most {MAX_UNIX_PATH} bytes, tcp:IP:PORT or \
     vsock:CID:PORT, found {found:?}"
)]
pub struct AddressError {
    found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text_and_others_are_refused() {
        for text in [
            "unix:/run/mc2.sock",
            "tcp:127.0.0.1:80",
            "tcp:[::1]:80",
            "vsock:3:9000",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "unix:",
            &format!("unix:/{}", "x".repeat(MAX_UNIX_PATH)),
            "/run/x",
            "tcp:localhost",
            "tcp:host:1",
            "vsock:1",
            "http://x",
            "127.0.0.1:80",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}

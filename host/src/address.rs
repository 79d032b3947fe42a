//! Where a half of the system listens: `unix:PATH`, `tcp:IP:PORT` or `vsock:CID:PORT`.

use std::{fmt, io, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf, str::FromStr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};
use tokio_vsock::{VsockAddr, VsockListener};

/// Longest path of a Unix socket that Linux takes, in bytes.
const MAX_UNIX_PATH: usize = 107;
/// Bytes asked of the kernel as a socket's buffer; it gives what `net.core.wmem_max` allows.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// An address as it stands on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket of this path, at most 107 bytes.
    Unix(PathBuf),
    /// A TCP socket.
    Tcp(SocketAddr),
    /// A virtual machine socket.
    Vsock {
        /// Context id: 2 is the host, `u32::MAX` any.
        cid: u32,
        /// Port.
        port: u32,
    },
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected unix:PATH, tcp:IP:PORT or vsock:CID:PORT, found {found:?}")]
pub struct AddressError {
    found: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || match text.split_once(':')? {
            ("unix", path) if !path.is_empty() => Some(Self::Unix(path.into())),
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

/// A bound address. A Unix socket's file is removed when its listener goes.
pub(crate) enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
    Vsock(VsockListener, Address),
}

/// Any stream a listener accepts.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Listener {
    /// Binds `address`. A Unix socket that nobody listens on any more is replaced; its file is
    /// for this user only.
    pub(crate) fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Unix(path) => {
                if path.as_os_str().len() > MAX_UNIX_PATH {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!("a Unix socket's path has at most {MAX_UNIX_PATH} bytes"),
                    ));
                }
                if std::os::unix::net::UnixStream::connect(path)
                    .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
                {
                    std::fs::remove_file(path)?;
                }
                let listener = UnixListener::bind(path)?;
                let bound = Self::Unix(listener, path.clone());
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
                Ok(bound)
            }
            Address::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            Address::Vsock { cid, port } => VsockListener::bind(VsockAddr::new(*cid, *port))
                .map(|l| Self::Vsock(l, address.clone())),
        }
    }

    /// The address that was bound, with the port the system chose where port 0 was asked for.
    pub(crate) fn address(&self) -> io::Result<Address> {
        Ok(match self {
            Self::Unix(_, path) => Address::Unix(path.clone()),
            Self::Tcp(listener) => Address::Tcp(listener.local_addr()?),
            Self::Vsock(_, address) => address.clone(),
        })
    }

    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(listener, _) => {
                let stream = listener.accept().await?.0;
                // Larger buffers are a matter of speed alone, so a refusal is no error.
                let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SOCKET_BUFFER);
                Box::new(stream)
            }
            Self::Tcp(listener) => {
                let stream = listener.accept().await?.0;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Vsock(listener, _) => Box::new(listener.accept().await?.0),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text() {
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
            "tcp:localhost",
            "vsock:1",
            "http://x",
            "127.0.0.1:80",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}

//! Bound addresses.

use std::{io, os::unix::fs::PermissionsExt as _, path::PathBuf};

use mc2_wire::{Address, MAX_UNIX_PATH, Stream};
use tokio::net::{TcpListener, UnixListener};
use tokio_vsock::{VsockAddr, VsockListener};

use super::{Peer, bulk::Socket};

/// Bytes asked of the kernel as a socket's buffer; it gives what `net.core.wmem_max` allows.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// A bound address. A Unix socket's file is removed when its listener goes.
pub(crate) enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
    Vsock(VsockListener, Address),
}

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

    /// The next connection, the socket beneath it where that is asked for, and where it comes from.
    pub(crate) async fn accept(
        &self,
        socket: bool,
    ) -> io::Result<(Box<dyn Stream>, Option<Socket>, Peer)> {
        Ok(match self {
            Self::Unix(listener, _) => {
                let stream = listener.accept().await?.0;
                // Larger buffers are a matter of speed alone, so a refusal is no error.
                let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SOCKET_BUFFER);
                let socket = socket.then(|| Socket::of(&stream)).transpose()?;
                (Box::new(stream), socket, Peer::Local)
            }
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let socket = socket.then(|| Socket::of(&stream)).transpose()?;
                (Box::new(stream), socket, Peer::At(from.ip()))
            }
            Self::Vsock(listener, _) => {
                let stream = listener.accept().await?.0;
                let socket = socket.then(|| Socket::of(&stream)).transpose()?;
                (Box::new(stream), socket, Peer::Local)
            }
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

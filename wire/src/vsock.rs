//! A stream to a machine's parent over vsock: one system call that neither std nor tokio has.

use std::{io, os::unix::net::UnixStream as Stream};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType,
    addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque},
    connect as connect_to, socket_with,
};
use tokio::net::UnixStream;

/// Linux's `struct sockaddr_vm`.
#[repr(C)]
struct Address {
    family: u16,
    reserved: u16,
    port: u32,
    cid: u32,
    flags_and_zero: [u8; 4],
}

/// Opens a stream to a context id and port.
///
/// # Errors
/// The system's.
pub(crate) async fn connect(cid: u32, port: u32) -> io::Result<UnixStream> {
    let dial = move || -> io::Result<Stream> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::VSOCK, SocketType::STREAM, flags, None)?;
        let address = Address {
            family: AddressFamily::VSOCK.as_raw(),
            reserved: 0,
            port,
            cid,
            flags_and_zero: [0; 4],
        };
        connect_to(&socket, &address)?;
        // Reading, writing and shutting down are the same for every kind of stream socket.
        let stream = Stream::from(socket);
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let stream = tokio::task::spawn_blocking(dial)
        .await
        .map_err(io::Error::other)??;
    UnixStream::from_std(stream)
}

// SAFETY: the pointer is to a whole `sockaddr_vm` of 16 bytes, which begins with its family and
// lives until `f` returns, and the length is its own.
#[allow(unsafe_code)]
unsafe impl SocketAddrArg for Address {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        let length = size_of::<Self>() as SocketAddrLen;
        f(std::ptr::from_ref(self).cast(), length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_listens_and_that_is_an_error() {
        assert_eq!(size_of::<Address>(), 16);
        // Whether this machine has vsock or not.
        assert!(connect(1, 1).await.is_err());
    }
}

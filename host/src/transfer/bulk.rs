//! Bulk reads, answered by a thread for each connection: from the page cache straight into the
//! socket (protocol.md §9).

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use mc2_wire::bulk::{ASK_LEN, Ask, BYTES_FOLLOW, reply};
use rustix::{
    fs::sendfile,
    net::{
        Shutdown, shutdown,
        sockopt::{Timeout, set_socket_timeout},
    },
};

/// Bytes that are sent at once where the kernel cannot send a file.
const CHUNK: usize = 128 * 1024;

/// The socket beneath a connection.
#[derive(Clone)]
pub(crate) struct Socket(Arc<OwnedFd>);

/// The bytes that are there for a question.
pub(crate) enum Found {
    /// They are in a file.
    File(Opened),
    /// They are elsewhere: exactly what was asked for.
    Bytes(Bytes),
}

/// A file that questions are answered from.
pub(crate) struct Opened {
    pub(crate) file: File,
    /// How many bytes it has.
    pub(crate) length: u64,
}

impl Socket {
    /// The socket of a stream that was accepted.
    pub(crate) fn of(stream: impl AsFd) -> io::Result<Self> {
        Ok(Self(Arc::new(stream.as_fd().try_clone_to_owned()?)))
    }

    /// Answers questions until the peer hangs up, asks for something that is none, keeps silent
    /// for `idle` or takes nothing for `stall`. Blocks.
    ///
    /// # Errors
    /// The connection broke, or what was found could not be read.
    pub(crate) fn answer(
        &self,
        idle: Duration,
        stall: Duration,
        mut find: impl FnMut(&Ask) -> Result<Found, u32>,
    ) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&self.0, false)?;
        set_socket_timeout(&self.0, Timeout::Recv, Some(idle))?;
        set_socket_timeout(&self.0, Timeout::Send, Some(stall))?;
        let mut socket = File::from(self.0.try_clone()?);
        loop {
            let mut ask = [0; ASK_LEN];
            match socket.read(&mut ask)? {
                0 => return Ok(()),
                begun => socket.read_exact(&mut ask[begun..])?,
            }
            let Some(ask) = Ask::parse(&ask) else {
                let message = "the peer asked for nothing that there is";
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            };
            // Each time anew: what is there may be removed, or put back from a backup, meanwhile.
            match find(&ask) {
                Ok(Found::File(opened)) => send(&mut socket, &ask, &opened)?,
                Ok(Found::Bytes(bytes)) => {
                    socket.write_all(&reply(BYTES_FOLLOW, ask.length))?;
                    socket.write_all(&bytes)?;
                }
                Err(status) => socket.write_all(&reply(status, 0))?,
            }
        }
    }

    /// Ends the connection, and whoever answers on it.
    pub(crate) fn end(&self) {
        // It may have ended already.
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}

fn send(socket: &mut File, ask: &Ask, found: &Opened) -> io::Result<()> {
    let length = u64::from(ask.length);
    let end = ask.offset.checked_add(length);
    if end.is_none_or(|end| end > found.length) {
        let status = http::StatusCode::RANGE_NOT_SATISFIABLE.as_u16();
        return socket.write_all(&reply(status.into(), 0));
    }
    socket.write_all(&reply(BYTES_FOLLOW, ask.length))?;
    let (mut offset, mut left) = (ask.offset, ask.length as usize);
    while left > 0 {
        match sendfile(&*socket, &found.file, Some(&mut offset), left) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(sent) => left -= sent,
            Err(rustix::io::Errno::INTR) => {}
            // Not every file system and socket can.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                return copy(socket, &found.file, offset, left);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy(socket: &mut File, file: &File, mut offset: u64, mut left: usize) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let mut buffer = vec![0; left.min(CHUNK)];
    while left > 0 {
        let part = left.min(CHUNK);
        file.read_exact_at(&mut buffer[..part], offset)?;
        socket.write_all(&buffer[..part])?;
        offset += part as u64;
        left -= part;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use mc2_protocol::Digest;
    use mc2_wire::bulk::Part;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn ask(offset: u64, length: u32) -> [u8; ASK_LEN] {
        let object = Digest::of(b"an object");
        let part = Part::File;
        let index = 0;
        Ask {
            object,
            part,
            index,
            offset,
            length,
        }
        .to_bytes()
    }

    fn file(bytes: &[u8]) -> Found {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Found::File(Opened {
            file,
            length: bytes.len() as u64,
        })
    }

    #[test]
    fn questions_are_answered_with_their_bytes_or_a_status() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let there = bytes.clone();
        let answering = std::thread::spawn(move || {
            let mut found = 0;
            let ended = Socket::of(theirs).unwrap().answer(PATIENCE, PATIENCE, |_| {
                found += 1;
                Ok(file(&there))
            });
            (ended.is_ok(), found)
        });
        let mut head = [0; 8];
        for (offset, length) in [(0, 300_000), (299_999, 1), (7, 200_000)] {
            ours.write_all(&ask(offset, length)).unwrap();
            ours.read_exact(&mut head).unwrap();
            assert_eq!(head, reply(BYTES_FOLLOW, length));
            let mut got = vec![0; length as usize];
            ours.read_exact(&mut got).unwrap();
            assert_eq!(got, bytes[offset as usize..][..length as usize]);
        }
        for (offset, length) in [(300_000, 1), (0, 300_001), (u64::MAX, 2)] {
            ours.write_all(&ask(offset, length)).unwrap();
            ours.read_exact(&mut head).unwrap();
            assert_eq!(head, reply(416, 0));
        }
        drop(ours);
        // Each was looked for anew.
        assert_eq!(answering.join().unwrap(), (true, 6));
    }

    #[test]
    fn what_is_not_there_has_a_status_and_the_connection_goes_on() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let answering = std::thread::spawn(move || {
            let mut asked = 0;
            Socket::of(theirs).unwrap().answer(PATIENCE, PATIENCE, |_| {
                asked += 1;
                if asked == 1 {
                    Err(404)
                } else {
                    Ok(file(b"here"))
                }
            })
        });
        let mut head = [0; 8];
        ours.write_all(&ask(0, 4)).unwrap();
        ours.read_exact(&mut head).unwrap();
        assert_eq!(head, reply(404, 0));
        ours.write_all(&ask(0, 4)).unwrap();
        let mut whole = [0; 12];
        ours.read_exact(&mut whole).unwrap();
        assert_eq!(&whole[8..], b"here");
        // No question at all ends it.
        ours.write_all(&[0xff; ASK_LEN]).unwrap();
        assert!(answering.join().unwrap().is_err());
    }

    #[test]
    fn a_peer_that_keeps_silent_or_takes_nothing_is_left() {
        let short = Duration::from_millis(50);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let socket = Socket::of(theirs).unwrap();
        let silent = socket.answer(short, PATIENCE, |_| Ok(file(b"here")));
        assert!(silent.is_err());
        drop(ours);
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let socket = Socket::of(theirs).unwrap();
        let large = vec![0; 4 << 20];
        ours.write_all(&ask(0, 4 << 20)).unwrap();
        let stalled = socket.answer(PATIENCE, short, |_| Ok(file(&large)));
        assert!(stalled.is_err());
    }
}

//! Bulk reads: sealed bytes of objects over connections of their own (protocol.md §9).
//!
//! A job reads gibibytes in parts of a mebibyte. Over HTTP each part is copied into and out of
//! buffers of HTTP's own on both sides; here the host may send straight from its page cache, and
//! what arrives is read straight into the one buffer that is then checked and opened in place. The
//! connection begins as HTTP and is turned over to this by an upgrade.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{BufMut as _, BytesMut};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use mc2_protocol::{Digest, documents::storage::MAX_PART_LEN};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Semaphore,
};

use crate::{
    address::{Address, Connect as _},
    routes::{BULK_PATH, BULK_PROTOCOL},
    upgrade::{self, upgrade},
};

/// Status of an answer that has the bytes: HTTP's *Partial Content*.
pub const BYTES_FOLLOW: u32 = 206;
/// Length of a question, in bytes.
pub const ASK_LEN: usize = 52;
/// Length of what comes before an answer's bytes, in bytes.
pub const REPLY_LEN: usize = 8;

/// Connections at once, used and idle.
const CONNECTIONS: usize = 12;

/// What is read of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The sealed bytes of a file.
    File,
    /// The BLAKE3 digests of its segments.
    Digests,
}

impl Part {
    /// Its list's name in paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "files",
            Self::Digests => "digests",
        }
    }
}

/// A question: some bytes of a part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The object's id.
    pub object: Digest,
    /// Which of its two lists of parts.
    pub part: Part,
    /// Which of that list.
    pub index: u32,
    /// The first byte.
    pub offset: u64,
    /// How many, 1 to [`MAX_PART_LEN`].
    pub length: u32,
}

impl Ask {
    /// The question as it is sent: object id, 0 for sealed bytes or 1 for digests as a `u32`, index
    /// as a `u32`, offset as a `u64`, length as a `u32`; numbers are big-endian.
    pub fn to_bytes(&self) -> [u8; ASK_LEN] {
        let part: u32 = match self.part {
            Part::File => 0,
            Part::Digests => 1,
        };
        let mut bytes = [0; ASK_LEN];
        let mut rest = &mut bytes[..];
        rest.put_slice(self.object.as_bytes());
        rest.put_u32(part);
        rest.put_u32(self.index);
        rest.put_u64(self.offset);
        rest.put_u32(self.length);
        bytes
    }

    /// Reads a question; `None` where it is none.
    pub fn parse(bytes: &[u8; ASK_LEN]) -> Option<Self> {
        let number = |at: usize| bytes[at..at + 4].try_into().map(u32::from_be_bytes).ok();
        let part = match number(32)? {
            0 => Part::File,
            1 => Part::Digests,
            _ => return None,
        };
        let length = number(48)?;
        if length == 0 || length as usize > MAX_PART_LEN {
            return None;
        }
        Some(Self {
            object: Digest::from_bytes(bytes[..32].try_into().ok()?),
            part,
            index: number(36)?,
            offset: u64::from_be_bytes(bytes[40..48].try_into().ok()?),
            length,
        })
    }

    /// What it asks, for people.
    pub fn doing(&self) -> String {
        let part = match self.part {
            Part::File => "file",
            Part::Digests => "digests",
        };
        format!("reading {part} {} of object {}", self.index, self.object)
    }
}

/// What comes before an answer's bytes: a status as HTTP has them and how many bytes follow, both
/// big-endian `u32`s.
pub fn reply(status: u32, length: u32) -> [u8; REPLY_LEN] {
    let mut bytes = [0; REPLY_LEN];
    bytes[..4].copy_from_slice(&status.to_be_bytes());
    bytes[4..].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// No connection, or none that does this.
    #[error("{0}")]
    Connect(io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The host has no such bytes.
    #[error("status {0}")]
    Status(u32),
    /// It is another part than was asked for.
    #[error("it has {found} bytes, {expected} were asked for")]
    Length {
        /// How many bytes were asked for.
        expected: u32,
        /// How many it announced.
        found: u32,
    },
}

/// A client of bulk reads, over a few connections to one host.
///
/// An answer has exactly the bytes that were asked for, told before they are read, and a time it
/// must come within, which a slow drip does not stretch.
pub struct BulkClient {
    address: Address,
    headers: upgrade::Headers,
    places: Semaphore,
    idle: Mutex<Vec<TokioIo<Upgraded>>>,
}

impl BulkClient {
    /// A client that sends `headers` when it connects; nothing is connected yet.
    pub const fn new(address: Address, headers: upgrade::Headers) -> Self {
        Self {
            address,
            headers,
            places: Semaphore::const_new(CONNECTIONS),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// The bytes that were asked for, in an allocation of their length.
    ///
    /// # Errors
    /// [`BulkError`].
    pub async fn read(&self, ask: &Ask, timeout: Duration) -> Result<BytesMut, BulkError> {
        tokio::time::timeout(timeout, self.exchange(ask))
            .await
            .unwrap_or(Err(BulkError::TimedOut(timeout)))
    }

    async fn exchange(&self, ask: &Ask) -> Result<BytesMut, BulkError> {
        let place = self.places.acquire().await;
        // The semaphore is never closed.
        let _place = place.unwrap_or_else(|error| unreachable!("{error}"));
        while let Some(mut connection) = self.kept() {
            match self.ask(&mut connection, ask).await {
                // It was closed while it was idle, and another may be open.
                Err(Asked::Closed) => {}
                Err(Asked::Failed(error)) => return Err(error),
                Ok(answer) => return self.keep(connection, answer),
            }
        }
        let mut connection = self.connect().await.map_err(BulkError::Connect)?;
        match self.ask(&mut connection, ask).await {
            Err(Asked::Closed) => Err(BulkError::Broken(io::ErrorKind::UnexpectedEof.into())),
            Err(Asked::Failed(error)) => Err(error),
            Ok(answer) => self.keep(connection, answer),
        }
    }

    async fn connect(&self) -> io::Result<TokioIo<Upgraded>> {
        let stream = self.address.connect().await?;
        let upgraded = upgrade(stream, BULK_PATH, BULK_PROTOCOL, &self.headers).await?;
        Ok(TokioIo::new(upgraded))
    }

    async fn ask(&self, connection: &mut TokioIo<Upgraded>, ask: &Ask) -> Result<Answer, Asked> {
        let sent = connection.write_all(&ask.to_bytes()).await;
        sent.map_err(|_| Asked::Closed)?;
        let mut head = [0; REPLY_LEN];
        match connection.read(&mut head).await {
            Ok(0) | Err(_) => return Err(Asked::Closed),
            Ok(begun) => connection.read_exact(&mut head[begun..]).await,
        }
        .map_err(BulkError::Broken)?;
        let (status, length) = head.split_at(REPLY_LEN / 2);
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_be_bytes);
        let (status, found) = (number(status), number(length));
        if status != BYTES_FOLLOW {
            return match found {
                // The connection is good for more.
                0 => Ok(Answer::Status(status)),
                _ => Err(BulkError::Status(status).into()),
            };
        }
        if found != ask.length {
            let expected = ask.length;
            return Err(BulkError::Length { expected, found }.into());
        }
        let mut bytes = BytesMut::with_capacity(found as usize);
        while bytes.len() < found as usize {
            let rest = found as usize - bytes.len();
            let read = connection.read_buf(&mut (&mut bytes).limit(rest)).await;
            if read.map_err(BulkError::Broken)? == 0 {
                return Err(BulkError::Broken(io::ErrorKind::UnexpectedEof.into()).into());
            }
        }
        Ok(Answer::Bytes(bytes))
    }

    fn kept(&self) -> Option<TokioIo<Upgraded>> {
        self.idle().pop()
    }

    fn keep(&self, connection: TokioIo<Upgraded>, answer: Answer) -> Result<BytesMut, BulkError> {
        self.idle().push(connection);
        match answer {
            Answer::Bytes(bytes) => Ok(bytes),
            Answer::Status(status) => Err(BulkError::Status(status)),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<TokioIo<Upgraded>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer after which the connection is good for more.
enum Answer {
    Bytes(BytesMut),
    Status(u32),
}

/// Why there is none.
enum Asked {
    /// The connection ended before anything of it came.
    Closed,
    /// The connection is good for nothing more.
    Failed(BulkError),
}

impl From<BulkError> for Asked {
    fn from(error: BulkError) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_survive_their_bytes_and_others_are_none() {
        let ask = Ask {
            object: Digest::of(b"an object"),
            part: Part::Digests,
            index: 0x0102_0304,
            offset: 0x0102_0304_0506_0708,
            length: 1,
        };
        let bytes = ask.to_bytes();
        assert_eq!(Ask::parse(&bytes), Some(ask));
        assert_eq!(
            bytes[32..],
            [0, 0, 0, 1, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1]
        );
        let altered = |at: usize, byte: u8| {
            let mut bytes = bytes;
            bytes[at] = byte;
            Ask::parse(&bytes)
        };
        assert_eq!(altered(35, 2), None, "no such part");
        assert_eq!(altered(51, 0), None, "no bytes");
        assert_eq!(altered(48, 1), None, "more than a part");
    }
}

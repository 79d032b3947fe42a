//! Bytes at any place, and files read front to back through them.

use std::io;

/// Bytes that can be read at any place, any number of times.
pub trait ReadAt {
    /// How many there are.
    fn size(&self) -> u64;

    /// Reads at `offset`, at most `buffer.len()` bytes, and says how many; 0 is the end.
    ///
    /// # Errors
    /// Reading fails.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the bytes end before, or reading fails.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = buffer.get_mut(read..).unwrap_or_default();
                    offset = offset.saturating_add(read as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..))
            .unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// The bytes at `offset`, refused before anything is allocated where the file has not so many.
pub(crate) fn read_vec(
    bytes: &dyn ReadAt,
    offset: u64,
    length: u64,
    into: &mut Vec<u8>,
) -> io::Result<()> {
    let fits = offset
        .checked_add(length)
        .is_some_and(|end| end <= bytes.size());
    let (true, Ok(length)) = (fits, usize::try_from(length)) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    into.resize(length, 0);
    bytes.read_exact_at(into, offset)
}

/// A window over bytes that moves from their start to their end.
pub(crate) struct Window {
    buffer: Vec<u8>,
    /// What of the buffer was consumed.
    start: usize,
    /// Where in the file the buffer ends.
    offset: u64,
    ended: bool,
}

/// How much is asked for at once.
const BLOCK: usize = 1 << 20;

impl Window {
    pub(crate) fn new() -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            ended: false,
        }
    }

    /// What was read and not consumed.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Whether there is nothing after [`rest`](Self::rest).
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Consumes the first `count` bytes of the rest.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.buffer.len());
    }

    /// Makes the rest longer, if the file is.
    pub(crate) fn grow(&mut self, bytes: &dyn ReadAt) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let held = self.buffer.len();
        // Of a small file no more than it has, and a byte by which its end is noticed.
        let left = bytes.size().saturating_sub(self.offset).saturating_add(1);
        self.buffer
            .resize(held + left.min(BLOCK as u64) as usize, 0);
        let mut filled = held;
        while filled < self.buffer.len() {
            match bytes.read_at(&mut self.buffer[filled..], self.offset) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(read) => {
                    filled += read;
                    self.offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}

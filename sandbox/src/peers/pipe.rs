//! Bytes on their way from one instance to another.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use super::Side;
use crate::files::Gone;
use crate::limits::PEER_BYTES;

/// Shorter writes are put together, so that a byte costs a byte.
const SMALL: usize = 4 << 10;

/// A bounded queue of bytes with a place to wait at each end.
#[derive(Default)]
pub(super) struct Pipe {
    chunks: VecDeque<Bytes>,
    /// What follows `chunks`, at most [`SMALL`] bytes.
    small: BytesMut,
    bytes: usize,
    writers: usize,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    /// Another writer; none may come once the last one has gone.
    pub(super) fn open(&mut self) -> Result<(), Gone> {
        if self.closed {
            return Err(Gone);
        }
        self.writers += 1;
        Ok(())
    }

    /// One writer less; says whether it was the last.
    pub(super) fn release(&mut self) -> bool {
        self.writers -= 1;
        self.closed |= self.writers == 0;
        self.writers == 0
    }

    /// Nothing more will be written.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn has_data(&self) -> bool {
        self.bytes > 0
    }

    /// Bytes that may be pushed now. It is one more than the capacity leaves, because WASI calls
    /// a write flushed once the next byte has room: whoever writes no more than the capacity
    /// never waits.
    pub(super) fn room(&self) -> usize {
        PEER_BYTES + 1 - self.bytes
    }

    /// Takes bytes, no more than [`room`](Self::room) allows.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        if bytes.len() >= SMALL {
            self.settle();
            self.chunks.push_back(bytes);
            return;
        }
        if self.small.len() + bytes.len() > SMALL {
            self.settle();
        }
        self.small.extend_from_slice(&bytes);
    }

    /// Up to `len` bytes, where there are any.
    pub(super) fn pop(&mut self, len: usize) -> Option<Bytes> {
        if self.chunks.is_empty() {
            self.settle();
        }
        let first = self.chunks.front_mut()?;
        let bytes = first.split_to(len.min(first.len()));
        if first.is_empty() {
            self.chunks.pop_front();
        }
        self.bytes -= bytes.len();
        Some(bytes)
    }

    /// Forgets what nobody will read.
    pub(super) fn clear(&mut self) {
        self.chunks.clear();
        self.small = BytesMut::new();
        self.bytes = 0;
    }

    /// Whoever waits at this end.
    pub(super) fn waiting(&mut self, side: Side) -> &mut Option<Waker> {
        match side {
            Side::Reads => &mut self.reader,
            Side::Writes => &mut self.writer,
        }
    }

    fn settle(&mut self) {
        if !self.small.is_empty() {
            self.chunks.push_back(self.small.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_however_they_are_cut() {
        let mut pipe = Pipe::default();
        let all: Vec<u8> = (0..PEER_BYTES).map(|i| (i % 251) as u8).collect();
        let mut rest = &all[..];
        for size in [1, SMALL - 1, SMALL, 3, 100_000, 0, 2, SMALL + 1]
            .iter()
            .cycle()
        {
            let (now, later) = rest.split_at(rest.len().min(*size));
            pipe.push(Bytes::copy_from_slice(now));
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(pipe.room(), 1);
        let mut out = Vec::new();
        for size in [70_000, 1, 5].iter().cycle() {
            match pipe.pop(*size) {
                Some(bytes) => out.extend_from_slice(&bytes),
                None => break,
            }
        }
        assert!(out == all);
        assert!(!pipe.has_data());
    }

    #[test]
    fn single_bytes_take_no_more_than_their_number() {
        let mut pipe = Pipe::default();
        while pipe.room() > 1 {
            pipe.push(Bytes::from_static(b"x"));
        }
        assert!(pipe.chunks.len() <= PEER_BYTES / SMALL);
    }

    #[test]
    fn a_stream_ends_with_its_last_writer_and_cannot_be_begun_again() {
        let mut pipe = Pipe::default();
        pipe.open().unwrap();
        pipe.open().unwrap();
        assert!(!pipe.release());
        assert!(!pipe.is_closed());
        assert!(pipe.release());
        assert!(pipe.is_closed());
        assert_eq!(pipe.open(), Err(Gone));
    }
}

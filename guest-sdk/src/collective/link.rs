//! The streams between two instances, and the messages on them.

use std::io::{Read, Write};

use crate::{Context, Error, Result};

/// Before every message: which call it belongs to, which kind of call that is, and its length.
pub(super) const HEADER: usize = 16;

/// The streams to and from another instance.
pub(super) struct Link {
    pub(super) out: Box<dyn Write + Send>,
    pub(super) into: Box<dyn Read + Send>,
}

impl Link {
    pub(super) fn send(&mut self, rank: usize, bytes: &[u8]) -> Result {
        self.out
            .write_all(bytes)
            .and_then(|()| self.out.flush())
            .with_context(|| format!("sending to instance {rank}"))
    }

    /// The next message's length, where it belongs to this call.
    pub(super) fn header(&mut self, rank: usize, head: Head) -> Result<u64> {
        let mut found = [0; HEADER];
        self.into
            .read_exact(&mut found)
            .with_context(|| format!("hearing from instance {rank}"))?;
        let length = u64::from_le_bytes(*found.last_chunk().unwrap_or(&[0; 8]));
        if head.with(0)[..8] != found[..8] {
            return Err(Error::new(format!(
                "instance {rank} is out of step: it does not make exchange {}, {:?}, which this \
                 one makes; all instances must make the same calls in the same order",
                head.number, head.call,
            )));
        }
        Ok(length)
    }

    /// Receives up to `room` bytes of a message of which `filled` are there, and says how many
    /// there are then. `buffer` grows only as far as bytes have come.
    pub(super) fn receive(
        &mut self,
        rank: usize,
        buffer: &mut Vec<u8>,
        filled: u64,
        length: u64,
        room: usize,
    ) -> Result<u64> {
        let more = (length - filled).min(room as u64);
        let (from, to) = (filled as usize, (filled + more) as usize);
        if buffer.len() < to {
            buffer.resize(to, 0);
        }
        self.into
            .read_exact(&mut buffer[from..to])
            .with_context(|| format!("hearing from instance {rank}"))?;
        Ok(filled + more)
    }
}

/// A kind of call, so that instances out of step notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Call {
    Allreduce = 1,
    Broadcast = 2,
    Allgather = 3,
}

/// What a message begins with, before its length.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) number: u32,
    pub(super) call: Call,
}

impl Head {
    pub(super) fn with(self, length: usize) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&self.number.to_le_bytes());
        header[4..8].copy_from_slice(&(self.call as u32).to_le_bytes());
        header[8..].copy_from_slice(&(length as u64).to_le_bytes());
        header
    }
}

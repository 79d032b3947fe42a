//! Lines that follow from each other, read and checked one by one.

use std::{
    io::{self, BufRead},
    path::Path,
};

use mc2_protocol::Digest;
use serde::{Deserialize, Serialize};

use super::{
    entry::{Line, MAX_LINE, Recorded},
    error::LedgerError,
};
use crate::files::failed;

/// How far a chain goes: what its file of that name holds, and what an owner notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// How many lines there are.
    pub lines: u64,
    /// Digest of the last.
    pub last: Digest,
}

/// A place between two lines of the ledger's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) head: Head,
    /// Where the last line begins.
    pub(super) last_begins: u64,
    /// Where it ends, and the next begins.
    pub(super) end: u64,
}

/// Reads on from a place.
pub(super) struct Chain<'p, R> {
    path: &'p Path,
    reader: R,
    place: Place,
    buffer: Vec<u8>,
    torn: bool,
}

impl Head {
    /// The head of an empty ledger.
    pub(super) fn start() -> Self {
        Self {
            lines: 0,
            last: Digest::of(b""),
        }
    }

    /// After one more line.
    pub(super) const fn after(self, line: Digest) -> Self {
        Self {
            lines: self.lines + 1,
            last: line,
        }
    }
}

impl Place {
    /// Before the first line.
    pub(super) fn start() -> Self {
        Self {
            head: Head::start(),
            last_begins: 0,
            end: 0,
        }
    }
}

impl<'p, R: BufRead> Chain<'p, R> {
    /// The lines after `place`, where `reader` is; `path` is for messages.
    pub(super) const fn new(path: &'p Path, reader: R, place: Place) -> Self {
        Self {
            path,
            reader,
            place,
            buffer: Vec::new(),
            torn: false,
        }
    }

    /// After the last line that was read.
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// Whether what stands after the last line is one without its end.
    pub(super) const fn torn(&self) -> bool {
        self.torn
    }

    /// The next line, if a whole one is there.
    pub(super) fn next(&mut self) -> Result<Option<Recorded>, LedgerError> {
        self.buffer.clear();
        let read = io::Read::take(&mut self.reader, MAX_LINE as u64)
            .read_until(b'\n', &mut self.buffer)
            .map_err(failed("read", self.path))?;
        if read == 0 {
            return Ok(None);
        }
        if self.buffer.pop() != Some(b'\n') {
            if read == MAX_LINE {
                return Err(self.broken("it is too long"));
            }
            self.torn = true;
            return Ok(None);
        }
        let line = Line::parse(&self.buffer).map_err(|reason| self.broken(&reason))?;
        if line.previous != self.place.head.last {
            return Err(self.broken("it does not follow from the line before"));
        }
        let digest = Digest::of(&self.buffer);
        self.place = Place {
            head: self.place.head.after(digest),
            last_begins: self.place.end,
            end: self.place.end + read as u64,
        };
        Ok(Some(Recorded {
            line: self.place.head.lines,
            digest,
            time: line.time,
            entry: line.entry,
        }))
    }

    /// What is wrong with the line after this place.
    pub(super) fn broken(&self, reason: &str) -> LedgerError {
        LedgerError::Broken {
            path: self.path.to_owned(),
            line: self.place.head.lines + 1,
            reason: reason.to_owned(),
        }
    }
}

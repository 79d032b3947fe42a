//! Files as WASI streams.
//!
//! Rust's std reads through an input stream, 64 KiB a call, so [`Reader::read`]
//! hands on what the file has at hand without waiting and without copying.
//! Waiting happens in `blocking_read`, on the guest's own fiber.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

use super::guest::{ErrorCode, FileFault};
use super::notes::Notes;
use crate::failure::Failure;
use crate::files::{File, PAGE, Place, WriteError};
use crate::limits::{Budget, CALL_BYTES, Held, READY_BYTES};

/// Reads a file from an offset on.
pub(crate) struct Reader {
    file: Arc<dyn File>,
    offset: u64,
    /// What `ready` found: some of the bytes, copied, so that thousands of streams that wait keep
    /// no block of an input alive. They are used only where the file has them no more.
    ready: Option<Result<Bytes, Failure>>,
}

impl Reader {
    pub(crate) fn new(file: Arc<dyn File>, offset: u64) -> Self {
        Self {
            file,
            offset,
            ready: None,
        }
    }

    fn advance(&mut self, bytes: Bytes, asked: usize) -> StreamResult<Bytes> {
        if bytes.is_empty() && asked > 0 {
            return Err(StreamError::Closed);
        }
        self.offset += bytes.len() as u64;
        Ok(bytes)
    }
}

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let size = size.min(CALL_BYTES);
        if size == 0 {
            return Ok(Bytes::new());
        }
        match (self.file.try_read(self.offset, size), self.ready.take()) {
            (_, Some(Err(failure))) => Err(StreamError::Trap(failure.stop())),
            (Some(bytes), _) => self.advance(bytes, size),
            (None, Some(Ok(mut bytes))) => {
                bytes.truncate(size);
                self.advance(bytes, size)
            }
            (None, None) => Ok(Bytes::new()),
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        let size = size.min(CALL_BYTES);
        let bytes = self.read(size)?;
        if !bytes.is_empty() || size == 0 {
            return Ok(bytes);
        }
        match self.file.read(self.offset, size).await {
            Ok(bytes) => self.advance(bytes, size),
            Err(failure) => Err(StreamError::Trap(failure.stop())),
        }
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        if self.ready.is_none() && self.file.try_read(self.offset, 1).is_none() {
            let found = self.file.read(self.offset, READY_BYTES).await;
            self.ready = Some(found.map(|bytes| Bytes::copy_from_slice(&bytes)));
        }
    }
}

/// Writes a file from an offset on, or at its end.
pub(crate) struct Writer {
    file: Arc<dyn File>,
    place: Place,
    notes: Notes,
    /// Accepted, and not in the file yet.
    pending: Bytes,
    /// What all streams of the guest may have pending, and what this one has of it.
    room: Budget,
    held: Option<Held>,
    error: Option<StreamError>,
}

impl Writer {
    pub(crate) fn new(file: Arc<dyn File>, place: Place, notes: Notes, room: Budget) -> Self {
        Self {
            file,
            place,
            notes,
            pending: Bytes::new(),
            room,
            held: None,
            error: None,
        }
    }

    fn advance(&mut self, written: usize) {
        if let Place::At(offset) = &mut self.place {
            *offset = offset.saturating_add(written as u64);
        }
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if !self.pending.is_empty() || bytes.len() > CALL_BYTES {
            return Err(StreamError::trap("a write larger than check-write allows"));
        }
        let written = self
            .file
            .try_write(self.place, &bytes)
            .map_err(|error| stream_error(error, &self.notes))?;
        self.advance(written);
        if written == bytes.len() {
            return Ok(());
        }
        // All of them stay: what is pending is a part of them.
        self.held = self.room.hold(bytes.len() as u64);
        if self.held.is_none() {
            let failure = Failure::HandleLimit {
                what: "bytes on their way to files",
                limit: self.room.limit(),
            };
            return Err(StreamError::Trap(failure.stop()));
        }
        self.pending = bytes.split_off(written);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        Ok(if self.pending.is_empty() {
            CALL_BYTES
        } else {
            0
        })
    }

    /// Called when the guest drops the stream: what was accepted gets written.
    async fn cancel(&mut self) {
        self.ready().await;
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        // Page by page, so that a call dropped half way writes nothing twice that
        // an appending writer would then have twice.
        while !self.pending.is_empty() && self.error.is_none() {
            let within = match self.place {
                Place::At(offset) => offset,
                Place::End => self.file.size(),
            } % PAGE as u64;
            let piece = self.pending.len().min(PAGE - within as usize);
            match self.file.write(self.place, &self.pending[..piece]).await {
                Ok(()) => {
                    self.advance(piece);
                    self.pending = self.pending.split_off(piece);
                }
                Err(error) => {
                    self.pending.clear();
                    self.error = Some(stream_error(error, &self.notes));
                }
            }
        }
        self.pending = Bytes::new();
        self.held = None;
    }
}

/// What the guest's stream says to a write that did not happen.
fn stream_error(error: WriteError, notes: &Notes) -> StreamError {
    match error {
        WriteError::Fatal(failure) => StreamError::Trap(failure.stop()),
        WriteError::Limit(failure) if failure.is_soft() => {
            notes.soft(failure);
            StreamError::LastOperationFailed(FileFault(ErrorCode::InsufficientSpace).into())
        }
        WriteError::Limit(failure) => StreamError::Trap(failure.stop()),
        WriteError::TooLarge => {
            StreamError::LastOperationFailed(FileFault(ErrorCode::FileTooLarge).into())
        }
        WriteError::Gone => StreamError::LastOperationFailed(FileFault(ErrorCode::Pipe).into()),
    }
}

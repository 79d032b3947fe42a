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
use crate::limits::CALL_BYTES;

/// Reads a file from an offset on.
pub(crate) struct Reader {
    file: Arc<dyn File>,
    offset: u64,
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
        match self.ready.take() {
            Some(Ok(mut bytes)) => {
                if bytes.len() > size {
                    self.ready = Some(Ok(bytes.split_off(size)));
                }
                return self.advance(bytes, size);
            }
            Some(Err(failure)) => return Err(StreamError::Trap(failure.stop())),
            None => {}
        }
        match self.file.try_read(self.offset, size) {
            Some(bytes) => self.advance(bytes, size),
            None => Ok(Bytes::new()),
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
            self.ready = Some(self.file.read(self.offset, CALL_BYTES / 16).await);
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
    error: Option<StreamError>,
}

impl Writer {
    pub(crate) fn new(file: Arc<dyn File>, place: Place, notes: Notes) -> Self {
        Self {
            file,
            place,
            notes,
            pending: Bytes::new(),
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
    }
}

/// What the guest's stream says to a write that did not happen.
fn stream_error(error: WriteError, notes: &Notes) -> StreamError {
    match error {
        WriteError::Fatal(failure) => StreamError::Trap(failure.stop()),
        WriteError::Limit(failure @ Failure::ScratchLimit { .. }) => {
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

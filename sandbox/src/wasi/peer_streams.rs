//! Streams as WASI streams: what a read gives is gone, and a write goes after the last one.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

use crate::files::{File, Gone};
use crate::limits::CALL_BYTES;

/// Reads what the other end sends. It keeps nothing to itself, so that a guest which closes one
/// and opens another loses nothing.
pub(super) struct StreamReader(pub(super) Arc<dyn File>);

#[async_trait]
impl InputStream for StreamReader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.0.try_read(0, size.min(CALL_BYTES)) {
            Some(bytes) if bytes.is_empty() && size > 0 => Err(StreamError::Closed),
            Some(bytes) => Ok(bytes),
            None => Ok(Bytes::new()),
        }
    }
}

#[async_trait]
impl Pollable for StreamReader {
    async fn ready(&mut self) {
        if let Some(stream) = self.0.stream() {
            stream.readable().await;
        }
    }
}

/// Writes what the other end is to read.
pub(super) struct StreamWriter(pub(super) Arc<dyn File>);

#[async_trait]
impl OutputStream for StreamWriter {
    fn write(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        match self
            .0
            .stream()
            .map_or(Err(Gone), |stream| stream.send(&mut bytes))
        {
            Ok(()) if bytes.is_empty() => Ok(()),
            Ok(()) => Err(StreamError::trap("a write larger than check-write allows")),
            Err(Gone) => Err(StreamError::Closed),
        }
    }

    /// What was written is where the other end finds it.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    /// A stream that nobody is left to read takes a write, which is then refused: this is also
    /// asked after a write, when its reader may have got all it wanted and ended.
    fn check_write(&mut self) -> StreamResult<usize> {
        let room = self.0.stream().map_or(Err(Gone), |stream| stream.room());
        Ok(room.unwrap_or(1).min(CALL_BYTES))
    }
}

#[async_trait]
impl Pollable for StreamWriter {
    async fn ready(&mut self) {
        if let Some(stream) = self.0.stream() {
            stream.writable().await;
        }
    }
}

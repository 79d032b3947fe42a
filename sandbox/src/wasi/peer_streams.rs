//! `/run/mc2/peers/N/{in,out}` as WASI streams. Offsets mean nothing here: what a read gives is
//! gone, and a write goes after the last one.

use async_trait::async_trait;
use bytes::Bytes;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

use crate::limits::CALL_BYTES;
use crate::peers::{Gone, PeerIn, PeerOut};

/// Reads what another instance sends. It keeps nothing to itself, so that a guest which closes
/// one and opens another loses nothing.
pub(crate) struct PeerReader(pub(crate) PeerIn);

#[async_trait]
impl InputStream for PeerReader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.0.try_read(size.min(CALL_BYTES)) {
            Some(bytes) if bytes.is_empty() && size > 0 => Err(StreamError::Closed),
            Some(bytes) => Ok(bytes),
            None => Ok(Bytes::new()),
        }
    }
}

#[async_trait]
impl Pollable for PeerReader {
    async fn ready(&mut self) {
        self.0.readable().await;
    }
}

/// Writes what another instance is to read.
pub(crate) struct PeerWriter(pub(crate) PeerOut);

#[async_trait]
impl OutputStream for PeerWriter {
    fn write(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        match self.0.try_write(&mut bytes) {
            Ok(()) if bytes.is_empty() => Ok(()),
            Ok(()) => Err(StreamError::trap("a write larger than check-write allows")),
            Err(Gone) => Err(StreamError::Closed),
        }
    }

    /// What was written is where the other instance finds it.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    /// A stream that nobody is left to read takes a write, which is then refused: this is also
    /// asked after a write, when its reader may have got all it wanted and ended.
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.0.room().unwrap_or(1).min(CALL_BYTES))
    }
}

#[async_trait]
impl Pollable for PeerWriter {
    async fn ready(&mut self) {
        self.0.writable().await;
    }
}

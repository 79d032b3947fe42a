//! `/run/mc2/peers/N/{in,out}`: the ends of the streams as files. Offsets mean nothing here: what
//! a read gives is gone, and a write goes after the last one.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{PeerIn, PeerOut, Seat};
use crate::failure::Failure;
use crate::files::{File, Gone, Place, Stream, WriteError};

/// Bytes that go into a stream at once.
const PIECE: usize = 64 << 10;

impl Seat {
    /// The streams from and to the other instances, with their places below `/run/mc2`.
    pub(crate) fn files(&self) -> impl Iterator<Item = (String, Arc<dyn File>)> {
        self.streams().flat_map(|(rank, from, to)| {
            [
                (format!("peers/{rank}/in"), Arc::new(from) as Arc<dyn File>),
                (format!("peers/{rank}/out"), Arc::new(to)),
            ]
        })
    }
}

#[async_trait]
impl File for PeerIn {
    fn is_readable(&self) -> bool {
        true
    }

    fn stream(&self) -> Option<&dyn Stream> {
        Some(self)
    }

    fn try_read(&self, _offset: u64, len: usize) -> Option<Bytes> {
        self.try_read(len)
    }

    async fn read(&self, _offset: u64, len: usize) -> Result<Bytes, Failure> {
        Ok(self.read(len).await)
    }
}

#[async_trait]
impl Stream for PeerIn {
    async fn readable(&self) {
        self.readable().await;
    }

    fn room(&self) -> Result<usize, Gone> {
        Err(Gone)
    }

    fn send(&self, _bytes: &mut Bytes) -> Result<(), Gone> {
        Err(Gone)
    }

    async fn writable(&self) {}
}

#[async_trait]
impl File for PeerOut {
    fn is_writable(&self) -> bool {
        true
    }

    fn stream(&self) -> Option<&dyn Stream> {
        Some(self)
    }

    fn open_to_write(&self) -> Result<Option<Arc<dyn File>>, Gone> {
        Ok(Some(Arc::new(self.open()?)))
    }

    fn try_write(&self, _place: Place, data: &[u8]) -> Result<usize, WriteError> {
        let mut written = 0;
        for piece in data.chunks(PIECE) {
            let mut rest = Bytes::copy_from_slice(piece);
            self.try_write(&mut rest)?;
            written += piece.len() - rest.len();
            if !rest.is_empty() {
                break;
            }
        }
        Ok(written)
    }

    async fn write(&self, _place: Place, data: &[u8]) -> Result<(), WriteError> {
        // What waits in the stream must not keep all of a long write alive.
        for piece in data.chunks(PIECE) {
            self.write(Bytes::copy_from_slice(piece)).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Stream for PeerOut {
    async fn readable(&self) {}

    fn room(&self) -> Result<usize, Gone> {
        self.room()
    }

    fn send(&self, bytes: &mut Bytes) -> Result<(), Gone> {
        self.try_write(bytes)
    }

    async fn writable(&self) {
        self.writable().await;
    }
}

//! Rows as bytes: a stream of Arrow's for each exchange and receiver.

use std::{future::poll_fn, sync::Arc};

use arrow_ipc::writer::StreamWriter;
use datafusion::{
    arrow::{array::RecordBatch, datatypes::Schema},
    common::Result,
};
use sql_core::ranks::Key;

use super::Ranks;

/// Sends the rows of one exchange to one instance.
pub(super) struct Sender {
    ranks: Arc<Ranks>,
    key: Key,
    /// None where the receiver is this instance.
    writer: Option<StreamWriter<Vec<u8>>>,
    wanted: bool,
}

impl Sender {
    pub(super) fn new(ranks: Arc<Ranks>, key: Key, schema: &Schema) -> Result<Self> {
        let writer = match key.rank == ranks.rank {
            true => None,
            false => Some(StreamWriter::try_new(Vec::new(), schema)?),
        };
        Ok(Self {
            ranks,
            key,
            writer,
            wanted: true,
        })
    }

    /// Waits for room and sends.
    pub(super) async fn send(&mut self, batch: RecordBatch) -> Result<()> {
        if !self.wanted {
            return Ok(());
        }
        self.wanted = poll_fn(|context| self.ranks.mux().poll_room(self.key, context)).await;
        if !self.wanted {
            return Ok(());
        }
        match &mut self.writer {
            None => {
                let bytes = batch.get_array_memory_size();
                self.ranks.mux().keep(self.key, batch, bytes);
            }
            Some(writer) => {
                writer.write(&batch)?;
                let bytes = writer.get_mut();
                self.ranks.mux().send(self.key, bytes);
                bytes.clear();
                self.ranks.pump()?;
            }
        }
        Ok(())
    }

    /// Whether the receiver is still there.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Says that it was all.
    pub(super) fn finish(&mut self) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            // The reader gives out rows without columns, of which there are no bytes, when more comes.
            writer.finish()?;
            self.ranks.mux().send(self.key, writer.get_ref());
        }
        self.ranks.mux().finish(self.key);
        Ok(())
    }
}

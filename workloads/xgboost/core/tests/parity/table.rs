//! A table in memory, read in small batches.

use xgboost_core::data::{Batch, Info, Schema, Source, Values};

/// Rows a batch.
const BATCH: usize = 100;

#[derive(Clone)]
pub(crate) struct MemoryTable {
    schema: Schema,
    info: Info,
    values: Vec<f32>,
    /// Whether batches leave out what is missing.
    pub(crate) sparse: bool,
    next: usize,
}

impl MemoryTable {
    pub(crate) fn new(schema: Schema, info: Info, values: Vec<f32>) -> Self {
        assert_eq!(values.len(), info.rows * schema.features.len());
        Self {
            schema,
            info,
            values,
            sparse: false,
            next: 0,
        }
    }
}

impl Source for MemoryTable {
    type Error = std::convert::Infallible;

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn info(&self) -> &Info {
        &self.info
    }

    fn rewind(&mut self) -> Result<(), Self::Error> {
        self.next = 0;
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, Self::Error> {
        let rows = BATCH.min(self.info.rows - self.next);
        if rows == 0 {
            return Ok(None);
        }
        let width = self.schema.features.len();
        let dense = &self.values[self.next * width..][..rows * width];
        self.next += rows;
        if !self.sparse {
            return Ok(Some(Batch {
                rows,
                values: Values::Dense(dense.to_vec()),
            }));
        }
        let (mut starts, mut features, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in dense.chunks(width) {
            for (feature, value) in row.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
                features.push(feature as u32);
                values.push(*value);
            }
            starts.push(values.len());
        }
        Ok(Some(Batch {
            rows,
            values: Values::Sparse {
                starts,
                features,
                values,
            },
        }))
    }
}

//! Rows as bin numbers: all that training keeps of a table.

mod build;

use std::{cell::RefCell, ops::Range};

use self::build::Builder;
use super::{
    BinsError, Cuts,
    blocks::{Block, Blocks, Spilling},
    codes::{Codes, GROUP},
    sketch::check,
    slots::Slots,
};
use crate::data::Source;

/// Rows as bin numbers (XGBoost's `GHistIndexMatrix`).
#[derive(Debug)]
pub struct BinnedMatrix {
    rows: usize,
    cuts: Cuts,
    slots: Slots,
    blocks: Blocks,
    complete: bool,
}

impl BinnedMatrix {
    /// Bins the rows of `source` by `cuts`. Dense rows take one byte a value, two where a feature
    /// has more than 256 bins or 256 and something missing; rows with few values take four bytes
    /// a value that is there.
    ///
    /// # Errors
    /// The table cannot be read, is not what its schema and number of rows say, or is too large.
    pub fn build<S: Source>(source: &mut S, cuts: Cuts) -> Result<Self, BinsError> {
        let never = || Err("there is memory for all bins".to_owned());
        let spilling = Spilling {
            memory: usize::MAX,
            block: usize::MAX,
            open: &never,
        };
        Self::build_within(source, cuts, &spilling)
    }

    /// As [`build`](Self::build); but where the bins would take more memory than `spilling` allows,
    /// they go to a store.
    ///
    /// # Errors
    /// As [`build`](Self::build), or the store cannot be made or written.
    pub fn build_within<S: Source>(
        source: &mut S,
        cuts: Cuts,
        spilling: &Spilling<'_>,
    ) -> Result<Self, BinsError> {
        let said = |error: S::Error| BinsError::Source(error.to_string());
        let features = cuts.features();
        let rows = source.info().rows;
        if source.schema().features.len() != features {
            return Err(BinsError::Shape(format!(
                "the cut points are of {features} features"
            )));
        }
        if u32::try_from(rows).is_err() {
            return Err(BinsError::TooLarge(format!(
                "{rows} rows; at most {}",
                u32::MAX
            )));
        }
        let mut builder = Builder {
            slots: Slots::new(&cuts),
            cuts,
            codes: Codes::Narrow(Vec::new()),
            rows: 0,
            stored: None,
            complete: true,
        };
        source.rewind().map_err(said)?;
        while let Some(batch) = source.next_batch().map_err(said)? {
            check(&batch, features)?;
            if batch.rows > rows - builder.rows {
                return Err(BinsError::Shape(format!("more than {rows} rows")));
            }
            if builder.rows == 0 {
                builder.start(rows, batch.rows, &batch.values, spilling)?;
            }
            builder.append(batch.rows, &batch.values)?;
            builder.spill(spilling.block)?;
        }
        if builder.rows != rows {
            return Err(BinsError::Shape(format!(
                "expected {rows} rows; found {}",
                builder.rows
            )));
        }
        builder.spill(1)?;
        Ok(Self {
            rows,
            cuts: builder.cuts,
            slots: builder.slots,
            blocks: match builder.stored {
                Some((stored, _)) => Blocks::Stored(RefCell::new(stored)),
                None => Blocks::Memory(builder.codes),
            },
            complete: builder.complete,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The cut points it was binned by.
    pub fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// Whether no value is missing.
    pub fn complete(&self) -> bool {
        self.complete
    }

    /// Calls `each` with blocks of rows in their order, all but those that are not `wanted`. One
    /// block has all rows where they are in memory.
    pub(crate) fn each_block(
        &self,
        wanted: impl Fn(&Range<u32>) -> bool,
        each: impl FnMut(Block<'_>),
    ) -> Result<(), BinsError> {
        // There are no more rows than fit: `build` saw to it.
        self.blocks.each(self.rows as u32, wanted, each)
    }

    /// The bin of `feature` in a row of `block`, numbered within the feature; the number of bins
    /// for what is missing.
    pub(crate) fn code(&self, block: Block<'_>, row: u32, feature: usize) -> u32 {
        let row = (row - block.first) as usize;
        match block.codes {
            Codes::Narrow(codes) => codes.as_flattened()[row * self.stride() + feature].into(),
            Codes::Wide(codes) => codes.as_flattened()[row * self.stride() + feature].into(),
            Codes::Sparse { starts, slots } => {
                let bins = self.cuts.bins(feature).len() as u32;
                let first = self.slots.start(feature) as u32;
                let row = &slots[starts[row]..starts[row + 1]];
                row.get(row.partition_point(|slot| *slot < first))
                    .map_or(bins, |slot| (slot - first).min(bins))
            }
        }
    }

    /// Where histograms have their bins.
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Codes from one dense row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.cuts.features().next_multiple_of(GROUP)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{
        collective::Alone,
        data::{Batch, Feature, FeatureKind, Info, Schema, Values},
        grow::sample::Rng,
    };

    /// A table in memory, handed out 100 rows at a time.
    struct Table {
        schema: Schema,
        info: Info,
        values: Vec<f32>,
        next: usize,
    }

    impl Source for Table {
        type Error = Infallible;

        fn schema(&self) -> &Schema {
            &self.schema
        }

        fn info(&self) -> &Info {
            &self.info
        }

        fn rewind(&mut self) -> Result<(), Infallible> {
            self.next = 0;
            Ok(())
        }

        fn next_batch(&mut self) -> Result<Option<Batch>, Infallible> {
            let features = self.schema.features.len();
            let end = self.values.len().min(self.next + 100 * features);
            let values = self.values[self.next..end].to_vec();
            self.next = end;
            Ok((!values.is_empty()).then_some(Batch {
                rows: values.len() / features,
                values: Values::Dense(values),
            }))
        }
    }

    fn table(rows: usize, features: usize, values: Vec<f32>) -> Table {
        let feature = |index| Feature {
            name: format!("x{index}"),
            kind: FeatureKind::Float,
            categories: None,
        };
        Table {
            schema: Schema {
                features: (0..features).map(feature).collect(),
            },
            info: Info {
                rows,
                ..Info::default()
            },
            values,
            next: 0,
        }
    }

    fn binned(table: &mut Table) -> BinnedMatrix {
        let cuts = crate::bins::sketch::sketch(table, 256, &mut Alone).unwrap();
        BinnedMatrix::build(table, cuts).unwrap()
    }

    /// Rows with a whole number from 0 to less than `distinct` in each feature, or nothing.
    pub(crate) fn matrix(
        rows: usize,
        features: usize,
        distinct: usize,
        missing: f32,
    ) -> BinnedMatrix {
        let mut rng = Rng::new(1);
        let mut value = || match rng.unit() < missing {
            true => f32::NAN,
            false => rng.below(distinct) as f32,
        };
        let values = (0..rows * features).map(|_| value()).collect();
        binned(&mut table(rows, features, values))
    }

    /// All codes, row by row.
    pub(crate) fn codes(matrix: &BinnedMatrix) -> Vec<Vec<u32>> {
        let mut codes = Vec::new();
        let row = |block: Block<'_>, row: u32| {
            let features = 0..matrix.cuts().features();
            features
                .map(|feature| matrix.code(block, row, feature))
                .collect()
        };
        matrix
            .each_block(
                |_| true,
                |block| {
                    codes.extend((block.first..block.end).map(|index| row(block, index)));
                },
            )
            .unwrap();
        codes
    }

    #[test]
    fn a_bin_is_a_byte_unless_something_is_missing_beside_256_bins() {
        let mut values: Vec<f32> = (0..3000).map(|value| (value / 3 % 256) as f32).collect();
        let narrow = binned(&mut table(1000, 3, values.clone()));
        assert!(matches!(narrow.blocks, Blocks::Memory(Codes::Narrow(_))) && narrow.complete());
        // Found out halfway: what was binned before must not change.
        values[1501] = f32::NAN;
        let wide = binned(&mut table(1000, 3, values));
        assert!(matches!(wide.blocks, Blocks::Memory(Codes::Wide(_))) && !wide.complete());
        assert_eq!(narrow.slots(), wide.slots());
        let mut expected = codes(&narrow);
        expected[500][1] = 256;
        assert_eq!(codes(&wide), expected);
    }

    #[test]
    fn rows_with_little_in_them_keep_only_that() {
        let sparse = matrix(500, 40, 12, 0.9);
        let Blocks::Memory(Codes::Sparse { starts, slots }) = &sparse.blocks else {
            panic!("dense");
        };
        assert!(starts.len() == 501 && slots.len() < 500 * 40 / 8);
        let dense = matrix(500, 40, 12, 0.7);
        assert!(matches!(dense.blocks, Blocks::Memory(Codes::Narrow(_))));
    }

    #[test]
    fn a_table_that_is_not_what_it_said_is_refused() {
        let mut short = table(11, 2, vec![0.0; 20]);
        let mut long = table(9, 2, vec![0.0; 20]);
        let cuts = crate::bins::sketch::sketch(&mut long, 256, &mut Alone).unwrap();
        for table in [&mut short, &mut long] {
            let refused = BinnedMatrix::build(table, cuts.clone());
            assert!(matches!(refused, Err(BinsError::Shape(_))));
        }
    }
}

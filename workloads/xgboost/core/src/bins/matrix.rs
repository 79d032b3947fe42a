//! Rows as bin numbers: all that training keeps of a table.

use super::{BinsError, Cuts, sketch::check, slots::Slots};
use crate::data::{Source, Values};

/// Features whose bins lie together; rows are filled up to a multiple, so that a group is read at
/// once.
pub(crate) const GROUP: usize = 4;

/// Rows binned at once, so that they stay in the processor's cache while every feature gets its
/// turn.
const ROWS_AT_ONCE: usize = 128;

/// A bin number as it is kept.
pub(crate) trait Code: Copy + Default + Into<u32> + TryFrom<u32> + 'static {}

impl Code for u8 {}
impl Code for u16 {}

/// The bins of all rows. Of a dense row, what is missing has the number after the feature's last
/// bin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Codes {
    /// Row by row, one byte a bin.
    Narrow(Vec<[u8; GROUP]>),
    /// Row by row, two bytes a bin.
    Wide(Vec<[u16; GROUP]>),
    /// Only what is there.
    Sparse {
        /// Where each row starts, and the end.
        starts: Vec<usize>,
        /// The histogram slot of each value, ascending in a row.
        slots: Vec<u32>,
    },
}

/// Rows as bin numbers (XGBoost's `GHistIndexMatrix`).
#[derive(Clone, Debug, PartialEq)]
pub struct BinnedMatrix {
    rows: usize,
    cuts: Cuts,
    slots: Slots,
    codes: Codes,
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
        let mut matrix = Self {
            rows: 0,
            slots: Slots::new(&cuts),
            cuts,
            codes: Codes::Narrow(Vec::new()),
            complete: true,
        };
        source.rewind().map_err(said)?;
        while let Some(batch) = source.next_batch().map_err(said)? {
            check(&batch, features)?;
            if batch.rows > rows - matrix.rows {
                return Err(BinsError::Shape(format!("more than {rows} rows")));
            }
            if matrix.rows == 0 {
                matrix.codes = matrix.layout(rows, batch.rows, &batch.values)?;
            }
            matrix.append(batch.rows, &batch.values)?;
        }
        if matrix.rows != rows {
            return Err(BinsError::Shape(format!(
                "expected {rows} rows; found {}",
                matrix.rows
            )));
        }
        Ok(matrix)
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

    /// The bin of `feature` in row `row`, numbered within the feature; `None` is missing.
    pub fn bin(&self, row: usize, feature: usize) -> Option<u32> {
        let bins = self.cuts.bins(feature).len() as u32;
        Some(self.code(row, feature)).filter(|code| *code < bins)
    }

    /// As [`bin`](Self::bin), with the number of bins for what is missing.
    pub(crate) fn code(&self, row: usize, feature: usize) -> u32 {
        match &self.codes {
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

    /// The bins.
    pub(crate) fn codes(&self) -> &Codes {
        &self.codes
    }

    /// Where histograms have their bins.
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Codes from one dense row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.cuts.features().next_multiple_of(GROUP)
    }

    /// Empty codes with room for `rows`, in the layout that suits the first batch.
    fn layout(&self, rows: usize, first: usize, values: &Values) -> Result<Codes, BinsError> {
        let features = self.cuts.features();
        let present = match values {
            Values::Dense(values) => values.iter().filter(|value| !value.is_nan()).count(),
            Values::Sparse { values, .. } => values.len(),
        };
        let too_large =
            |_| BinsError::TooLarge(format!("no memory for {rows} rows of {features} features"));
        if features >= 16 && present.saturating_mul(5) < first.saturating_mul(features) {
            let mut starts = Vec::new();
            starts.try_reserve_exact(rows + 1).map_err(too_large)?;
            starts.push(0);
            return Ok(Codes::Sparse {
                starts,
                slots: Vec::new(),
            });
        }
        let groups = rows.saturating_mul(self.stride() / GROUP);
        let widest = (0..features)
            .map(|feature| self.cuts.bins(feature).len())
            .max();
        if widest.unwrap_or(0) > 256 {
            let mut codes = Vec::new();
            codes.try_reserve_exact(groups).map_err(too_large)?;
            Ok(Codes::Wide(codes))
        } else {
            let mut codes = Vec::new();
            codes.try_reserve_exact(groups).map_err(too_large)?;
            Ok(Codes::Narrow(codes))
        }
    }

    /// Bins one batch.
    fn append(&mut self, rows: usize, values: &Values) -> Result<(), BinsError> {
        let present = match values {
            Values::Dense(values) => values.iter().filter(|value| !value.is_nan()).count(),
            Values::Sparse { values, .. } => values.len(),
        };
        self.complete &= present == rows * self.cuts.features();
        let done = match &mut self.codes {
            Codes::Narrow(codes) => append_dense(codes, rows, values, &self.cuts),
            Codes::Wide(codes) => append_dense(codes, rows, values, &self.cuts),
            Codes::Sparse { starts, slots } => {
                append_sparse(starts, slots, rows, values, &self.cuts, &self.slots);
                true
            }
        };
        if !done && let Codes::Narrow(narrow) = &mut self.codes {
            let mut wide: Vec<[u16; GROUP]> = Vec::new();
            wide.try_reserve_exact(narrow.capacity())
                .map_err(|_| BinsError::TooLarge("no memory for two bytes a value".to_owned()))?;
            wide.extend(narrow.iter().map(|codes| codes.map(u16::from)));
            append_dense(&mut wide, rows, values, &self.cuts);
            self.codes = Codes::Wide(wide);
        }
        self.rows += rows;
        Ok(())
    }
}

/// Appends a batch to dense codes. `false`, and nothing appended, where a code does not fit.
fn append_dense<C: Code>(
    codes: &mut Vec<[C; GROUP]>,
    rows: usize,
    values: &Values,
    cuts: &Cuts,
) -> bool {
    let features = cuts.features();
    let groups = features.div_ceil(GROUP);
    let stride = groups * GROUP;
    let before = codes.len();
    let missing = |feature: usize| C::try_from(cuts.bins(feature).len() as u32).ok();
    codes.resize(before + rows * groups, [C::default(); GROUP]);
    let flat = codes[before..].as_flattened_mut();
    let fits =
        match values {
            Values::Dense(values) if features > 0 => flat
                .chunks_mut(stride * ROWS_AT_ONCE)
                .zip(values.chunks(features * ROWS_AT_ONCE))
                .all(|(codes, values)| {
                    (0..features).all(|feature| {
                        let column = values[feature..].iter().step_by(features);
                        let codes = codes[feature..].iter_mut().step_by(stride);
                        let missing = missing(feature);
                        codes.zip(column).all(|(code, value)| {
                            let bin = if value.is_nan() {
                                missing
                            } else {
                                C::try_from(cuts.bin(feature, *value)).ok()
                            };
                            *code = bin.unwrap_or_default();
                            bin.is_some()
                        })
                    })
                }),
            Values::Dense(_) => true,
            Values::Sparse {
                starts,
                features: columns,
                values,
            } => {
                let absent: Vec<Option<C>> = (0..features).map(missing).collect();
                flat.chunks_mut(stride.max(1))
                    .zip(starts.windows(2))
                    .all(|(codes, ends)| {
                        let mut next = ends[0];
                        codes.iter_mut().zip(&absent).enumerate().all(
                            |(feature, (code, missing))| {
                                let bin = if next < ends[1] && columns[next] as usize == feature {
                                    next += 1;
                                    C::try_from(cuts.bin(feature, values[next - 1])).ok()
                                } else {
                                    *missing
                                };
                                *code = bin.unwrap_or_default();
                                bin.is_some()
                            },
                        )
                    })
            }
        };
    if !fits {
        codes.truncate(before);
    }
    fits
}

/// Appends a batch to sparse codes.
fn append_sparse(
    starts: &mut Vec<usize>,
    slots: &mut Vec<u32>,
    rows: usize,
    values: &Values,
    cuts: &Cuts,
    layout: &Slots,
) {
    let slot = |feature: usize, value: f32| layout.start(feature) as u32 + cuts.bin(feature, value);
    match values {
        Values::Dense(values) => {
            let features = cuts.features().max(1);
            for row in values.chunks(features) {
                let present = row.iter().enumerate().filter(|(_, value)| !value.is_nan());
                slots.extend(present.map(|(feature, value)| slot(feature, *value)));
                starts.push(slots.len());
            }
        }
        Values::Sparse {
            starts: ends,
            features,
            values,
        } => {
            for row in 0..rows {
                let entries = ends[row]..ends[row + 1];
                let pairs = features[entries.clone()].iter().zip(&values[entries]);
                slots.extend(pairs.map(|(feature, value)| slot(*feature as usize, *value)));
                starts.push(slots.len());
            }
        }
    }
}

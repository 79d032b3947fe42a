//! A matrix in the making: its layout, its rows, and what goes to the store.

use crate::{
    bins::{
        BinsError, Cuts,
        blocks::{Spilling, Stored},
        codes::{Code, Codes, GROUP},
        slots::Slots,
    },
    data::Values,
};

/// Rows binned at once, so that they stay in the processor's cache while every feature gets its
/// turn.
const ROWS_AT_ONCE: usize = 128;

/// A matrix in the making.
pub(super) struct Builder {
    pub(super) cuts: Cuts,
    pub(super) slots: Slots,
    /// Rows that are not in the store.
    pub(super) codes: Codes,
    pub(super) rows: usize,
    /// The store, and the first row that is not in it.
    pub(super) stored: Option<(Stored, u32)>,
    pub(super) complete: bool,
}

impl Builder {
    /// Finds the layout that suits the first batch, of `first` rows, and whether all `rows` have
    /// room in memory.
    pub(super) fn start(
        &mut self,
        rows: usize,
        first: usize,
        values: &Values,
        spilling: &Spilling<'_>,
    ) -> Result<(), BinsError> {
        let features = self.cuts.features();
        let present = present(values);
        let too_large =
            |_| BinsError::TooLarge(format!("no memory for {rows} rows of {features} features"));
        let widest = (0..features)
            .map(|feature| self.cuts.bins(feature).len())
            .max();
        let wide = widest.unwrap_or(0) > 256;
        let sparse = features >= 16 && present.saturating_mul(5) < first.saturating_mul(features);
        let groups = features.div_ceil(GROUP);
        let row_bytes = match (sparse, wide) {
            (true, _) => size_of::<usize>() + 4 * present.div_ceil(first.max(1)),
            (false, true) => 2 * GROUP * groups,
            (false, false) => GROUP * groups,
        };
        let mut room = rows;
        if rows.saturating_mul(row_bytes) > spilling.memory {
            let store = (spilling.open)().map_err(BinsError::Store)?;
            self.stored = Some((Stored::new(store), 0));
            room = rows.min(first.saturating_add(spilling.block / row_bytes.max(1)));
        }
        self.codes = if sparse {
            let mut starts = Vec::new();
            starts.try_reserve_exact(room + 1).map_err(too_large)?;
            starts.push(0);
            Codes::Sparse {
                starts,
                slots: Vec::new(),
            }
        } else if wide {
            let mut codes = Vec::new();
            codes
                .try_reserve_exact(room.saturating_mul(groups))
                .map_err(too_large)?;
            Codes::Wide(codes)
        } else {
            let mut codes = Vec::new();
            codes
                .try_reserve_exact(room.saturating_mul(groups))
                .map_err(too_large)?;
            Codes::Narrow(codes)
        };
        Ok(())
    }

    /// Bins one batch.
    pub(super) fn append(&mut self, rows: usize, values: &Values) -> Result<(), BinsError> {
        self.complete &= present(values) == rows * self.cuts.features();
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

    /// Moves the rows to the store, if there is one, once they take so many bytes.
    pub(super) fn spill(&mut self, bytes: usize) -> Result<(), BinsError> {
        let Some((stored, first)) = &mut self.stored else {
            return Ok(());
        };
        let end = self.rows as u32;
        if *first < end && self.codes.bytes() >= bytes {
            stored.push(&mut self.codes, *first..end)?;
            *first = end;
        }
        Ok(())
    }
}

/// Values that are there.
pub(super) fn present(values: &Values) -> usize {
    match values {
        Values::Dense(values) => values.iter().filter(|value| !value.is_nan()).count(),
        Values::Sparse { values, .. } => values.len(),
    }
}

/// Appends a batch to dense codes. `false`, and nothing appended, where a code does not fit.
pub(super) fn append_dense<C: Code>(
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
pub(super) fn append_sparse(
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

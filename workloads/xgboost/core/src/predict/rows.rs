//! Rows of a batch as dense blocks.

use std::array::from_fn;

use super::PredictError;
use crate::data::{Batch, Values};

/// Rows that step at once; blocks are multiples of it.
pub(super) const LANES: usize = 8;

/// Which place of a block holds which feature.
#[derive(Clone, Debug)]
pub(super) enum Slots {
    /// Feature `f` of so many is in place `f`.
    All(usize),
    /// Only those that are asked for.
    Used(Used),
}

/// Some features.
#[derive(Clone, Debug)]
pub(super) struct Used {
    /// Ascending.
    features: Vec<u32>,
    /// By feature, its place; [`NO_SLOT`] has none.
    slots: Vec<u32>,
}

const NO_SLOT: u32 = u32::MAX;

impl Used {
    /// Those of so many that are `asked` for.
    pub(super) fn new(asked: &[bool]) -> Self {
        let mut features = Vec::new();
        let mut slots = vec![NO_SLOT; asked.len()];
        for (feature, slot) in slots.iter_mut().enumerate().filter(|(at, _)| asked[*at]) {
            *slot = features.len() as u32;
            features.push(feature as u32);
        }
        Self { features, slots }
    }
}

impl Slots {
    /// Places a row.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::All(width) => *width,
            Self::Used(used) => used.features.len(),
        }
    }

    /// The place of `feature`, if it has one.
    pub(super) fn slot(&self, feature: u32) -> Option<usize> {
        match self {
            Self::All(width) => Some(feature as usize).filter(|slot| slot < width),
            Self::Used(used) => {
                let slot = used.slots.get(feature as usize)?;
                (*slot != NO_SLOT).then_some(*slot as usize)
            }
        }
    }
}

/// A batch whose parts fit together, for a model with so many features.
pub(super) struct Rows<'a> {
    batch: &'a Batch,
    /// Values a row, of dense batches.
    width: usize,
    features: usize,
}

impl<'a> Rows<'a> {
    /// Checks `batch`.
    pub(super) fn new(batch: &'a Batch, features: usize) -> Result<Self, PredictError> {
        let width = match &batch.values {
            Values::Dense(values) if batch.rows == 0 && values.is_empty() => 0,
            Values::Dense(values) => {
                if batch.rows == 0 || !values.len().is_multiple_of(batch.rows) {
                    return Err(PredictError::Batch("rows differ in length"));
                }
                values.len() / batch.rows
            }
            Values::Sparse {
                starts,
                features,
                values,
            } => {
                let fits = starts.len() == batch.rows + 1
                    && starts.is_sorted()
                    && starts.last() == Some(&values.len())
                    && features.len() == values.len();
                if !fits {
                    return Err(PredictError::Batch("rows do not start where values are"));
                }
                0
            }
        };
        if width > features {
            return Err(PredictError::Width {
                expected: features,
                found: width,
            });
        }
        Ok(Self {
            batch,
            width,
            features,
        })
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.batch.rows
    }

    /// Puts row `first` and those after it into the first `count` of the `stride` lanes of `places`, as
    /// [`fill`](Self::fill) does. Says whether some value in `places` may be missing.
    pub(super) fn fill_lanes(
        &self,
        (first, count): (usize, usize),
        slots: &Slots,
        places: &mut [f32],
        stride: usize,
    ) -> Result<bool, PredictError> {
        let mut lane = 0;
        let mut missing = false;
        if let Values::Dense(values) = &self.batch.values {
            while lane + LANES <= count {
                let row = |next| &values[(first + lane + next) * self.width..][..self.width];
                let (rows, places) = (from_fn(row), &mut places[lane..]);
                missing |= match slots {
                    Slots::All(width) => side_by_side(rows, 0..*width, places, stride),
                    Slots::Used(used) => {
                        let features = used.features.iter().map(|feature| *feature as usize);
                        side_by_side(rows, features, places, stride)
                    }
                };
                lane += LANES;
            }
        }
        if lane < count {
            for lane in lane..count {
                self.fill(first + lane, slots, places, (lane, stride))?;
            }
            missing |= places.iter().any(|value| value.is_nan());
        }
        Ok(missing)
    }

    /// Puts row `row` into `places`, which all are NaN: slot `s` at `s * stride + lane`.
    pub(super) fn fill(
        &self,
        row: usize,
        slots: &Slots,
        places: &mut [f32],
        (lane, stride): (usize, usize),
    ) -> Result<(), PredictError> {
        match &self.batch.values {
            Values::Dense(values) => {
                let row = &values[row * self.width..][..self.width];
                let mut lanes = places[lane..].iter_mut().step_by(stride);
                match slots {
                    Slots::All(_) => {
                        for (place, value) in lanes.zip(row) {
                            *place = *value;
                        }
                    }
                    Slots::Used(used) => {
                        for (feature, place) in used.features.iter().zip(&mut lanes) {
                            *place = row.get(*feature as usize).copied().unwrap_or(f32::NAN);
                        }
                    }
                }
            }
            Values::Sparse {
                starts,
                features,
                values,
            } => {
                let range = starts[row]..starts[row + 1];
                for (feature, value) in features[range.clone()].iter().zip(&values[range]) {
                    if *feature as usize >= self.features {
                        return Err(PredictError::Width {
                            expected: self.features,
                            found: *feature as usize + 1,
                        });
                    }
                    if let Some(slot) = slots.slot(*feature) {
                        places[slot * stride + lane] = *value;
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes the places NaN again that row `row` filled and the next one may leave.
    pub(super) fn clear(
        &self,
        row: usize,
        slots: &Slots,
        places: &mut [f32],
        (lane, stride): (usize, usize),
    ) {
        if let Values::Sparse {
            starts, features, ..
        } = &self.batch.values
        {
            for feature in &features[starts[row]..starts[row + 1]] {
                if let Some(slot) = slots.slot(*feature) {
                    places[slot * stride + lane] = f32::NAN;
                }
            }
        }
    }
}

/// Puts `features` of rows of one length into the first places of every `stride`. Says whether a value is
/// missing.
#[inline]
fn side_by_side(
    rows: [&[f32]; LANES],
    features: impl Iterator<Item = usize>,
    places: &mut [f32],
    stride: usize,
) -> bool {
    let width = rows[0].len();
    // The compiler sees that one question of a feature is enough.
    let rows = rows.map(|row| &row[..width]);
    let mut missing = [false; LANES];
    for (feature, places) in features.zip(places.chunks_mut(stride)) {
        let values = match feature < width {
            true => from_fn(|row| rows[row][feature]),
            false => [f32::NAN; LANES],
        };
        places[..LANES].copy_from_slice(&values);
        for (missing, value) in missing.iter_mut().zip(values) {
            *missing |= value.is_nan();
        }
    }
    missing.contains(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 19;
    const WIDTH: usize = 5;
    const STRIDE: usize = 24;

    /// Rows of numbers, one of which may be `missing`, by row and feature.
    fn batch(missing: Option<(usize, usize)>) -> Batch {
        let mut values: Vec<f32> = (0..ROWS * WIDTH).map(|value| value as f32).collect();
        if let Some((row, feature)) = missing {
            values[row * WIDTH + feature] = f32::NAN;
        }
        Batch {
            rows: ROWS,
            values: Values::Dense(values),
        }
    }

    /// What is filled in of rows 1 and on, and whether something is missing.
    fn filled(batch: &Batch, slots: &Slots, count: usize) -> (Vec<u32>, bool) {
        let rows = Rows::new(batch, 7).unwrap();
        let mut places = vec![0.5; slots.width() * STRIDE];
        let missing = rows.fill_lanes((1, count), slots, &mut places, STRIDE);
        let bits = places.iter().map(|place| place.to_bits()).collect();
        (bits, missing.unwrap())
    }

    fn used(features: &[usize]) -> Slots {
        let asked: Vec<bool> = (0..7).map(|feature| features.contains(&feature)).collect();
        Slots::Used(Used::new(&asked))
    }

    #[test]
    fn rows_side_by_side_are_what_they_are_one_by_one() {
        for slots in [Slots::All(5), used(&[1, 4]), used(&[0, 3, 6])] {
            let batch = batch(Some((4, 3)));
            let rows = Rows::new(&batch, 7).unwrap();
            for count in [1, 7, 8, 9, 16, 18] {
                let mut places = vec![0.5; slots.width() * STRIDE];
                for lane in 0..count {
                    rows.fill(1 + lane, &slots, &mut places, (lane, STRIDE))
                        .unwrap();
                }
                let bits: Vec<u32> = places.iter().map(|place| place.to_bits()).collect();
                assert_eq!(
                    filled(&batch, &slots, count).0,
                    bits,
                    "{slots:?}, {count} rows"
                );
            }
        }
    }

    #[test]
    fn what_is_missing_is_seen_where_it_is_asked_for() {
        for lane in 0..18 {
            let batch = batch(Some((1 + lane, 3)));
            for (slots, missing) in [
                (Slots::All(5), true),
                (used(&[3]), true),
                (used(&[2, 4]), false),
            ] {
                assert_eq!(
                    filled(&batch, &slots, 18).1,
                    missing,
                    "{slots:?}, lane {lane}"
                );
            }
        }
        for (slots, missing) in [
            (Slots::All(5), false),
            (Slots::All(7), true),
            (used(&[2, 6]), true),
        ] {
            assert_eq!(filled(&batch(None), &slots, 16).1, missing, "{slots:?}");
        }
    }

    #[test]
    fn features_that_nobody_asks_for_have_no_place() {
        let slots = used(&[2, 5]);
        let places: Vec<_> = (0..9).map(|feature| slots.slot(feature)).collect();
        let mut expected = [None; 9];
        (expected[2], expected[5]) = (Some(0), Some(1));
        assert_eq!(places, expected);
    }
}

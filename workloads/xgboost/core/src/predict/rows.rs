//! Rows of a batch as dense blocks.

use super::PredictError;
use crate::data::{Batch, Values};

/// Which place of a block holds which feature.
#[derive(Clone, Debug)]
pub(super) enum Slots {
    /// Feature `f` of so many is in place `f`.
    All(usize),
    /// Only these, ascending.
    Used(Vec<u32>),
}

impl Slots {
    /// Places a row.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::All(width) => *width,
            Self::Used(features) => features.len(),
        }
    }

    /// The place of `feature`, if it has one.
    pub(super) fn slot(&self, feature: u32) -> Option<usize> {
        match self {
            Self::All(width) => Some(feature as usize).filter(|slot| slot < width),
            Self::Used(features) => features.binary_search(&feature).ok(),
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
                    Slots::Used(features) => {
                        for (feature, place) in features.iter().zip(&mut lanes) {
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

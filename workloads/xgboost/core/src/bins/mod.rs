//! Cut points by XGBoost's weighted quantile sketch, and rows as bin numbers.
//!
//! [`sketch`](sketch::sketch) makes [`Cuts`] of a [`Source`](crate::data::Source) in one pass
//! (two where so much is missing that the sketch's size depends on it),
//! [`BinnedMatrix::build`](matrix::BinnedMatrix::build) bins it in another. Both give what
//! XGBoost 3.4's `hist` does for the same rows in a plain `DMatrix`.

mod blocks;
pub(crate) mod codes;
pub mod matrix;
mod route;
pub mod sketch;
pub(crate) mod slots;
mod store;
mod summary;

use std::ops::Range;

use crate::{collective::CollectiveError, data::table::MAX_CATEGORIES};

pub(crate) use blocks::Block;
pub use blocks::{BinStore, Spilling};
pub use matrix::BinnedMatrix;
pub use store::FileStore;

/// Most bins a feature may have, and most categories.
///
/// A bin is kept in two bytes at most, and one number is needed for what is missing.
pub const MAX_BINS: u32 = MAX_CATEGORIES as u32;

/// Cut points of all features (XGBoost's `HistogramCuts`).
///
/// Bin `b` of feature `f` (numbered over all features, `starts[f]..starts[f + 1]`) holds values
/// less than `values[b]` and not less than the cut before; the first has no lower bound. The last
/// cut lies above the feature's maximum. Of a categorical feature the cut values are the codes
/// from 0 to the largest, and bin and code are one number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cuts {
    /// Where each feature's bins start, and the end: features + 1 entries.
    pub starts: Vec<u32>,
    /// Upper bound of each bin.
    pub values: Vec<f32>,
    /// Which features are categorical.
    pub categorical: Vec<bool>,
}

impl Cuts {
    /// Number of features.
    pub fn features(&self) -> usize {
        self.categorical.len()
    }

    /// Bins of feature `feature`, numbered over all features.
    pub fn bins(&self, feature: usize) -> Range<usize> {
        self.starts[feature] as usize..self.starts[feature + 1] as usize
    }

    /// Upper bounds of the bins of feature `feature`.
    pub fn of(&self, feature: usize) -> &[f32] {
        &self.values[self.bins(feature)]
    }

    /// The bin of `value`, numbered within the feature. What lies above all cuts, or is a
    /// category that none of the rows had, gets the last bin.
    pub fn bin(&self, feature: usize, value: f32) -> u32 {
        let cuts = self.of(feature);
        let last = cuts.len().saturating_sub(1);
        let bin = if self.categorical[feature] {
            // A float becomes the nearest whole number towards 0 within range, NaN becomes 0.
            value as usize
        } else {
            cuts.partition_point(|cut| *cut <= value)
        };
        bin.min(last) as u32
    }

    /// Adds one feature's bins.
    fn push(&mut self, values: impl IntoIterator<Item = f32>, categorical: bool) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        self.values.extend(values);
        self.starts.push(self.values.len() as u32);
        self.categorical.push(categorical);
    }
}

/// Why rows could not be binned.
#[derive(Debug, thiserror::Error)]
pub enum BinsError {
    /// The table could not be read.
    #[error("{0}")]
    Source(String),
    /// A batch's parts do not fit together or the schema, or there are not as many rows as said.
    #[error("the table is not what it was said to be: {0}")]
    Shape(String),
    /// A number that is not the code of a category.
    #[error(
        "feature {feature:?}: expected a category's code, a whole number from 0 to {max}; \
         found {found}",
        max = MAX_BINS - 1
    )]
    Category {
        /// The feature's name.
        feature: String,
        /// What was found.
        found: f32,
    },
    /// More rows, or more bins, than can be numbered or kept.
    #[error("the table is too large: {0}")]
    TooLarge(String),
    /// Bins could not be written outside of memory, or read again.
    #[error("keeping bins outside of memory: {0}")]
    Store(String),
    /// Other instances are gone.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
}

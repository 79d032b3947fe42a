//! Cut points by XGBoost's weighted quantile sketch, and rows as bin numbers.
//!
//! [`sketch`] makes [`Cuts`] of a [`Source`](crate::data::Source) in one pass, [`matrix`] bins
//! it in a second. Both give what XGBoost 3.4's `hist` does for the same rows.

/// Cut points of all features (XGBoost's `HistogramCuts`).
///
/// Bin `b` of feature `f` (numbered over all features, `starts[f]..starts[f + 1]`) holds values
/// less than `values[b]` and not less than the cut before. The last cut lies above the feature's
/// maximum. Of a categorical feature the cut values are its categories.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cuts {
    /// Where each feature's bins start, and the end: features + 1 entries.
    pub starts: Vec<u32>,
    /// Upper bound of each bin.
    pub values: Vec<f32>,
    /// A value below each feature's minimum.
    pub minima: Vec<f32>,
}

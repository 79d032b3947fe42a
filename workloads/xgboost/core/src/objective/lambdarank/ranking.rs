//! Groups of rows, their order, and what a place in it is worth; shared with metrics.

use std::cmp::Ordering;

use crate::{data::Info, objective::math::SMALL};

/// The largest relevance whose exponential gain is counted.
pub(crate) const MOST_RELEVANT: f32 = 31.0;

/// Where each group starts, and the end. Rows without groups are one group; no rows are none.
pub(crate) fn groups(info: &Info) -> Vec<usize> {
    match (info.group_starts.is_empty(), info.rows) {
        (false, _) => info.group_starts.clone(),
        (true, 0) => vec![0],
        (true, rows) => vec![0, rows],
    }
}

/// Indices of `scores` from the highest to the lowest; of equal ones, in their order.
pub(crate) fn descending(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|left, right| higher_first(scores[*left], scores[*right]));
    order
}

/// Orders the higher first. Both zeros are equal, and what is not a number comes first.
pub(crate) fn higher_first(left: f32, right: f32) -> Ordering {
    (right + 0.0).total_cmp(&(left + 0.0))
}

/// What a relevant row is worth, before discounting.
pub(crate) fn gain(label: f32, exponential: bool) -> f64 {
    if exponential {
        // Labels were checked to be at most MOST_RELEVANT.
        return ((1_u64 << (label as u32).min(MOST_RELEVANT as u32)) - 1) as f64;
    }
    f64::from(label)
}

/// What is left of a gain at each of the first `places`.
pub(crate) fn discounts(places: usize) -> Vec<f64> {
    (0..places)
        .map(|place| 1.0 / (place as f64 + 2.0).log2())
        .collect()
}

/// One over the best discounted gain that `labels` allow within the first `top`; 0 where none is
/// relevant.
pub(crate) fn inverse_ideal(
    labels: &[f32],
    top: usize,
    exponential: bool,
    discounts: &[f64],
) -> f64 {
    let best: f64 = descending(labels)
        .iter()
        .take(top)
        .zip(discounts)
        .map(|(row, discount)| discount * gain(labels[*row], exponential))
        .sum();
    if best == 0.0 { 0.0 } else { 1.0 / best }
}

/// Whether a label is a relevance that has an exponential gain.
pub(crate) fn has_gain(label: f32) -> bool {
    (0.0..=MOST_RELEVANT).contains(&label) && label - label.floor() <= SMALL
}

/// Whether a label is 0 or 1.
pub(crate) fn is_binary(label: f32) -> bool {
    label.abs() < SMALL || (label - 1.0).abs() < SMALL
}

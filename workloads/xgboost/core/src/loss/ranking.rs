//! Groups of rows, their order, and what a place in it is worth.

use crate::{data::Info, loss::math::SMALL};

/// The largest relevance whose exponential gain is counted.
pub(crate) const MOST_RELEVANT: f32 = 31.0;

/// Where each group starts, and the end. Rows of one instance without groups are one group; no
/// rows are none.
pub(crate) fn groups(info: &Info) -> Vec<usize> {
    match (info.group_starts.is_empty(), info.rows) {
        (false, _) => info.group_starts.clone(),
        (true, 0) => vec![0],
        (true, rows) => vec![0, rows],
    }
}

/// Indices of `scores` from the highest to the lowest; of equal ones, in their order. Both zeros
/// are equal, and what is not a number comes first.
pub(crate) fn descending(scores: &[f32]) -> Vec<usize> {
    ordered(scores, |score| {
        let bits = (score + 0.0).to_bits();
        // Bits of positive numbers are in their order, those of negative ones in the other.
        if bits >> 31 == 1 {
            bits
        } else {
            !bits & (u32::MAX >> 1)
        }
    })
}

/// Rows in the order of their times; of equal ones, in the order they are given.
pub(crate) fn by_time(labels: &[f32]) -> Vec<usize> {
    ordered(labels, |label| label.abs().to_bits())
}

/// Indices of `values` from the least to the most by their keys; of equal ones, in their order.
fn ordered(values: &[f32], key: impl Fn(f32) -> u32) -> Vec<usize> {
    let keyed = |(index, value): (usize, &f32)| (key(*value), index);
    let mut order: Vec<(u32, usize)> = values.iter().enumerate().map(keyed).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, index)| index).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_comes_first_and_of_equals_the_first() {
        let scores = [
            -1.0,
            0.0,
            2.5,
            -0.0,
            f32::NEG_INFINITY,
            2.5,
            f32::INFINITY,
            -1e-40,
            -3.0,
        ];
        assert_eq!(descending(&scores), [6, 2, 5, 1, 3, 7, 0, 8, 4]);
        assert_eq!(descending(&[1.0, f32::NAN, 3.0]), [1, 2, 0]);
        assert_eq!(descending(&[]), [0_usize; 0]);
    }

    #[test]
    fn a_ranking_of_nothing_relevant_has_no_ideal() {
        assert!(inverse_ideal(&[0.0, 0.0], 2, true, &discounts(2)) == 0.0);
        // One row of relevance 2 at the top is worth 2^2 - 1, undiscounted.
        let inverse = inverse_ideal(&[0.0, 2.0, 1.0], 1, true, &discounts(3));
        assert!((inverse - 1.0 / 3.0).abs() < 1e-12);
    }
}

//! Which rows of a group are compared.

use super::{
    param::{Pairs, Param},
    random::Congruential,
};
use crate::loss::ranking::descending;

/// Calls `compare` with the places of two rows for each pair; `labels` are in the order of the
/// ranking. Pairs of equal labels may be among them.
pub(super) fn each(
    param: &Param,
    labels: &[f32],
    seed: u32,
    mut compare: impl FnMut(usize, usize),
) {
    match param.pairs {
        Pairs::Top => {
            for first in 0..labels.len().min(param.pair_count() as usize) {
                for second in first + 1..labels.len() {
                    compare(first, second);
                }
            }
        }
        Pairs::Mean => sampled(labels, param.pair_count(), seed, &mut compare),
    }
}

/// Pairs each row `times` times with a random one of another label. Runs of equal labels are
/// taken from the highest label to the lowest, and in each run all its rows in turn.
fn sampled(labels: &[f32], times: u32, seed: u32, compare: &mut impl FnMut(usize, usize)) {
    let mut random = Congruential::new(seed);
    let order = descending(labels);
    let mut start = 0;
    while start < order.len() {
        let label = labels[order[start]];
        let run = order[start..]
            .iter()
            .take_while(|place| labels[**place] == label)
            .count();
        // What is not a number equals nothing, itself included.
        let end = start + run.max(1);
        let others = order.len() - (end - start);
        if others == 0 {
            return;
        }
        for _ in 0..times {
            for place in &order[start..end] {
                let drawn = random.below(others);
                let other = if drawn >= start {
                    drawn - start + end
                } else {
                    drawn
                };
                compare(*place, order[other]);
            }
        }
        start = end;
    }
}

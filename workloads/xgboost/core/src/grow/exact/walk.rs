//! One walk along a column, past the nodes that its rows are in.

use crate::{
    gradient::{GradientPair, GradientSum},
    tree::{Node, NodeKind, Split},
};

use super::super::gain::{Bounds, LEAST_GAIN, Regular};

/// The best split of a node so far; one that gains nothing is none.
#[derive(Clone, Copy, Default)]
pub(super) struct Candidate {
    pub(super) gain: f32,
    pub(super) feature: u32,
    pub(super) value: f32,
    pub(super) missing_left: bool,
}

impl Candidate {
    /// The split with the children `left` and the one after.
    pub(super) fn split(&self, left: usize) -> NodeKind {
        NodeKind::Split {
            // There are fewer than 2^31 rows, and nodes are written one level after another while
            // each holds a row.
            left: left as i32,
            right: left as i32 + 1,
            feature: self.feature,
            default_left: self.missing_left,
            split: Split::Below(self.value),
            loss_change: self.gain,
        }
    }
}

/// One walk along a column.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    pub(super) regular: Regular,
    pub(super) min_child_weight: f64,
    pub(super) feature: u32,
    pub(super) sign: i8,
    /// From the largest value, with what is missing on the left.
    pub(super) downwards: bool,
}

/// A node that may yet be split.
pub(super) struct Open {
    pub(super) index: usize,
    pub(super) sum: GradientSum,
    pub(super) weight: f32,
    pub(super) gain: f32,
    pub(super) best: Candidate,
    pub(super) bounds: Bounds,
    /// What the walk has passed.
    pub(super) passed: GradientSum,
    /// The last value it passed.
    pub(super) last: f32,
}

impl Open {
    /// A node is weighed within its parent's bounds; its own count for its children.
    pub(super) fn new(
        index: usize,
        sum: GradientSum,
        regular: Regular,
        parent: Bounds,
        bounds: Bounds,
    ) -> Self {
        let weight = regular.weight(sum, parent);
        Self {
            index,
            sum,
            weight,
            gain: regular.gain(sum, weight),
            best: Candidate::default(),
            bounds,
            passed: GradientSum::default(),
            last: 0.0,
        }
    }

    pub(super) fn node(&self, parent: i32) -> Node {
        Node {
            parent,
            kind: NodeKind::Leaf { value: 0.0 },
            base_weight: self.weight,
            sum_hessian: self.sum.hess as f32,
        }
    }

    /// Passes a row that has `value`.
    pub(super) fn pass(&mut self, walk: &Walk, value: f32, pair: GradientPair) {
        if self.passed.hess != 0.0
            && value != self.last
            && self.passed.hess >= walk.min_child_weight
        {
            let middle = (value + self.last) * 0.5;
            self.consider(walk, if middle == value { self.last } else { middle });
        }
        self.passed += pair;
        self.last = value;
    }

    /// Considers the split between all that is there and what is missing.
    pub(super) fn finish(&mut self, walk: &Walk) {
        let gap = self.last.abs() + LEAST_GAIN;
        self.consider(
            walk,
            if walk.downwards {
                self.last - gap
            } else {
                self.last + gap
            },
        );
    }

    /// Considers a split at `value` with what was passed on one side.
    pub(super) fn consider(&mut self, walk: &Walk, value: f32) {
        let rest = self.sum - self.passed;
        let (left, right) = if walk.downwards {
            (rest, self.passed)
        } else {
            (self.passed, rest)
        };
        let wanted = Regular::wanted(self.best.gain, self.gain, self.sum);
        if walk.regular.falls_short(left, right, wanted) {
            return;
        }
        if let Some(both) = walk.regular.split_gain(left, right, self.bounds, walk.sign) {
            let gain = both - self.gain;
            // Features come in their order, so the first of equals is the one XGBoost keeps.
            if gain.is_finite() && gain > self.best.gain {
                let (feature, missing_left) = (walk.feature, walk.downwards);
                self.best = Candidate {
                    gain,
                    feature,
                    value,
                    missing_left,
                };
            }
        }
    }
}

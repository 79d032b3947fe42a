//! The best split of a node by its histogram (XGBoost's `HistEvaluator`).

use super::{
    constraints::Interactions,
    gain::{Bounds, Regular},
    histogram::Bin,
    params::TreeParams,
};
use crate::{
    bins::{BinnedMatrix, Cuts},
    gradient::GradientSum,
    tree::Split,
};

/// What a split asks of a row, by bins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Question {
    /// Whether the bin is one of the first so many.
    First(u32),
    /// Whether the category is none of these, ascending.
    NoneOf(Vec<u32>),
}

impl Question {
    /// As a tree asks it.
    pub(crate) fn split(&self, cuts: &Cuts, feature: usize) -> Split {
        match self {
            Self::First(0) => Split::Below(f32::NEG_INFINITY),
            Self::First(bins) => Split::Below(cuts.of(feature)[*bins as usize - 1]),
            Self::NoneOf(categories) => Split::Categories(categories.clone()),
        }
    }

    /// Whether each of `bins` bins goes left.
    pub(crate) fn left_bins(&self, bins: usize) -> impl Iterator<Item = bool> {
        (0..bins as u32).map(|bin| match self {
            Self::First(count) => bin < *count,
            Self::NoneOf(categories) => categories.binary_search(&bin).is_err(),
        })
    }
}

/// The best split found so far.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// What it gains over not splitting; 0 while none was found.
    pub(crate) loss_change: f32,
    /// The feature asked.
    pub(crate) feature: u32,
    /// The question.
    pub(crate) question: Question,
    /// Where a missing value goes.
    pub(crate) default_left: bool,
    /// What goes left.
    pub(crate) left: GradientSum,
    /// What goes right.
    pub(crate) right: GradientSum,
}

impl Candidate {
    /// No split.
    pub(crate) fn none() -> Self {
        Self {
            loss_change: 0.0,
            feature: 0,
            question: Question::First(0),
            default_left: false,
            left: GradientSum::default(),
            right: GradientSum::default(),
        }
    }

    /// Whether a split that gains `loss_change` is better. Of equal ones the first stays.
    #[inline]
    pub(crate) fn yields_to(&self, loss_change: f32) -> bool {
        loss_change > self.loss_change && loss_change < f32::INFINITY
    }
}

/// What is known of a node before it is split.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NodeState {
    /// Derivatives of its rows.
    pub(crate) sum: GradientSum,
    /// What it gains as a leaf.
    pub(crate) gain: f32,
    /// Where its weight must lie.
    pub(crate) bounds: Bounds,
}

/// Finds splits.
#[derive(Debug)]
pub(crate) struct Evaluator {
    /// How leaves are regularised.
    pub(crate) regular: Regular,
    monotone: Vec<i8>,
    max_cat_to_onehot: u32,
    max_cat_threshold: usize,
    order: Vec<(f32, u32)>,
}

/// One feature of one node.
struct Scan<'a> {
    regular: &'a Regular,
    node: NodeState,
    feature: u32,
    sign: i8,
    bins: &'a [Bin],
}

impl Evaluator {
    /// As `params` say.
    pub(crate) fn new(params: &TreeParams) -> Self {
        Self {
            regular: Regular::new(params),
            monotone: params.monotone.clone(),
            max_cat_to_onehot: params.max_cat_to_onehot,
            max_cat_threshold: params.max_cat_threshold as usize,
            order: Vec::new(),
        }
    }

    /// The sign the effect of `feature` must have, 0 where it is free.
    pub(crate) fn sign(&self, feature: u32) -> i8 {
        self.monotone.get(feature as usize).copied().unwrap_or(0)
    }

    /// The best split of `node` by one of `features`, ascending.
    pub(crate) fn best(
        &mut self,
        matrix: &BinnedMatrix,
        histogram: &[Bin],
        node: NodeState,
        features: &[u32],
        (interactions, index): (&Interactions, usize),
    ) -> Candidate {
        let cuts = matrix.cuts();
        let mut best = Candidate::none();
        for &feature in features {
            if !interactions.permits(index, feature) {
                continue;
            }
            let start = matrix.slots().start(feature as usize);
            let count = cuts.bins(feature as usize).len();
            let scan = Scan {
                regular: &self.regular,
                node,
                feature,
                sign: self.sign(feature),
                bins: &histogram[start..start + count],
            };
            if !cuts.categorical[feature as usize] {
                let present = scan.forward(&mut best);
                if present != node.sum {
                    scan.backward(&mut best);
                }
            } else if (count as u32) < self.max_cat_to_onehot {
                scan.one_hot(&mut best);
            } else {
                self.order.clear();
                // Adding 0 makes both zeros one.
                let weights = scan.bins.iter().zip(0..).map(|(bin, category)| {
                    (
                        self.regular.weight(sum(bin), Bounds::default()) + 0.0,
                        category,
                    )
                });
                self.order.extend(weights);
                self.order.sort_by(|a, b| a.0.total_cmp(&b.0));
                let most = self.max_cat_threshold.min(count);
                scan.partition(&self.order, most, &mut best);
            }
        }
        best
    }
}

/// A bin as a sum.
#[inline]
fn sum(&[grad, hess]: &Bin) -> GradientSum {
    GradientSum::new(grad, hess)
}

impl Scan<'_> {
    /// What a split must come to to be better than `best`.
    #[inline]
    fn wanted(&self, best: &Candidate) -> f64 {
        Regular::wanted(best.loss_change, self.node.gain, self.node.sum)
    }

    /// What splitting so gains over not splitting, unless that surely is less than is `wanted`.
    #[inline]
    fn change(&self, left: GradientSum, right: GradientSum, wanted: f64) -> Option<f32> {
        if self.regular.falls_short(left, right, wanted) {
            return None;
        }
        let gain = self
            .regular
            .split_gain(left, right, self.node.bounds, self.sign)?;
        Some(gain - self.node.gain)
    }

    /// Tries every cut with what is missing on the right. Gives the sum of what is there.
    fn forward(&self, best: &mut Candidate) -> GradientSum {
        let mut left = GradientSum::default();
        let mut wanted = self.wanted(best);
        for (bin, bins) in self.bins.iter().zip(1..) {
            left += sum(bin);
            let right = self.node.sum - left;
            if let Some(change) = self.change(left, right, wanted)
                && best.yields_to(change)
            {
                self.replace(best, change, false, bins, (left, right));
                wanted = self.wanted(best);
            }
        }
        left
    }

    /// Tries every cut with what is missing on the left, from the last bin on.
    fn backward(&self, best: &mut Candidate) {
        let mut right = GradientSum::default();
        let mut wanted = self.wanted(best);
        for (bins, bin) in self.bins.iter().enumerate().rev() {
            right += sum(bin);
            let left = self.node.sum - right;
            if let Some(change) = self.change(left, right, wanted)
                && best.yields_to(change)
            {
                self.replace(best, change, true, bins as u32, (left, right));
                wanted = self.wanted(best);
            }
        }
    }

    /// Tries every category against all others, what is missing with the others first.
    fn one_hot(&self, best: &mut Candidate) {
        let present = self
            .bins
            .iter()
            .fold(GradientSum::default(), |all, bin| all + sum(bin));
        let missing = self.node.sum - present;
        for (bin, category) in self.bins.iter().zip(0..) {
            let chosen = sum(bin);
            for (right, default_left) in [(chosen, true), (chosen + missing, false)] {
                let left = self.node.sum - right;
                if let Some(change) = self.change(left, right, self.wanted(best))
                    && best.yields_to(change)
                {
                    self.replace(best, change, default_left, 0, (left, right));
                    best.question = Question::NoneOf(vec![category]);
                }
            }
        }
    }

    /// Tries to part the categories in the `order` of their weights, with at most `most` on the
    /// side that is summed up: the light ones go right, first with what is missing on the left,
    /// then with it on the right.
    fn partition(&self, order: &[(f32, u32)], most: usize, best: &mut Candidate) {
        let of = |(_, category): (f32, u32)| sum(&self.bins[category as usize]);
        let steps = most.saturating_sub(1);
        let mut chosen = None;
        let mut right = GradientSum::default();
        for (count, entry) in order.iter().take(steps).enumerate() {
            right += of(*entry);
            let left = self.node.sum - right;
            if let Some(change) = self.change(left, right, self.wanted(best))
                && best.yields_to(change)
            {
                self.replace(best, change, true, 0, (left, right));
                chosen = Some(count + 1);
            }
        }
        let mut left = GradientSum::default();
        for (count, entry) in order.iter().enumerate().rev().take(steps) {
            left += of(*entry);
            let right = self.node.sum - left;
            if let Some(change) = self.change(left, right, self.wanted(best))
                && best.yields_to(change)
            {
                self.replace(best, change, false, 0, (left, right));
                chosen = Some(count);
            }
        }
        if let Some(count) = chosen {
            let mut right: Vec<u32> = order[..count]
                .iter()
                .map(|(_, category)| *category)
                .collect();
            right.sort_unstable();
            best.question = Question::NoneOf(right);
        }
    }

    /// Makes a split the best one.
    fn replace(
        &self,
        best: &mut Candidate,
        loss_change: f32,
        default_left: bool,
        bins: u32,
        (left, right): (GradientSum, GradientSum),
    ) {
        *best = Candidate {
            loss_change,
            feature: self.feature,
            question: Question::First(bins),
            default_left,
            left,
            right,
        };
    }
}

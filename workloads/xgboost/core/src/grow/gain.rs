//! What a leaf weighs and what a split gains, in XGBoost's order of operations and precision:
//! sums in double, weights and gains in single.

use super::params::TreeParams;
use crate::gradient::GradientSum;

/// Gains up to this are none (XGBoost's `kRtEps`).
pub(crate) const LEAST_GAIN: f32 = 1e-6;

/// The part by which single precision can make more of a gain than it is, and some.
const ROUNDING: f64 = 2e-6;

/// Between what a weight must lie under monotone constraints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    lower: f32,
    upper: f32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            lower: f32::NEG_INFINITY,
            upper: f32::INFINITY,
        }
    }
}

impl Bounds {
    /// Bounds of a root whose tree has constraints: every finite weight.
    pub(crate) fn finite() -> Self {
        Self {
            lower: -f32::MAX,
            upper: f32::MAX,
        }
    }

    /// `weight`, or the bound it passes.
    fn apply(self, weight: f32) -> f32 {
        if weight < self.lower {
            self.lower
        } else if weight > self.upper {
            self.upper
        } else {
            weight
        }
    }

    /// Bounds of the children of a node with these bounds that is split by a feature whose effect
    /// has `sign`.
    pub(crate) fn split(self, sign: i8, left: f32, right: f32) -> (Self, Self) {
        let middle = (left + right) / 2.0;
        let (mut below, mut above) = (self, self);
        match sign {
            1 => {
                below.upper = middle;
                above.lower = middle;
            }
            -1 => {
                below.lower = middle;
                above.upper = middle;
            }
            _ => {}
        }
        (below, above)
    }
}

/// How leaves are regularised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regular {
    min_child_weight: f64,
    lambda: f64,
    alpha: f64,
    max_delta_step: f64,
}

impl Regular {
    /// As `params` say.
    pub(crate) fn new(params: &TreeParams) -> Self {
        Self {
            min_child_weight: f64::from(params.min_child_weight),
            lambda: f64::from(params.lambda),
            alpha: f64::from(params.alpha),
            max_delta_step: f64::from(params.max_delta_step),
        }
    }

    /// The best weight of a leaf with these derivatives (`CalcWeight`).
    #[inline]
    pub(crate) fn weight(&self, sum: GradientSum, bounds: Bounds) -> f32 {
        if sum.hess <= 0.0 {
            return bounds.apply(0.0);
        }
        let shrunk = if sum.grad > self.alpha {
            sum.grad - self.alpha
        } else if sum.grad < -self.alpha {
            sum.grad + self.alpha
        } else {
            // A sum that is no number must not become a weight; with `alpha` 0 it gets here.
            0.0
        };
        let mut weight = -shrunk / (sum.hess + self.lambda);
        if self.max_delta_step != 0.0 && weight.abs() > self.max_delta_step {
            weight = self.max_delta_step.copysign(weight);
        }
        bounds.apply(weight as f32)
    }

    /// How much a leaf of this weight lowers the loss, twice (`CalcGainGivenWeight`).
    #[inline]
    pub(crate) fn gain(&self, sum: GradientSum, weight: f32) -> f32 {
        if sum.hess <= 0.0 {
            return 0.0;
        }
        let (square, size) = (f64::from(weight * weight), f64::from(weight.abs()));
        let weight = f64::from(weight);
        let linear = 2.0 * sum.grad * weight;
        -(linear + (sum.hess + self.lambda) * square + 2.0 * self.alpha * size) as f32
    }

    /// What two leaves must lower the loss by, twice, to be of use: more than the best split so far
    /// and than what is no gain at all beside that of their parent. For [`falls_short`](Self::falls_short).
    ///
    /// Nothing falls short of the answer where what squares of weights lose by being too small for
    /// single precision could count.
    #[inline]
    pub(crate) fn wanted(best: f32, parent: f32, sum: GradientSum) -> f64 {
        let wanted = f64::from(best.max(LEAST_GAIN)) + f64::from(parent);
        if wanted > 1e-7 && sum.hess < 1e24 {
            wanted * (1.0 - ROUNDING)
        } else {
            f64::NEG_INFINITY
        }
    }

    /// Whether two leaves surely gain less than is [`wanted`](Self::wanted), without the divisions
    /// that [`split_gain`](Self::split_gain) takes.
    ///
    /// No weight lowers the loss more than the best one without `alpha` and bounds, by
    /// `grad² / (hess + lambda)`.
    #[inline]
    pub(crate) fn falls_short(&self, left: GradientSum, right: GradientSum, wanted: f64) -> bool {
        let (below, above) = (left.hess + self.lambda, right.hess + self.lambda);
        let gains = left.grad * left.grad * above + right.grad * right.grad * below;
        gains <= wanted * (below * above)
    }

    /// What two leaves lower the loss, or `None` where one is too light or the feature's effect
    /// has not the `sign` it must have (`CalcSplitGain`).
    #[inline]
    pub(crate) fn split_gain(
        &self,
        left: GradientSum,
        right: GradientSum,
        bounds: Bounds,
        sign: i8,
    ) -> Option<f32> {
        let heavy = |sum: GradientSum| sum.hess > 0.0 && sum.hess >= self.min_child_weight;
        if !(heavy(left) && heavy(right)) {
            return None;
        }
        let (below, above) = (self.weight(left, bounds), self.weight(right, bounds));
        let ordered = match sign {
            0 => true,
            1.. => below <= above,
            _ => below >= above,
        };
        ordered.then(|| self.gain(left, below) + self.gain(right, above))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grow::sample::Rng;

    #[test]
    fn what_falls_short_is_never_the_better_split() {
        let mut rng = Rng::new(7);
        let (mut short, mut close) = (0, 0);
        for round in 0..400_000 {
            let mut number = |scale: f64| (f64::from(rng.unit()) - 0.5) * scale;
            let scale = 10_f64.powf(number(24.0));
            let regular = Regular {
                min_child_weight: 0.0,
                lambda: [0.0, 1.0, 1e-3][round % 3],
                alpha: [0.0, 0.0, 0.3][round % 3],
                max_delta_step: [0.0, 0.0, 0.0, 0.7][round % 4],
            };
            let bounds = Bounds {
                lower: [f32::NEG_INFINITY, -0.1][round % 2],
                upper: [f32::INFINITY, f32::INFINITY, 0.2][round % 3],
            };
            let mut sum = || GradientSum::new(number(2.0) * scale, number(2.0).abs() * scale);
            let (left, right) = (sum(), sum());
            let both = left + right;
            let parent = regular.gain(both, regular.weight(both, bounds));
            let Some(gain) = regular.split_gain(left, right, bounds, 0) else {
                continue;
            };
            let change = gain - parent;
            // Right at what this very split gains, and at a hair more and less.
            for part in [0.0, 0.9, 1.0 - 1e-5, 1.0 - 1e-7, 1.0, 1.0 + 1e-5] {
                let best = (change * part).max(0.0);
                let wanted = Regular::wanted(best, parent, both);
                let is_better = change > best && change > LEAST_GAIN;
                if regular.falls_short(left, right, wanted) {
                    short += 1;
                    assert!(
                        !is_better,
                        "{left:?} {right:?} {regular:?} {bounds:?} {best}"
                    );
                } else if is_better {
                    close += 1;
                }
            }
        }
        assert!(short > 100_000 && close > 100_000, "{short} {close}");
    }

    #[test]
    fn nothing_falls_short_where_squares_of_weights_vanish() {
        let regular = Regular {
            min_child_weight: 1.0,
            lambda: 1.0,
            alpha: 0.0,
            max_delta_step: 0.0,
        };
        // Weights of 1e-23: their squares are 0 in single precision, and gains twice what they are.
        let (left, right) = (GradientSum::new(-1e17, 1e40), GradientSum::new(1e17, 1e40));
        let gain = regular
            .split_gain(left, right, Bounds::default(), 0)
            .unwrap();
        assert!(gain > 3.9e-6);
        let wanted = Regular::wanted(3e-6, 0.0, left + right);
        assert!(!regular.falls_short(left, right, wanted));
    }
}

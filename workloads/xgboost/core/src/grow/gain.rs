//! What a leaf weighs and what a split gains, in XGBoost's order of operations and precision:
//! sums in double, weights and gains in single.

use super::params::TreeParams;
use crate::gradient::GradientSum;

/// Gains up to this are none (XGBoost's `kRtEps`).
pub(crate) const LEAST_GAIN: f32 = 1e-6;

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

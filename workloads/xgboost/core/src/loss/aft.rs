//! The loss of accelerated failure time, and the distributions its noise may have
//! (arXiv:2006.04920).

use std::ops;

use crate::params::{ParamError, ParamSet};

/// Bounds of derivatives, so that no row outweighs all others.
const GRADIENT: (f64, f64) = (-15.0, 15.0);
const HESSIAN: (f64, f64) = (1e-16, 15.0);
/// A denominator below this is taken for 0.
const TINY: f64 = 1e-12;

/// How the logarithms of times are spread (`aft_loss_distribution`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// `normal`
    Normal,
    /// `logistic`
    Logistic,
    /// `extreme`
    Extreme,
}

/// A distribution and its scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    pub(crate) distribution: Distribution,
    /// `aft_loss_distribution_scale`; above 0.
    pub(crate) scale: f32,
}

/// What is known of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Censoring {
    None,
    Right,
    Left,
    Interval,
}

impl Distribution {
    /// All of them, the default first.
    pub(crate) const ALL: [Self; 3] = [Self::Normal, Self::Logistic, Self::Extreme];

    /// XGBoost's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Logistic => "logistic",
            Self::Extreme => "extreme",
        }
    }

    fn density(self, z: f64) -> f64 {
        let w = z.exp();
        match self {
            Self::Normal => (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt(),
            Self::Logistic if (w * w).is_infinite() => 0.0,
            Self::Logistic => w / ((1.0 + w) * (1.0 + w)),
            Self::Extreme if w.is_infinite() => 0.0,
            Self::Extreme => w * (-w).exp(),
        }
    }

    fn cumulated(self, z: f64) -> f64 {
        let w = z.exp();
        match self {
            Self::Normal => 0.5 * (1.0 + libm::erf(z / 2.0_f64.sqrt())),
            Self::Logistic if w.is_infinite() => 1.0,
            Self::Logistic => w / (1.0 + w),
            Self::Extreme => 1.0 - (-w).exp(),
        }
    }

    /// First derivative of the density.
    fn slope(self, z: f64) -> f64 {
        let w = z.exp();
        match self {
            Self::Normal => -z * self.density(z),
            Self::Logistic | Self::Extreme if w.is_infinite() => 0.0,
            Self::Logistic => self.density(z) * (1.0 - w) / (1.0 + w),
            Self::Extreme => (1.0 - w) * self.density(z),
        }
    }

    /// Second derivative of the density.
    fn curvature(self, z: f64) -> f64 {
        let w = z.exp();
        match self {
            Self::Normal => (z * z - 1.0) * self.density(z),
            Self::Logistic | Self::Extreme if (w * w).is_infinite() => 0.0,
            Self::Logistic => self.density(z) * (w * w - 4.0 * w + 1.0) / ((1.0 + w) * (1.0 + w)),
            Self::Extreme => (w * w - 3.0 * w + 1.0) * self.density(z),
        }
    }

    /// What the first derivative of the loss comes to where the margin is far from the label, on
    /// the side `below` it or not.
    fn limit_of_gradient(self, censoring: Censoring, below: bool, scale: f64) -> f64 {
        let (low, high) = match self {
            Self::Normal => GRADIENT,
            Self::Logistic => (-1.0 / scale, 1.0 / scale),
            Self::Extreme => (GRADIENT.0, 1.0 / scale),
        };
        match (censoring, below) {
            (Censoring::Right, false) | (Censoring::Left, true) => 0.0,
            (_, true) => low,
            (_, false) => high,
        }
    }

    /// The same of the second derivative.
    fn limit_of_hessian(self, censoring: Censoring, below: bool, scale: f64) -> f64 {
        match self {
            Self::Normal => match (censoring, below) {
                (Censoring::Right, false) | (Censoring::Left, true) => HESSIAN.0,
                _ => 1.0 / (scale * scale),
            },
            Self::Logistic => HESSIAN.0,
            Self::Extreme if below && censoring != Censoring::Left => HESSIAN.1,
            Self::Extreme => HESSIAN.0,
        }
    }
}

/// Value, density and its slope of the distribution at a bound of an interval; all that is above
/// an infinite bound, or below one at 0, is known.
struct Bound {
    z: f64,
    cumulated: f64,
    density: f64,
    slope: f64,
}

impl Loss {
    /// `aft_loss_distribution` and `aft_loss_distribution_scale`.
    pub(crate) fn read(params: &ParamSet) -> Result<Self, ParamError> {
        let words = Distribution::ALL.map(|distribution| (distribution.word(), distribution));
        let distribution = params.choice("aft_loss_distribution", &words)?;
        let above_0 = (ops::Bound::Excluded(0.0), ops::Bound::Unbounded);
        let scale = params.read("aft_loss_distribution_scale", 1.0, above_0)?;
        Ok(Self {
            distribution,
            scale,
        })
    }

    fn z(self, time: f32, margin: f64) -> f64 {
        (f64::from(time).ln() - margin) / f64::from(self.scale)
    }

    fn bound(self, time: f32, margin: f64) -> Bound {
        let z = self.z(time, margin);
        let of = self.distribution;
        Bound {
            z,
            cumulated: of.cumulated(z),
            density: of.density(z),
            slope: of.slope(z),
        }
    }

    /// The upper bound, the lower bound, and what they say.
    fn bounds(self, lower: f32, upper: f32, margin: f64) -> (Bound, Bound, Censoring) {
        let beyond = |cumulated| Bound {
            z: 0.0,
            cumulated,
            density: 0.0,
            slope: 0.0,
        };
        let (above, right) = match upper.is_infinite() {
            true => (beyond(1.0), true),
            false => (self.bound(upper, margin), false),
        };
        let (below, left) = match lower <= 0.0 {
            true => (beyond(0.0), true),
            false => (self.bound(lower, margin), false),
        };
        let censoring = match (left, right) {
            (true, _) => Censoring::Left,
            (false, true) => Censoring::Right,
            (false, false) => Censoring::Interval,
        };
        (above, below, censoring)
    }

    /// Negative logarithm of how likely the interval is.
    pub(crate) fn value(self, lower: f32, upper: f32, margin: f64) -> f64 {
        let likely = if lower == upper {
            let density = self.distribution.density(self.z(lower, margin));
            density / (f64::from(self.scale) * f64::from(lower))
        } else {
            let (above, below, _) = self.bounds(lower, upper, margin);
            above.cumulated - below.cumulated
        };
        -likely.max(TINY).ln()
    }

    /// First and second derivative of [`value`](Self::value) with respect to the margin.
    pub(crate) fn derivatives(self, lower: f32, upper: f32, margin: f64) -> (f64, f64) {
        let scale = f64::from(self.scale);
        let (grad, hess, censoring, below) = if lower == upper {
            let z = self.z(lower, margin);
            let density = self.distribution.density(z);
            let slope = self.distribution.slope(z);
            let curvature = self.distribution.curvature(z);
            let grad = (slope, scale * density);
            let hess = (
                -(density * curvature - slope * slope),
                scale * scale * density * density,
            );
            (grad, hess, Censoring::None, z > 0.0)
        } else {
            let (above, below, censoring) = self.bounds(lower, upper, margin);
            let mass = above.cumulated - below.cumulated;
            let density = above.density - below.density;
            let slope = above.slope - below.slope;
            let grad = (density, scale * mass);
            let hess = (
                -(mass * slope - density * density),
                (scale * mass) * (scale * mass),
            );
            (grad, hess, censoring, above.z > 0.0 || below.z > 0.0)
        };
        let ratio = |(above, under): (f64, f64), limit: f64| {
            let ratio = above / under;
            if under < TINY && !ratio.is_finite() {
                limit
            } else {
                ratio
            }
        };
        let of = self.distribution;
        let grad = ratio(grad, of.limit_of_gradient(censoring, below, scale));
        let hess = ratio(hess, of.limit_of_hessian(censoring, below, scale));
        (
            grad.clamp(GRADIENT.0, GRADIENT.1),
            hess.clamp(HESSIAN.0, HESSIAN.1),
        )
    }
}

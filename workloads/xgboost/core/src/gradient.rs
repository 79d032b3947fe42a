//! First and second derivatives of the loss, per row and summed.

use std::ops::{Add, AddAssign, Sub, SubAssign};

/// Derivatives of one row's loss with respect to its margin, in single precision as XGBoost keeps
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct GradientPair {
    /// First derivative.
    pub grad: f32,
    /// Second derivative.
    pub hess: f32,
}

/// A sum of [`GradientPair`]s in double precision.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct GradientSum {
    /// Sum of first derivatives.
    pub grad: f64,
    /// Sum of second derivatives.
    pub hess: f64,
}

impl GradientPair {
    /// A pair of its two derivatives.
    pub const fn new(grad: f32, hess: f32) -> Self {
        Self { grad, hess }
    }
}

impl GradientSum {
    /// A sum of its two parts.
    pub const fn new(grad: f64, hess: f64) -> Self {
        Self { grad, hess }
    }
}

impl From<GradientPair> for GradientSum {
    fn from(pair: GradientPair) -> Self {
        Self::new(f64::from(pair.grad), f64::from(pair.hess))
    }
}

impl Add for GradientSum {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.grad + other.grad, self.hess + other.hess)
    }
}

impl AddAssign for GradientSum {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl AddAssign<GradientPair> for GradientSum {
    fn add_assign(&mut self, pair: GradientPair) {
        *self += Self::from(pair);
    }
}

impl Sub for GradientSum {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::new(self.grad - other.grad, self.hess - other.hess)
    }
}

impl SubAssign for GradientSum {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

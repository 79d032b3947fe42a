//! Functions of single-precision numbers with the rounding XGBoost's have.

/// Smallest number that XGBoost takes for more than nothing (`kRtEps`).
pub(crate) const SMALL: f32 = 1e-6;

/// The logistic function. The argument is bounded so that nothing overflows.
pub(crate) fn sigmoid(x: f32) -> f32 {
    let negative = if -x > 88.7 { 88.7 } else { -x };
    1.0 / (negative.exp() + 1.0)
}

/// The inverse of [`sigmoid`].
pub(crate) fn logit(probability: f32) -> f32 {
    -(1.0 / probability - 1.0).ln()
}

/// Replaces margins by their shares: exponentials that add up to 1.
pub(crate) fn softmax(point: &mut [f32]) {
    let largest = point.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0_f64;
    for value in point.iter_mut() {
        *value = (*value - largest).exp();
        sum += f64::from(*value);
    }
    for value in point {
        *value /= sum as f32;
    }
}

/// The first of the largest values; 0 where there are none.
pub(crate) fn first_largest(point: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in point.iter().enumerate() {
        if *value > point[best] {
            best = index;
        }
    }
    best
}

/// `e` to the power of each margin.
pub(crate) fn exponentials(mut margins: Vec<f32>) -> Vec<f32> {
    for margin in &mut margins {
        *margin = margin.exp();
    }
    margins
}

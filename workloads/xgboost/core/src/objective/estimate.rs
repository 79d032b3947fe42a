//! Where training starts: constants estimated from all instances' labels.

use crate::{
    collective::{Collective, CollectiveError, Reduce},
    data::Info,
    gradient::{GradientPair, GradientSum},
    loss::math::SMALL,
    objective::{ObjectiveError, rows::Rows},
};

/// One Newton step without regularization for each output, as margins (XGBoost's `FitStump`).
pub(super) fn newton_step(
    gradients: &[GradientPair],
    outputs: usize,
    all: &mut dyn Collective,
) -> Result<Vec<f32>, CollectiveError> {
    let mut sums = vec![GradientSum::default(); outputs];
    for row in gradients.chunks_exact(outputs) {
        for (sum, pair) in sums.iter_mut().zip(row) {
            *sum += *pair;
        }
    }
    let mut flat: Vec<f64> = sums.iter().flat_map(|sum| [sum.grad, sum.hess]).collect();
    all.allreduce(&mut flat, Reduce::Sum)?;
    let step = |sum: &[f64]| (-sum[0] / sum[1].max(f64::from(SMALL))) as f32;
    Ok(flat.chunks_exact(2).map(step).collect())
}

/// The weighted mean of all labels.
///
/// # Errors
/// All weights are 0, or other instances are gone.
pub(super) fn mean(
    objective: &'static str,
    info: &Info,
    all: &mut dyn Collective,
) -> Result<f32, ObjectiveError> {
    let total = total_weight(objective, info, all)?;
    let share =
        |(row, label): (usize, &f32)| f64::from(*label) / total * f64::from(info.weight(row));
    let mut sum = [info.labels.iter().enumerate().map(share).sum::<f64>()];
    all.allreduce(&mut sum, Reduce::Sum)?;
    Ok(sum[0] as f32)
}

/// What all rows weigh together; more than 0.
///
/// # Errors
/// All weights are 0, or other instances are gone.
pub(super) fn total_weight(
    objective: &'static str,
    info: &Info,
    all: &mut dyn Collective,
) -> Result<f64, ObjectiveError> {
    let mut total = [weight(info)];
    all.allreduce(&mut total, Reduce::Sum)?;
    if total[0] > 0.0 {
        return Ok(total[0]);
    }
    Err(Rows::new(objective, info)
        .refuse("expected at least one row with a weight above 0; found none".to_owned()))
}

/// What this instance's rows weigh together.
pub(super) fn weight(info: &Info) -> f64 {
    if info.weights.is_empty() {
        return info.rows as f64;
    }
    info.weights.iter().map(|weight| f64::from(*weight)).sum()
}

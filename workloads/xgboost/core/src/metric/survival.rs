//! Means over rows whose labels are intervals of time; predictions are logarithms of times.

use crate::{
    collective::Collective,
    data::Info,
    loss::aft::Loss,
    metric::{Metric, MetricError, check_rows, check_single, ratio, totals, undefined},
};

/// `aft-nloglik`
pub(super) struct AftNegLogLik {
    pub(super) loss: Loss,
}

/// `interval-regression-accuracy`: the share of rows whose prediction is in their interval.
pub(super) struct IntervalAccuracy;

fn mean(
    name: &str,
    predictions: &[f32],
    outputs: usize,
    info: &Info,
    all: &mut dyn Collective,
    loss: impl Fn(f32, f32, f64) -> f64,
) -> Result<f64, MetricError> {
    check_single(name, outputs)?;
    check_rows(name, predictions, 1, &info.lower, info)?;
    if info.upper.len() != info.rows {
        let reason = format!(
            "expected {} upper bounds; found {}",
            info.rows,
            info.upper.len()
        );
        return Err(undefined(name, reason));
    }
    let (mut sum, mut weights) = (0.0, 0.0);
    let bounds = info.lower.iter().zip(&info.upper);
    for (row, (prediction, (lower, upper))) in predictions.iter().zip(bounds).enumerate() {
        let weight = f64::from(info.weight(row));
        sum += loss(*lower, *upper, f64::from(*prediction)) * weight;
        weights += weight;
    }
    let (sum, weights) = totals(sum, weights, all)?;
    Ok(ratio(sum, weights))
}

impl Metric for AftNegLogLik {
    fn name(&self) -> &str {
        "aft-nloglik"
    }

    fn maximize(&self) -> bool {
        false
    }

    fn evaluate(
        &self,
        predictions: &[f32],
        outputs: usize,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<f64, MetricError> {
        let loss = |lower, upper, margin| self.loss.value(lower, upper, margin);
        mean(self.name(), predictions, outputs, info, all, loss)
    }
}

impl Metric for IntervalAccuracy {
    fn name(&self) -> &str {
        "interval-regression-accuracy"
    }

    fn maximize(&self) -> bool {
        true
    }

    fn evaluate(
        &self,
        predictions: &[f32],
        outputs: usize,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<f64, MetricError> {
        let within = |lower: f32, upper: f32, margin: f64| {
            let time = margin.exp();
            f64::from(u8::from(
                time >= f64::from(lower) && time <= f64::from(upper),
            ))
        };
        mean(self.name(), predictions, outputs, info, all, within)
    }
}

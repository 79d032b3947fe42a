//! The loss of several quantiles at once.

use crate::{
    collective::Collective,
    data::Info,
    metric::{Metric, MetricError, check_rows, totals, undefined},
};

const NAME: &str = "quantile";

/// `quantile`: the mean over rows and quantiles.
pub(super) struct QuantileLoss {
    pub(super) alphas: Vec<f32>,
}

/// What is missing costs `alpha` a unit, and what is too much the rest.
fn loss(alpha: f32, prediction: f32, label: f32) -> f32 {
    let missing = label - prediction;
    if missing >= 0.0 {
        alpha * missing
    } else {
        -(1.0 - alpha) * missing
    }
}

impl Metric for QuantileLoss {
    fn name(&self) -> &str {
        NAME
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
        if outputs != self.alphas.len() {
            let reason = format!(
                "expected one prediction a row for each of {} quantiles; found {outputs}",
                self.alphas.len()
            );
            return Err(undefined(NAME, reason));
        }
        check_rows(NAME, predictions, outputs, &info.labels, info)?;
        let (mut sum, mut weights) = (0.0, 0.0);
        let points = predictions.chunks_exact(outputs).zip(&info.labels);
        for (row, (point, label)) in points.enumerate() {
            let weight = info.weight(row);
            for (prediction, alpha) in point.iter().zip(&self.alphas) {
                sum += f64::from(loss(*alpha, *prediction, *label) * weight);
                weights += f64::from(weight);
            }
        }
        let (sum, weights) = totals(sum, weights, all)?;
        if weights > 0.0 {
            return Ok(sum / weights);
        }
        Err(undefined(
            NAME,
            "expected at least one row with a weight above 0; found none",
        ))
    }
}
